"""Streams: the SDK's own type, chunk for chunk, and what arrived is kept however they end."""

from __future__ import annotations

import asyncio
import gc

import openai
import pytest

import convmem
from convmem.testing import Fault, Reply, ToolCall

ASKED = {"model": "m", "messages": [{"role": "user", "content": "tell me"}]}
LONG = Reply("one two three four five six seven eight nine ten", chunk_size=4)


def journal(memory):
    memory.flush()
    return [(t.role, t.text, t.state) for t in memory.turns(user="alice", session="s", branches=True)]


def test_chunks_are_the_bare_clients_one_for_one(provider, bare, memory):
    for session, reply in enumerate(
        (
            LONG,
            Reply("京都 14:05", reasoning_content="想一想", extra={"vendor": "x"}),
            Reply(tool_calls=[ToolCall("f", {"q": "京都"}, id="1"), ToolCall("g", {}, id="2")]),
        )
    ):
        seen = []
        for one in (bare, memory.wrap(bare, user=f"u{session}", session="s")):
            provider.script(reply)
            stream = one.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
            assert isinstance(stream, openai.Stream)
            chunks = [chunk.model_dump(exclude={"id", "created"}) for chunk in stream]
            seen.append(chunks)
        assert seen[0] == seen[1]


def test_the_reply_is_committed_before_the_stream_ends(provider, client, memory):
    provider.script(Reply("京都 14:05", reasoning_content="想一想"))
    stream = client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    for _ in stream:
        pass
    receipt = memory.receipt_for(stream)
    assert (receipt.state, receipt.journaled) == ("answered", True)
    assert receipt.usage["completion_tokens"] > 0
    reply = memory.turns(user="alice", session="s")[-1]
    assert reply.id == receipt.turns[-1]
    assert reply.payload == {"role": "assistant", "content": "京都 14:05", "reasoning_content": "想一想"}


def test_streamed_tool_calls_are_put_together(provider, client, memory):
    provider.script(
        Reply(
            tool_calls=[ToolCall("f", {"q": "京都"}, id="1"), ToolCall("g", {"n": 2}, id="2")], chunk_size=3
        )
    )
    list(client.chat.completions.create(**ASKED, stream=True))
    calls = memory.turns(user="alice", session="s")[-1].payload["tool_calls"]
    assert [(c["id"], c["type"], c["function"]["name"]) for c in calls] == [
        ("1", "function", "f"),
        ("2", "function", "g"),
    ]
    assert "京都" in calls[0]["function"]["arguments"]


