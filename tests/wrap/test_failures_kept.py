"""A call that raised is journaled when it raises: whoever catches the error reads what became of it."""

from __future__ import annotations

import asyncio
import time

import openai
import pytest

import convmem
from convmem.stores.memory import InMemoryStore
from convmem.testing import Fault, Reply

ASKED = {"model": "m", "messages": [{"role": "user", "content": "What time is it?"}]}


class Slow(InMemoryStore):
    """Takes a while for the end of a call."""

    def write(self, batch):
        if any(write.call is not None and write.call.state != "pending" for write in batch):
            time.sleep(0.3)
        return super().write(batch)


async def create(client):
    await client.chat.completions.create(**ASKED)


async def stream(client):
    async for _ in await client.chat.completions.create(**ASKED, stream=True):
        pass


async def undecoded(client):
    async with client.chat.completions.with_streaming_response.create(**ASKED, stream=True) as response:
        async for _ in response.iter_bytes():
            pass


@pytest.mark.parametrize("ask", [create, stream, undecoded])
@pytest.mark.parametrize(
    "fault", [Fault.status(402), Fault.cut(Reply("It is half past nine."), after_chunks=3)]
)
def test_an_async_call_that_raised_is_journaled(provider, ask, fault):
    async def shown(memory):
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            provider.script(fault)
            client = memory.wrap(bare, user="ana", session="s")
            raised = await asyncio.gather(ask(client), return_exceptions=True)
            assert isinstance(raised[0], Exception)
            return [turn.state for turn in memory.turns(user="ana", session="s")]

    with convmem.Memory(Slow(), embedder="none", deadline_ms=60_000, store_timeout_s=60) as memory:
        states = asyncio.run(shown(memory))
        kept = fault.kind == "cut" and ask is not create
        assert states == (["answered", "partial"] if kept else ["failed"])
        (receipt,) = memory.receipts(user="ana")
        assert receipt.state == ("partial" if kept else "failed")


def test_a_table_that_cannot_be_read_breaks_no_call(client, memory, provider, monkeypatch):
    def unreadable(_model):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("convmem.context.lessons.context_limit", unreadable)
    wrapped = memory.wrap(client, user="alice", session="s")
    said = [{"role": "user", "content": "My locker is 7719."}]
    assert wrapped.chat.completions.create(model="m", messages=said).choices
    receipt = memory.last_receipt()
    assert receipt.journaled
    assert not receipt.complete
    assert (
        "the call goes out as it was made: OSError" in receipt.notes[-1]
        or "Too many open files" in receipt.notes[-1]
    )
    assert provider.requests[-1].messages == said
