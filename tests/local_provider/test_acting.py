"""The stand-in for a model that uses tools, which the command line serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from openai import OpenAI

from convmem.testing import LocalProvider, call_or_echo

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "days", "unit"],
    },
}
TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "book_table"}}]


@pytest.fixture
def acting(client, provider):
    provider.default = call_or_echo
    return client


def said(client, text, **options):
    """The reply to one message, and the calls in it."""
    options = {"tools": TOOLS, **options}
    message = (
        client.chat.completions.create(
            model="gpt-6-luna", messages=[{"role": "user", "content": text}], **options
        )
        .choices[0]
        .message
    )
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    return message.content, calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("Good morning.", []),
        ("What is the weather in Kyoto, for 3 days?", ["get_weather"]),
        ("用 get_weather 查京都", ["get_weather"]),
        ("get_weather and book_table please", ["get_weather", "book_table"]),
        ("I forgot to get it.", []),
    ],
)
def test_a_message_that_names_a_tool_calls_it(acting, text, calls):
    content, made = said(acting, text)
    assert [name for name, _ in made] == calls
    assert content == (None if calls else f"echo: {text}")


def test_arguments_are_those_given_or_made_from_the_words(acting):
    assert said(acting, 'get_weather {"city": "京都"} now')[1] == [("get_weather", {"city": "京都"})]
    text = "The weather in F for 3 days"
    assert said(acting, text)[1] == [("get_weather", {"city": text, "days": 3, "unit": "F"})]


def test_the_choice_of_a_tool_is_followed(acting):
    named = {"type": "function", "function": {"name": "book_table"}}
    assert [name for name, _ in said(acting, "Hello.", tool_choice=named)[1]] == ["book_table"]
    assert [name for name, _ in said(acting, "Hello.", tool_choice="required")[1]] == ["get_weather"]
    assert said(acting, "the weather?", tool_choice="none")[1] == []
    assert said(acting, "the weather?", tools=[TOOLS[1]])[1] == []


def test_the_results_of_tools_are_answered_with(acting):
    asked = {"role": "user", "content": "the weather?"}
    message = acting.chat.completions.create(model="gpt-6-luna", messages=[asked], tools=TOOLS)
    call = message.choices[0].message
    found = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "21 degrees"}
    last = acting.chat.completions.create(model="gpt-6-luna", messages=[asked, call, found], tools=TOOLS)
    assert last.choices[0].message.content == "echo: 21 degrees"


def test_responses_call_tools_too(acting):
    tools = [{"type": "function", "strict": False, **WEATHER}]
    first = acting.responses.create(model="m", input="the weather?", tools=tools)
    call = first.output[0]
    assert (call.type, call.name) == ("function_call", "get_weather")
    found = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
    last = acting.responses.create(model="m", input=[found], previous_response_id=first.id, tools=tools)
    assert last.output_text == "echo: 21 degrees"


def test_the_command_line_serves_it_by_the_rules_of_each_model():
    command = [sys.executable, "-m", "convmem.testing.provider", "--port", "0", "--context-limit", "500"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        url = process.stdout.readline().strip()
        with OpenAI(base_url=url, api_key="x", max_retries=0) as client:
            reply = client.chat.completions.create(
                model="deepseek-flash", messages=[{"role": "user", "content": "the weather?"}], tools=TOOLS
            )
            refused = None
            try:
                client.chat.completions.create(
                    model="kimi-k3", messages=[{"role": "user", "content": "long " * 1_000}]
                )
            except Exception as error:  # noqa: BLE001
                refused = error
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    message = reply.choices[0].message
    assert (message.content, message.tool_calls[0].function.name) == ("", "get_weather")
    assert "model token limit: 500" in str(refused)


def test_the_default_in_a_test_is_still_the_echo():
    with LocalProvider() as provider, OpenAI(base_url=provider.base_url, api_key="x") as client:
        assert said(client, "get_weather")[0] == "echo: get_weather"
