"""When the views of turns are made: after an import without being asked, and before a Memory is closed."""

from __future__ import annotations

import threading
import time

import pytest

import convmem
from convmem import engine
from convmem.abilities import UnindexedRequest
from convmem.errors import InputError
from convmem.retrieve import indexer
from convmem.stores.memory import InMemoryStore
from convmem.testing import Reply

SAID = [{"role": "user", "content": "My locker code is 7719."}, {"role": "assistant", "content": "Noted."}]


def without_words(store):
    return [turn.text for turn in store.unindexed(UnindexedRequest(None, 0, 100))]


def has_words(store):
    """Wait until all turns can be found by their words; nobody asks for it."""
    until = time.monotonic() + 60
    while without_words(store) and time.monotonic() < until:
        time.sleep(0.01)
    return not without_words(store)


@pytest.mark.parametrize("broken", [False, True])
def test_imported_turns_are_found_without_a_flush(broken):
    with convmem.Memory(InMemoryStore(), embedder="none") as other:
        other.record(SAID, user="ana", session="old")
        lines = list(other.export())
    store = InMemoryStore()
    with convmem.Memory(store, embedder="none") as memory:
        memory.flush()  # the look at the opening is over
        if broken:
            other_session = lines[-1].replace('"old"', '"new"')
            with pytest.raises(InputError):
                memory.import_([*lines, other_session, "{}"])
        else:
            assert memory.import_(lines) == len(SAID)
        assert store.stats().turns >= len(SAID)
        assert has_words(store)


def test_what_was_said_last_has_its_words_when_the_memory_is_closed(bare, monkeypatch):
    begun, goes_on, entry_of = threading.Event(), threading.Event(), indexer.entry_of

    def slowly(turn):
        begun.set()
        assert goes_on.wait(60)
        return entry_of(turn)

    monkeypatch.setattr(indexer, "entry_of", slowly)
    monkeypatch.setattr(indexer, "_FINISH_S", 60.0)
    store = InMemoryStore()
    with convmem.Memory(store, embedder="none", deadline_ms=1) as memory:
        client = memory.wrap(bare, user="ana", session="s")
        for text in ("My bike is a blue Peugeot.", "It has a bell."):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
            assert begun.wait(60)  # the words of the first call are being made when the second is journaled
        assert without_words(store)
        threading.Timer(0.2, goes_on.set).start()
    assert without_words(store) == []


def test_what_an_open_stream_brought_has_its_words_when_the_memory_is_closed(bare, provider, monkeypatch):
    monkeypatch.setattr(indexer, "_FINISH_S", 60.0)
    monkeypatch.setattr(engine, "_STREAMS_WAIT_S", 60.0)
    provider.script(Reply("It is half past nine in Lisbon."))
    store, message = InMemoryStore(), {"role": "user", "content": "What time is it?"}
    with convmem.Memory(store, embedder="none") as memory:
        client = memory.wrap(bare, user="ana", session="s")
        stream = client.chat.completions.create(model="m", messages=[message], stream=True)
        chunks = [chunk for chunk, _ in zip(stream, range(3), strict=False)]
    assert len(chunks) == 3
    assert [turn.state for turn in memory.turns(user="ana", session="s")] == ["answered", "partial"]
    assert without_words(store) == []
    memory.flush()  # all is done, and nothing to complain of


def test_closing_looks_for_nothing_that_others_left_undone(monkeypatch):
    store, begun, goes_on = InMemoryStore(), threading.Event(), threading.Event()
    entry_of, finish = indexer.entry_of, indexer.Indexer.finish
    with monkeypatch.context() as idle:
        idle.setattr(indexer.Indexer, "_begin", lambda *_: None)
        with convmem.Memory(store, embedder="none") as memory:
            memory.record([turn for n in range(20) for turn in said(n)], user="ana", session="s")

    def slowly(turn):
        begun.set()
        assert goes_on.wait(60)
        return entry_of(turn)

    def finishing(self, timeout):
        finish(self, 0.0)  # it has been told, and is waited for only then
        goes_on.set()
        finish(self, timeout)

    monkeypatch.setattr(indexer, "entry_of", slowly)
    monkeypatch.setattr(indexer, "_ANALYZED_AT_ONCE", 1)
    monkeypatch.setattr(indexer, "_FINISH_S", 60.0)
    monkeypatch.setattr(indexer.Indexer, "finish", finishing)
    memory = convmem.Memory(store, embedder="none")
    assert begun.wait(60)
    memory.close()
    assert len(without_words(store)) == 39, "all but the turn that was being analyzed"


def said(n):
    return [
        {"role": "user", "content": f"Line {n} is mine."},
        {"role": "assistant", "content": f"So {n} is."},
    ]
