"""The Responses endpoint of the local provider, asked by the real client."""

from __future__ import annotations

import openai
import pytest
from tests.local_provider.asking import HELLO

from convmem.testing import Fault, Reply, ToolCall

TOOLS = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]


def user(content, **fields):
    return {"role": "user", "content": content, **fields}


def called(call_id, **fields):
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def result(call_id, output="42"):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def respond(client, given="hi", **options):
    return client.responses.create(model="m", input=given, **options)


def test_a_response_has_the_fields_of_the_api(client, provider):
    provider.script(Reply("京都", reasoning_content="想一想"))
    response = respond(client, instructions="Be kind.", metadata={"k": "v"}, temperature=0.5)
    assert (response.object, response.status, response.output_text) == ("response", "completed", "京都")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert (response.instructions, response.temperature, response.metadata) == ("Be kind.", 0.5, {"k": "v"})
    usage = response.usage
    assert usage.input_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.output_tokens_details.reasoning_tokens == 3


def test_what_is_no_success_has_its_status(client, provider):
    provider.script(Reply("too long", finish_reason="length"))
    response = respond(client)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        (
            Reply("hello world", chunk_size=6),
            (
                "output_item.added content_part.added output_text.delta output_text.delta output_text.done"
                " content_part.done output_item.done"
            ),
        ),
        (
            Reply(tool_calls=[ToolCall("f", {"q": 1}, id="a")], chunk_size=4),
            (
                "output_item.added function_call_arguments.delta function_call_arguments.delta"
                " function_call_arguments.done output_item.done"
            ),
        ),
        (
            Reply("x", reasoning_content="y"),
            (
                "output_item.added reasoning_summary_part.added reasoning_summary_text.delta"
                " reasoning_summary_text.done reasoning_summary_part.done output_item.done"
                " output_item.added content_part.added output_text.delta output_text.done content_part.done"
                " output_item.done"
            ),
        ),
        (
            Reply(refusal="no"),
            (
                "output_item.added content_part.added refusal.delta refusal.done content_part.done"
                " output_item.done"
            ),
        ),
    ],
    ids=["text", "call", "reasoning", "refusal"],
)
def test_the_events_of_a_stream(client, provider, reply, names):
    provider.script(reply, reply)
    events = list(respond(client, stream=True))
    expected = ["created", "in_progress", *names.split(), "completed"]
    assert [event.type.removeprefix("response.") for event in events] == expected
    assert [event.sequence_number for event in events] == list(range(len(events)))
    whole = respond(client)
    strip = {"id", "created_at", "usage", "output"}
    assert events[-1].response.model_dump(exclude=strip) == whole.model_dump(exclude=strip)


def test_the_sdks_own_stream_helper_follows(client, provider):
    provider.script(Reply("hello world", tool_calls=[ToolCall("f", {"q": 1})], chunk_size=3))
    with client.responses.stream(model="m", input="hi", tools=TOOLS) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == "hello world"
    assert final.output[1].arguments == '{"q":1}'


def test_a_call_and_its_output(client, provider):
    provider.script(Reply(tool_calls=[ToolCall("f", id="a")]))
    first = respond(client, tools=TOOLS)
    last = respond(client, [user("hi"), *first.output, result("a")], tools=TOOLS)
    assert last.output_text == "echo: hi"
    assert respond(client, [user("hi")], previous_response_id=last.id).output_text == "echo: hi"


def test_state_is_kept_and_counted(client, provider):
    first = respond(client, "one " * 50)
    second = respond(client, "two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    conversation = client.conversations.create(items=[user("zero")])
    one = respond(client, "one", conversation=conversation.id)
    two = respond(client, "two", conversation={"id": conversation.id})
    assert two.conversation.id == conversation.id
    assert two.usage.input_tokens > one.usage.input_tokens


def test_polling_cancelling_and_resuming(client, provider):
    begun = respond(client, background=True)
    seen = [begun.status, *(client.responses.retrieve(begun.id).status for _ in range(3))]
    assert seen == ["queued", "in_progress", "completed", "completed"]
    stopped = respond(client, background=True)
    assert client.responses.cancel(stopped.id).status == "cancelled"
    assert client.responses.retrieve(stopped.id).status == "cancelled"
    provider.script(Fault.status(500, "out of order"))
    lost = respond(client, background=True)
    client.responses.retrieve(lost.id)
    ended = client.responses.retrieve(lost.id)
    assert (ended.status, ended.error.message) == ("failed", "out of order")
    events = list(respond(client, background=True, stream=True))
    rest = list(client.responses.retrieve(events[-1].response.id, stream=True, starting_after=4))
    assert [e.model_dump() for e in rest] == [e.model_dump() for e in events[5:]]


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"input": [user("hi", name="Ana")]}, "input[0].name"),
        ({"input": [user([{"type": "text", "text": "hi"}])]}, "input[0].content[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "party"}]}, "input[0].type"),
        ({"input": [called("a")]}, "No tool output found for function call a"),
        ({"input": [result("a")]}, "No tool call found for function call output with call_id a"),
        ({"input": [called("a"), {"type": "function_call_output", "call_id": "a"}]}, "input[1].output"),
        ({"previous_response_id": "resp_x"}, "resp_x"),
        ({"previous_response_id": "x", "conversation": "y"}, "mutually exclusive"),
        ({"background": True, "store": False}, "requires store"),
        ({"extra_body": {"messages": []}}, "Unknown parameter: 'messages'"),
        ({"max_output_tokens": 1}, "max_output_tokens"),
        ({"text": {"format": {"type": "json_object"}}}, "json"),
    ],
)
def test_what_is_refused(client, provider, options, place):
    options = {"model": "m", "input": "hi", **options}
    with pytest.raises(openai.BadRequestError, match=place.replace("[", r"\[")):
        client.responses.create(**options)


def test_what_is_not_there(client, provider):
    for ask in (
        lambda: client.responses.retrieve("resp_x"),
        lambda: client.responses.cancel("resp_x"),
        lambda: respond(client, conversation="conv_x"),
        lambda: client.responses.retrieve(respond(client, store=False).id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()


def test_faults_reach_responses_too(client, provider):
    provider.script(Fault.status(503))
    with pytest.raises(openai.InternalServerError):
        respond(client)
    provider.script(Fault.cut(HELLO, after_chunks=5))
    with pytest.raises(Exception):  # noqa: B017, PT011 (httpx's own, which differs by version)
        list(respond(client, stream=True))
