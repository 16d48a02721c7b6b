"""What a call costs the store: two reads at most and two writes, whatever its conversation is."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC

import pytest

import convmem
from convmem.abilities import CallReads
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing import Reply
from convmem.testing.fakes import FakeEmbedder

READS = ("call_reads", "turns", "epoch", "views", "pins", "find", "response", "sessions", "limits")
INDEXING = ("convmem-index", "convmem-vectors")
WRITES = ("write", "put_epoch", "put_pin")
ROOMY = WindowPolicy("roomy", high=4_000, low=1_000, summary=100, recall=500)


def counting(kind):
    """A store of a kind that counts what it is asked; indexing, which waits for no call, is not counted."""
    asked = Counter()

    def count(name):
        def method(self, *args, **options):
            if self.counts and threading.current_thread().name not in INDEXING:
                asked[name] += 1
            return getattr(kind, name)(self, *args, **options)

        return method

    methods = {name: count(name) for name in (*READS, *WRITES)}
    return type("Counting", (kind,), {**methods, "asked": asked, "counts": False})


@pytest.fixture
def store(tmp_path):
    return counting(SQLiteStore)(tmp_path / "chat.db")


@pytest.fixture
def memory(store):
    with convmem.Memory(store, embedder=FakeEmbedder(), policy=ROOMY, tz=UTC, deadline_ms=60_000) as memory:
        memory.record([{"role": "user", "content": "My locker code at the pool is 7719."}], user="alice")
        memory.pin("Answer in one line.", user="alice")
        yield memory
    store.close()


def ask(memory, store, client, *messages):
    """One call, with what the store was asked for it."""
    memory.flush()
    store.asked.clear()
    store.counts = True
    client.chat.completions.create(model="gpt-4o", messages=list(messages))
    store.counts = False
    return {name: n for name, n in store.asked.items() if n}


def test_a_call_that_quotes_reads_twice(memory, store, bare, provider):
    client = memory.wrap(bare, user="alice", session="s")
    ask(memory, store, client, {"role": "user", "content": "hello there"})
    for n in range(3):
        asked = ask(memory, store, client, {"role": "user", "content": f"what is my locker code? {n}"})
        assert "7719" in str(provider.requests[-1].messages[-1]), "something is quoted"
        assert "Answer in one line." in str(provider.requests[-1].messages)
        assert asked == {"call_reads": 1, "turns": 1, "write": 2}


def test_a_call_that_quotes_nothing_reads_once(memory, store, bare, provider):
    client = memory.wrap(bare, user="bob", session="s")
    said = [{"role": "user", "content": "hello there"}]
    ask(memory, store, client, *said)
    for _ in range(2):
        asked = ask(memory, store, client, {"role": "user", "content": "and a good day to you"})
        assert asked == {"call_reads": 1, "write": 2}


def test_a_whole_history_costs_no_more(memory, store, bare, provider):
    client = memory.wrap(bare, user="bob", session="s")
    provider.script(*[Reply("Noted.")] * 4)
    history = []
    for n in range(4):
        history.append({"role": "user", "content": f"this is message {n} of mine"})
        asked = ask(memory, store, client, *history)
        history.append({"role": "assistant", "content": "Noted."})
        if n:
            assert asked == {"call_reads": 1, "write": 2}


def test_a_long_conversation_that_a_new_process_takes_up_is_read_twice(tmp_path, bare, provider):
    policy = WindowPolicy("huge", high=100_000, low=50_000, summary=100, recall=0)
    said = [
        {"role": role, "content": f"{role} says word {n}"}
        for n in range(400)
        for role in ("user", "assistant")
    ]
    kind = counting(SQLiteStore)
    with convmem.Memory(str(tmp_path / "chat.db"), embedder="none", policy=policy) as memory:
        memory.record(said, user="alice", session="s")
    store = kind(tmp_path / "chat.db")
    with convmem.Memory(store, embedder="none", policy=policy, deadline_ms=60_000) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        asked = ask(memory, store, client, {"role": "user", "content": "and now?"})
        assert provider.requests[-1].messages == [*said, {"role": "user", "content": "and now?"}]
        assert asked.pop("views", 0) <= 1, "the partition is loaded beside the call"
        assert asked.pop("limits", 0) <= 1, "learnt limits are read once in a process"
        assert asked == {"call_reads": 2, "write": 2}
        asked = ask(memory, store, client, {"role": "user", "content": "and then?"})
        assert asked == {"call_reads": 1, "write": 2}
    store.close()


def test_a_store_that_cannot_read_at_once_is_asked_one_by_one(bare, provider):
    kind = counting(InMemoryStore)
    kind.call_reads = None
    store = kind()
    assert not isinstance(store, CallReads)
    with convmem.Memory(store, embedder="none", policy=ROOMY, deadline_ms=60_000) as memory:
        memory.record([{"role": "user", "content": "My locker code at the pool is 7719."}], user="alice")
        client = memory.wrap(bare, user="alice", session="s")
        ask(memory, store, client, {"role": "user", "content": "hello there"})
        asked = ask(memory, store, client, {"role": "user", "content": "what is my locker code?"})
        assert "7719" in str(provider.requests[-1].messages[-1])
        assert asked == {"epoch": 1, "turns": 2, "pins": 1, "views": 1, "write": 2}