def test_breaking_off_and_closing_keeps_what_arrived_once(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    for n, _ in enumerate(stream):
        if n == 3:
            break
    stream.close()
    stream.close()
    (asked, reply) = journal(memory)
    assert asked == ("user", "tell me", "answered")
    assert reply[2] == "partial"
    assert LONG.content.startswith(reply[1])
    assert reply[1]
    assert memory.receipt_for(stream).state == "partial"


def read(memory, *, branches=False):
    return [(t.role, t.state) for t in memory.turns(user="alice", session="s", branches=branches)]


def test_closing_a_stream_commits_before_it_returns(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    next(stream)
    next(stream)
    stream.close()
    assert memory.receipt_for(stream).journaled
    assert read(memory) == [("user", "answered"), ("assistant", "partial")]

    provider.script(LONG)
    with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        lines = response.iter_lines()
        while "one" not in next(lines):
            pass
    assert memory.last_receipt().journaled
    assert read(memory) == [("user", "answered"), ("assistant", "partial")], "the same question, asked again"


def test_closing_an_async_stream_commits_before_it_returns(provider, memory):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            completions = memory.wrap(bare, user="alice", session="s").chat.completions
            provider.script(LONG)
            stream = await completions.create(**ASKED, stream=True)
            await anext(stream)
            await anext(stream)
            await stream.close()
            assert memory.receipt_for(stream).journaled
            assert read(memory) == [("user", "answered"), ("assistant", "partial")]

            provider.script(LONG)
            async with completions.with_streaming_response.create(**ASKED, stream=True) as response:
                lines = response.iter_lines()
                while "one" not in await anext(lines):
                    pass
            assert memory.last_receipt().journaled

    asyncio.run(go())


def test_a_call_that_brought_no_text_leaves_a_failed_message(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    stream.close()
    receipt = memory.receipt_for(stream)
    assert (receipt.state, receipt.journaled) == ("failed", True)
    assert read(memory) == [("user", "failed")]
    assert '"state":"failed"' in "".join(memory.export()).replace(" ", "")
    memory.flush()
    assert memory.recall("tell me", user="alice") == []
    other = [{"role": "user", "content": "something else"}]
    assert memory.prepare(other, user="alice", session="s").messages == other
    client.chat.completions.create(**ASKED)
    assert read(memory) == [("user", "answered"), ("assistant", "answered")]


def test_a_dropped_stream_is_kept_too(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    next(stream)
    next(stream)
    stream.response.close()
    del stream
    gc.collect()
    assert [state for _, _, state in journal(memory)] == ["answered", "partial"]


def test_closing_memory_keeps_what_open_streams_brought(provider, bare, tmp_path):
    memory = convmem.Memory(tmp_path / "x.db", embedder="none")
    provider.script(LONG)
    stream = memory.wrap(bare, user="alice", session="s").chat.completions.create(**ASKED, stream=True)
    next(stream)
    next(stream)
    memory.close()
    stream.close()
    with convmem.Memory(tmp_path / "x.db", embedder="none") as again:
        assert [state for _, _, state in journal(again)] == ["answered", "partial"]


@pytest.mark.parametrize(
    "fault",
    [Fault.cut(LONG, after_chunks=4), Fault.error_event(LONG, after_chunks=4)],
    ids=["cut", "error event"],
)
def test_a_stream_that_breaks_raises_as_ever_and_keeps_what_arrived(provider, bare, client, memory, fault):
    errors = []
    for one in (bare, client):
        provider.script(fault)
        with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the bare client raises)
            list(one.chat.completions.create(**ASKED, stream=True))
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]
    asked, reply = journal(memory)
    assert asked[2] == "answered"
    assert reply[2] == "partial"
    assert reply[1]


def test_a_partial_reply_sent_back_is_the_same_turn(provider, client, memory):
    provider.script(LONG)
    stream = client.chat.completions.create(**ASKED, stream=True)
    heard = ""
    for n, chunk in enumerate(stream):
        heard += chunk.choices[0].delta.content or ""
        if n == 4:
            break
    stream.close()
    history = [
        *ASKED["messages"],
        {"role": "assistant", "content": heard},
        {"role": "user", "content": "go on"},
    ]
    client.chat.completions.create(model="m", messages=history)
    assert [(role, state) for role, _, state in journal(memory)] == [
        ("user", "answered"),
        ("assistant", "partial"),
        ("user", "answered"),
        ("assistant", "answered"),
    ]


def test_the_stream_helper_and_parse_remember_too(provider, client, memory):
    with client.chat.completions.stream(**ASKED) as events:
        for _ in events:
            pass
    client.chat.completions.parse(**ASKED)
    assert [text for _, text, _ in journal(memory)] == ["tell me", "echo: tell me"] * 2


def test_async_breaking_off_cancelling_and_ending(provider, memory):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            client = memory.wrap(bare, user="alice", session="s")
            provider.script(LONG)
            stream = await client.chat.completions.create(**ASKED, stream=True)
            assert isinstance(stream, openai.AsyncStream)
            await anext(stream)
            await anext(stream)
            await stream.close()
            await stream.close()

            provider.script(Fault.stall(60, reply=LONG, after_chunks=3))

            came = asyncio.Event()

            async def read() -> None:
                async for chunk in await client.chat.completions.create(**ASKED, stream=True):
                    if chunk.choices[0].delta.content:
                        came.set()

            task = asyncio.create_task(read())
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            stream = await client.chat.completions.create(**ASKED, stream=True)
            async for _ in stream:
                pass
            assert memory.receipt_for(stream).journaled

    asyncio.run(go())
    states = [state for role, _, state in journal(memory) if role == "assistant"]
    assert states[-1] == "answered"
    assert set(states[:-1]) == {"partial"}
