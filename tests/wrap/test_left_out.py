"""A session goes on whatever its last reply was: what says nothing is left out, and nothing else is."""

from __future__ import annotations

import openai
import pytest

from convmem.testing import Fault, LocalProvider, Reply, ToolCall

TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
]
CUT = {"id": "call_9", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Kyo'}}


def strictly(request):
    """As the strictest providers: no assistant without words and calls."""
    for at, message in enumerate(request.messages):
        empty = message["role"] == "assistant" and not (message.get("content") or "").strip()
        if empty and not message.get("tool_calls"):
            return Fault.status(400, f"messages[{at}]: content or tool_calls must be set")
    return Reply(f"said {request.n}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("openai", "gpt-6-luna"),
        ("deepseek", "deepseek-flash"),
        ("deepseek-r1", "deepseek-r1"),
        ("vllm", "ours"),
    ],
)
@pytest.mark.parametrize(
    "reply",
    [
        Reply("", reasoning_content="先比较三条路线", finish_reason="length"),
        Reply(" \n"),
        Reply(None, extra={"tool_calls": [CUT]}),
    ],
    ids=["cut while thinking", "blank", "cut call"],
)
def test_a_reply_that_says_nothing_does_not_stop_a_session(reply, dialect, model, stream, memory):
    with (
        LocalProvider(dialect=dialect) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        provider.script(reply)
        provider.default = strictly
        client = memory.wrap(bare, user="ana", session="s")

        def ask(text):
            made = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": text}], stream=stream
            )
            return list(made) if stream else made

        ask("给我排一条三天的徒步路线")
        ask("再短一点")
        ask("And the train back?")
        first, second = (request.messages for request in provider.requests[1:])
    words = "\n".join(str(message["content"]) for message in first)
    assert "给我排一条三天的徒步路线" in words
    assert all(message["role"] == "user" for message in first)
    assert second[: len(first)] == first, "the next request begins with this one"
    assert memory.last_receipt().restored == 3


def test_a_round_of_tools_stays_when_the_next_call_in_it_was_cut(memory, provider, bare):
    provider.script(
        Reply(tool_calls=[ToolCall("look_up", {"q": "tea"})]), Reply(None, extra={"tool_calls": [CUT]})
    )
    client = memory.wrap(bare, user="ana", session="s")
    given = {"model": "gpt-6-luna", "tools": TOOLS}
    asked = client.chat.completions.create(**given, messages=[{"role": "user", "content": "look it up"}])
    (call,) = asked.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "42"}
    client.chat.completions.create(**given, messages=[result])
    client.chat.completions.create(**given, messages=[{"role": "user", "content": "go on"}])
    sent = provider.requests[-1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "user"]
    assert memory.last_receipt().restored == 3
