"""Streams that are left by other ways than their own `close`, and ends that are none."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import importlib
import json

import openai
import pytest

from convmem.testing import Reply

ASKED = {"model": "m", "messages": [{"role": "user", "content": "tell me"}]}
LONG = Reply("one two three four five six seven eight nine ten", chunk_size=4)


def journal(memory):
    return [(t.role, t.text, t.state) for t in memory.turns(user="alice", session="s", branches=True)]


def assert_partial(memory):
    """What arrived is there at once, without a flush."""
    (asked, reply) = journal(memory)
    assert asked == ("user", "tell me", "answered")
    assert reply[2] == "partial"
    assert reply[1]
    assert LONG.content.startswith(reply[1])
    assert memory.last_receipt().state == "partial"
    assert memory.last_receipt().journaled


def opened(client, shape):
    if shape == "chat":
        return client.chat.completions.stream(**ASKED)
    return client.responses.stream(model="m", input="tell me")


@pytest.mark.parametrize("how", ["break", "error", "close"])
@pytest.mark.parametrize("shape", ["chat", "responses"])
def test_the_stream_helper_left_early_keeps_what_arrived(provider, client, memory, shape, how):
    provider.script(LONG)
    with contextlib.suppress(KeyError), opened(client, shape) as events:
        for n, _ in enumerate(events):
            if n == 8:
                if how == "error":
                    {}["no such key"]
                if how == "close":
                    events.close()
                break
    assert_partial(memory)


@pytest.mark.parametrize("shape", ["chat", "responses"])
def test_the_async_stream_helper_left_early_keeps_what_arrived(provider, memory, shape):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            provider.script(LONG)
            async with opened(memory.wrap(bare, user="alice", session="s"), shape) as events:
                n = 0
                async for _ in events:
                    n += 1
                    if n > 8:
                        break
            assert_partial(memory)

    asyncio.run(go())


def test_a_closed_response_ends_its_stream(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    for _ in range(4):
        next(stream)
    stream.response.close()
    assert_partial(memory)


@pytest.mark.parametrize("shape", ["chat", "responses"])
def test_a_stream_helper_that_came_to_its_end_is_whole(provider, client, memory, shape):
    provider.script(LONG)
    with opened(client, shape) as events:
        list(events)
    assert journal(memory) == [("user", "tell me", "answered"), ("assistant", LONG.content, "answered")]


def test_a_stream_dropped_before_its_first_chunk_has_failed(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    del stream
    gc.collect()
    memory.flush()
    assert journal(memory) == [("user", "tell me", "failed")]
    assert memory.last_receipt().state == "failed"


def test_a_raw_view_that_nobody_reads_has_failed(provider, client, memory):
    provider.script(LONG)
    raw = client.chat.completions.with_raw_response.create(**ASKED, stream=True)
    del raw
    gc.collect()
    memory.flush()
    assert journal(memory) == [("user", "tell me", "failed")]


# Undecoded bytes.


def raw(response) -> int:
    return sum(map(len, response.http_response.iter_raw()))


def test_a_body_that_is_read_undecoded_is_kept(provider, client, memory):
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        assert raw(response)
    assert journal(memory) == [("user", "tell me", "answered"), ("assistant", "echo: tell me", "answered")]


def test_an_async_body_that_is_read_undecoded_is_kept(provider, memory):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            client = memory.wrap(bare, user="alice", session="s")
            asking = client.chat.completions.with_streaming_response.create(**ASKED, stream=True)
            async with asking as response:
                async for _ in response.http_response.aiter_raw():
                    pass

    asyncio.run(go())
    assert journal(memory) == [("user", "tell me", "answered"), ("assistant", "echo: tell me", "answered")]


def served(body: bytes, **headers) -> openai.OpenAI:
    """A client whose provider answers everything with this stream, closed in order."""
    base = next(cls for cls in openai.DefaultHttpxClient.__mro__ if cls.__module__.startswith("httpx"))
    httpx = importlib.import_module(base.__module__.partition(".")[0])

    class Pieces(httpx.SyncByteStream):
        def __iter__(self):
            for i in range(0, len(body), 7):
                yield body[i : i + 7]

    def answer(request):
        return httpx.Response(200, headers={"content-type": "text/event-stream", **headers}, stream=Pieces())

    http = openai.DefaultHttpxClient(transport=httpx.MockTransport(answer))
    return openai.OpenAI(base_url="http://served", api_key="x", max_retries=0, http_client=http)


def event(delta, *, end=None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


WORDS = event({"role": "assistant", "content": "The answer"}) + event({"content": " is 4"})


def test_a_compressed_body_that_is_read_undecoded_is_kept(memory):
    body = gzip.compress(WORDS + event({}, end="stop") + b"data: [DONE]\n\n")
    with served(body, **{"content-encoding": "gzip"}) as bare:
        client = memory.wrap(bare, user="alice", session="s")
        with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
            assert raw(response) == len(body)
    assert journal(memory)[-1] == ("assistant", "The answer is 4", "answered")


# Ends.


@pytest.mark.parametrize("view", ["stream", "bytes"])
@pytest.mark.parametrize(
    ("end", "state"),
    [
        (b"", "partial"),
        (event({}, end="stop"), "answered"),
        (b"data: [DONE]\n\n", "answered"),
    ],
    ids=["nothing", "finish_reason", "done"],
)
def test_a_stream_is_whole_when_its_end_was_said(memory, end, state, view):
    with served(WORDS + end) as bare:
        client = memory.wrap(bare, user="alice", session="s")
        if view == "stream":
            list(client.chat.completions.create(**ASKED, stream=True))
        else:
            with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
                list(response.iter_bytes())
    assert journal(memory) == [("user", "tell me", "answered"), ("assistant", "The answer is 4", state)]
    assert memory.last_receipt().state == state
