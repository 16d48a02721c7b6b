"""What the local provider answers, as JSON and as a stream, and in which order."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.local_provider.asking import HELLO, HI, ask, chat, connect, events, post

import convmem
from convmem.testing import LocalProvider, Reply, ToolCall

# Replies.


def test_echo_is_the_default_and_speaks_to_every_client(provider, client):
    parts = [{"type": "text", "text": "京都"}, {"type": "text", "text": "tea"}]
    assert ask(client).choices[0].message.content == "echo: hi"
    answer = ask(client, [*HI, {"role": "assistant", "content": "yes"}, {"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "echo: 京都\ntea"

    async def talk():
        async with AsyncOpenAI(base_url=provider.base_url, api_key="x") as asynchronous:
            stream = await ask(asynchronous, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(asyncio.run(talk())) == "echo: hi"
    assert ask(client, n=3).choices[2].message.content == "echo: hi"


@pytest.mark.parametrize("parts", [False, True])
def test_echo_leaves_out_what_memory_put_in_front_and_nothing_else(provider, parts):
    asked = "Where is the key? <memory>\nmine\n</memory>\n\nThanks."
    content = [{"type": "text", "text": asked}] if parts else asked
    with convmem.Memory(":memory:", embedder="none") as memory:
        key = {"role": "user", "content": "The key hangs behind the clock.\n</memory>\n"}
        memory.record([key], user="alice", session="monday")
        memory.pin("Answer briefly.", user="alice")
        memory.flush()
        with connect(provider) as openai_client:
            client = memory.wrap(openai_client, user="alice", session="friday")
            reply = ask(client, [{"role": "user", "content": content}])
        assert memory.last_receipt().recalled
        sent = [provider.requests[-1].newest_user_text, provider.requests[-1].newest_user_words]
    assert sent[0].startswith("<memory>")
    assert sent[1] == asked
    assert reply.choices[0].message.content == f"echo: {asked}"


def test_words_of_the_user_that_look_like_a_block_further_down_stay(provider, client):
    summary = "<summary>\nExcerpts.\n</summary>\n\n"
    memory = "<memory>\nQuoted.\n</memory>\n\n"
    for front in (memory, summary, memory + summary, summary + memory):
        assert (
            ask(client, [{"role": "user", "content": f"{front}\nhi"}]).choices[0].message.content
            == "echo: \nhi"
        )
    said = "see <memory> and </memory>"
    assert ask(client, [{"role": "user", "content": said}]).choices[0].message.content == f"echo: {said}"


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (Reply("a\u2028b, 你好 😀"), "stop"),
        (Reply(""), "stop"),
        (Reply(), "stop"),
        (Reply(refusal="I will not."), "stop"),
        (Reply("half", finish_reason="insufficient_system_resource"), "insufficient_system_resource"),
        (Reply(tool_calls=[ToolCall("get_weather", {"city": "京都"}), ToolCall("g")]), "tool_calls"),
        (Reply("let me see", tool_calls=[ToolCall("f", "{broken", id="mine")]), "tool_calls"),
        (Reply("so", reasoning_content="think, think, think"), "stop"),
        (Reply("x", extra={"mood": "good"}), "stop"),
    ],
)
def test_a_stream_adds_up_to_the_json_reply(provider, client, reply, finish):
    provider.script(reply, reply)
    plain = ask(client)
    with client.chat.completions.stream(model="m", messages=HI) as stream:
        streamed = stream.get_final_completion()
    one, two = plain.choices[0], streamed.choices[0]
    assert one.finish_reason == two.finish_reason == finish
    assert (one.message.content or "") == (two.message.content or "")
    assert one.message.refusal == two.message.refusal == reply.refusal
    calls = [call.function for call in one.message.tool_calls or []]
    again = [call.function for call in two.message.tool_calls or []]
    expected = [(call.name, call.payload) for call in reply.tool_calls]
    assert [(call.name, call.arguments) for call in calls] == expected
    assert [(call.name, call.arguments) for call in again] == expected
    assert getattr(one.message, "mood", None) == reply.extra.get("mood")
    assert getattr(one.message, "reasoning_content", None) == reply.reasoning_content


def test_ids_and_times_come_from_the_number_of_the_request(provider):
    provider.script(*[Reply(choices=[Reply(tool_calls=[ToolCall("f")] * 2), Reply("b")])] * 2)
    post(provider, body=chat())
    status, headers, raw = post(provider, body=chat())
    body = json.loads(raw)
    assert (status, headers["x-request-id"]) == (200, "req_000002")
    assert (body["id"], body["created"]) == ("chatcmpl-000002", 1_700_000_002)
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_000002_0", "call_000002_1"]
    assert "date" not in {name.lower() for name in headers}


def test_choices_stream_in_turns(provider):
    provider.script(Reply(choices=[Reply("aaaa", chunk_size=1), Reply("b")]))
    chunks, done = events(post(provider, body=chat(stream=True, n=2))[2])
    assert done
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    texts = [
        "".join(
            c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"][0]["index"] == i
        )
        for i in (0, 1)
    ]
    assert texts == ["aaaa", "b"]


def test_custom_tool_calls_carry_free_text(provider, client):
    provider.script(Reply(tool_calls=[ToolCall("sql", "select 1", kind="custom")]))
    call = ask(client).choices[0].message.tool_calls[0]
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "sql", "select 1")


def test_usage_ends_a_stream_only_when_asked_for(provider):
    provider.script(HELLO, HELLO)
    without, _ = events(post(provider, body=chat(stream=True))[2])
    assert all("usage" not in chunk for chunk in without)
    chunks, done = events(post(provider, body=chat(stream=True, stream_options={"include_usage": True}))[2])
    assert done
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 7


def test_usage_counts_four_bytes_a_token_and_finds_shared_prefixes(deepseek):
    long = [{"role": "user", "content": "x" * 600}]
    with connect(deepseek) as client:
        deepseek.script(Reply("12345", reasoning_content="1234"))
        first = ask(client, long).usage
        longer = [*long, {"role": "assistant", "content": "echo"}, *HI]
        second = ask(client, longer).usage
        other = client.chat.completions.create(model="other", messages=longer).usage
    assert first.completion_tokens == 3
    assert first.completion_tokens_details.reasoning_tokens == 1
    assert first.total_tokens == first.prompt_tokens + 3
    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.prompt_cache_hit_tokens == second.prompt_tokens_details.cached_tokens == 128
    assert second.prompt_cache_hit_tokens + second.prompt_cache_miss_tokens == second.prompt_tokens
    assert other.prompt_cache_hit_tokens == 0


def test_openai_counts_cached_prefixes_from_1024_tokens(provider, client):
    short, long = ([{"role": "user", "content": "x" * size}] for size in (4000, 4400))
    assert [ask(client, short).usage.prompt_tokens_details.cached_tokens for _ in range(2)] == [0, 0]
    assert [ask(client, long).usage.prompt_tokens_details.cached_tokens for _ in range(2)] == [0, 1024]
    provider.script(Reply("x", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}))
    assert ask(client).usage.total_tokens == 3


def test_keep_alives_come_before_the_first_event(provider, client):
    patient = Reply("hello", keep_alive=3, headers={"x-mine": "1"}, delay_s=0.01, chunk_delay_s=0.001)
    provider.script(patient, patient, patient)
    _, headers, raw = post(provider, body=chat(stream=True))
    assert raw.startswith(b": keep-alive\n\n" * 3 + b"data: {")
    assert headers["x-mine"] == "1"
    assert post(provider, body=chat())[2].startswith(b'\n\n\n{"id"')
    assert "".join(c.choices[0].delta.content or "" for c in ask(client, stream=True)) == "hello"


def test_a_reply_has_choices_or_a_message():
    with pytest.raises(ValueError, match="choices"):
        Reply("a", choices=[Reply("b")])
    with pytest.raises(ValueError, match="chunk_size"):
        Reply("a", chunk_size=0)
    with pytest.raises(ValueError, match="keep_alive"):
        Reply("a", keep_alive=-1)


# The script.


def test_the_script_is_first_in_first_out_then_the_default(provider, client):
    provider.script(Reply("one"), lambda request: Reply(f"two, number {request.n}"))
    provider.default = lambda request: Reply(request.messages[-1]["content"].upper())
    assert len(provider.pending) == 2
    said = [ask(client).choices[0].message.content for _ in range(3)]
    assert said == ["one", "two, number 2", "HI"]
    assert provider.pending == ()


def test_refused_requests_take_nothing_from_the_script(provider, client):
    provider.script(Reply("one"))
    with pytest.raises(openai.BadRequestError):
        ask(client, [])
    assert ask(client).choices[0].message.content == "one"


def test_a_responder_that_raises_is_told_to_the_client_who_does_not_retry(provider):
    def broken(request):
        raise KeyError("nope")

    provider.script(broken)
    patient = OpenAI(base_url=provider.base_url, api_key="x", max_retries=2)
    with patient, pytest.raises(openai.InternalServerError, match=r"KeyError: 'nope'"):
        ask(patient)
    assert len(provider.requests) == 1


def test_requests_are_recorded_as_received():
    with LocalProvider(clock=lambda: 7.0) as provider:
        body = json.dumps(chat(), indent=2).encode()
        post(provider, "/v1/chat/completions?a=b", body, {"Authorization": "Bearer x", "X-Twice": "1"})
        post(provider, "/nowhere", b"\xff", {})
        first, second = provider.requests
        assert (first.n, first.method, first.path, first.query) == (1, "POST", "/v1/chat/completions", "a=b")
        assert (first.body, first.json, first.at, first.endpoint) == (body, chat(), 7.0, "chat")
        assert (first.headers["x-twice"], first.newest_user_text, first.stream) == ("1", "hi", False)
        assert (second.json, second.endpoint, second.fields) == (None, None, {})
        assert second.json_error.startswith("the body is not valid UTF-8")
        served = sorted(provider.wait_served(2), key=lambda each: each.n)
        assert [(each.n, each.status, each.complete) for each in served] == [(1, 200, True), (2, 404, True)]
