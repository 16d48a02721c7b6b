"""Scopes and what runs elsewhere: what goes with a scope, what does not, and what the receipt says of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

import convmem

LOST = "made outside of scope()"


@pytest.fixture
def ask(memory, bare):
    """Asks with a client that was wrapped for nobody, and tells whose the call was and what was noted."""
    client = memory.wrap(bare)

    def asking(text="hello"):
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
        receipt = memory.receipt_for(reply)
        return receipt.user, receipt.session, noted(receipt)

    return asking


def noted(receipt):
    return [note for note in receipt.notes if LOST in note]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as running:
        running.submit(lambda: None).result()  # its thread began outside of any scope
        yield running


def test_an_executor_does_not_take_a_scope_along_and_the_receipt_says_so(memory, ask, pool):
    assert pool.submit(ask).result()[2] == [], "nobody named anything yet"
    with memory.scope(user="ana", session="s"):
        inside = pool.submit(ask).result()
    after = pool.submit(ask).result()
    for user, session, notes in (inside, after):
        assert user is None
        assert session.startswith("session-")
        (note,) = notes
        assert "names a user and session" in note
        assert "copy_context().run" in note
    assert {turn.user for turn in memory.turns(user=None)} == {None}


def test_what_the_note_recommends_works(memory, bare, ask, pool):
    with memory.scope(user="ana", session="s"):
        whole = pool.submit(copy_context().run, ask, "in a pool")
        bound = memory.wrap(bare, user="ana", session="s")
    assert whole.result() == ("ana", "s", [])
    thread_told = []
    with memory.scope(user="ben", session="t"):
        thread = threading.Thread(target=copy_context().run, args=(lambda: thread_told.append(ask()),))
    thread.start()
    thread.join()
    assert thread_told == [("ben", "t", [])]

    def asking(client):
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "again"}])
        return memory.receipt_for(reply)

    assert noted(pool.submit(asking, bound).result()) == []


def test_of_an_event_loop(memory, ask, pool):
    async def main():
        loop = asyncio.get_running_loop()
        with memory.scope(user="ana", session="s"):
            task = asyncio.create_task(asyncio.to_thread(ask))
            carried = loop.run_in_executor(pool, copy_context().run, ask)
            lost = loop.run_in_executor(pool, ask)
        return await task, await carried, await lost

    task, carried, lost = asyncio.run(main())
    assert task == carried == ("ana", "s", [])
    assert lost[0] is None
    assert lost[2]


def test_a_generator_that_is_read_after_its_block(memory, bare, ask):
    client = memory.wrap(bare, user="ana")

    def words():
        asked = [{"role": "user", "content": "tell me"}]
        yield from client.chat.completions.create(model="m", messages=asked, stream=True)

    with memory.scope(session="s"):
        late = words()
    assert list(late)
    (note,) = noted(memory.last_receipt())
    assert "names a session in" in note
    assert memory.last_receipt().user == "ana"


def test_who_says_whose_the_call_is_gets_no_note(memory, bare, ask):
    with memory.scope(user="ana", session="s"):
        assert ask() == ("ana", "s", [])
        with memory.scope(session=None):
            assert ask()[2] == [], "it was taken away on purpose"
    client = memory.wrap(bare, user="ben", session="t")
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert noted(memory.last_receipt()) == []


def test_a_mode_that_does_not_reach_a_call_is_told_while_it_is_open(memory, bare, pool):
    client = memory.wrap(bare, user="ana", session="s")

    def asking():
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        return memory.receipt_for(reply)

    with memory.scope(mode="off"):
        lost = pool.submit(asking).result()
        off = pool.submit(copy_context().run, asking).result()
        assert (off.mode, noted(off)) == ("off", [])
    assert "names a mode" in noted(lost)[0]
    assert noted(pool.submit(asking).result()) == []


def test_another_memorys_scopes_are_none_of_a_calls_business(memory, ask):
    with convmem.Memory(":memory:", embedder="none") as other, other.scope(user="ana", session="s"):
        assert ask()[2] == []


def test_a_scope_that_is_left_in_another_context_ends_quietly(memory, ask):
    def within():
        with memory.scope(user="ana", session="s"):
            yield ask()

    begun = within()
    assert copy_context().run(next, begun)[0] == "ana"
    with pytest.raises(StopIteration):
        next(begun)
    assert ask()[0] is None
    dropped = within()
    copy_context().run(next, dropped)
    copy_context().run(dropped.close)
    assert ask()[0] is None
