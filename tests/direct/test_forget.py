"""Forgetting while something is written: nothing that was acknowledged before it returned is left."""

from __future__ import annotations

import random
import threading
import time

import pytest

import convmem
from convmem.stores.memory import InMemoryStore

SECRET = "4711"  # noqa: S105 (a word to look for)


def user(text):
    return [{"role": "user", "content": text}]


class Interrupted(InMemoryStore):
    """Does something right after turns were read, the first times."""

    def __init__(self):
        super().__init__()
        self.then = []
        self.readers = []

    def turns(self, request):
        found = super().turns(request)
        if self.then and request.identities is None and request.seqs is None:
            self.readers.append(threading.current_thread().name)
            self.then.pop(0)()
        return found


@pytest.fixture
def store():
    return Interrupted()


@pytest.fixture
def memory(store):
    with convmem.Memory(store, embedder="none", deadline_ms=5_000) as opened:
        opened.record(user(f"my code is {SECRET}"), user="alice", session="s")
        opened.flush()
        yield opened


def left(memory):
    return [turn.text for turn in memory.turns(user="alice", branches=True) if SECRET in turn.text]


def test_what_is_journaled_while_it_is_looked_for_is_forgotten_too(memory, store):
    def record():
        memory.record(user(f"again: {SECRET}"), user="alice", session="s", append=True)
        memory.record(user(f"elsewhere: {SECRET}"), user="alice", session="new")

    store.then = [record]
    report = memory.forget(user="alice", text=SECRET)
    assert len(report.turn_ids) == 3
    assert not left(memory)
    assert memory.verify_forgotten(report)


def test_what_another_process_journals_while_it_is_forgotten_is_forgotten_too(memory, store):
    with convmem.Memory(store, embedder="none") as other:

        def record(text):
            return lambda: other.record(user(f"{text}: {SECRET}"), user="alice", session=text)

        store.then = [lambda: None, record("one"), record("two"), record("three")]
        report = memory.forget(user="alice", text=SECRET)
    assert store.readers[1:] == ["convmem-journal"] * 3, "what came since is looked for on the writer thread"
    assert len(report.turn_ids) == 4
    assert not left(memory)


def test_the_writer_looks_only_at_what_came_since(memory, store):
    many = [user(f"line {n}")[0] for n in range(1_200)]
    memory.record(many, user="alice", session="long")
    read = []
    turns = store.turns

    def counted(request):
        found = turns(request)
        if threading.current_thread().name == "convmem-journal":
            read.extend(found)
        return found

    store.turns = counted
    assert len(memory.forget(user="alice", text=SECRET).turn_ids) == 1
    assert not read


@pytest.mark.parametrize("what", [{"session": "s"}, {}, {"turn_ids": ["t1", "t999", "t01"]}])
def test_what_is_chosen_without_words_is_not_read(what, memory, store):
    seen = []
    store.then = [lambda: seen.append("read")]
    told = memory.forget(user="alice", dry_run=True, **what)
    assert told.turn_ids == ("t1",)
    assert seen == ["read"]
    store.then = [lambda: seen.append("read again")]
    assert memory.forget(user="alice", **what).turn_ids == ("t1",)
    assert seen == ["read"]
    assert not left(memory)


def test_a_session_without_a_user_is_an_owner_of_its_own(memory):
    for session in ("one", "two"):
        memory.record(user(f"{session}: {SECRET}"), user=None, session=session)
    assert len(memory.forget(user=None, session="one").turn_ids) == 1
    assert [t.session for t in memory.turns(user=None)] == ["two"]
    assert len(memory.forget(user=None, session="two", text=SECRET, dry_run=True).turn_ids) == 1
    assert len(memory.forget(user=None, session="two", text=SECRET).turn_ids) == 1
    assert not memory.turns(user=None)
    assert left(memory)


def race(memory, bare, rounds, workers=4):
    """Forgets beside calls and records; returns what was acknowledged before that and is there after."""
    survivors = []
    for n in range(rounds):
        stop, said = threading.Event(), []

        def work(k, n=n, stop=stop, said=said):
            pauses = random.Random(100 * n + k)
            client = memory.wrap(bare, user="alice", session=f"calls {k}")
            while not stop.is_set():
                time.sleep(pauses.random() * 0.01)
                text = f"{n}.{k}.{len(said)}: my code is {SECRET}"
                if k % 2:
                    memory.record(user(text), user="alice", session=f"s{k}", append=True)
                else:
                    client.chat.completions.create(model="m", messages=user(text))
                said.append((time.perf_counter(), text))

        threads = [threading.Thread(target=work, args=(k,)) for k in range(workers)]
        for thread in threads:
            thread.start()
        time.sleep(random.Random(n).random() * 0.02)
        memory.forget(user="alice", text=SECRET)
        returned = time.perf_counter()
        stop.set()
        for thread in threads:
            thread.join()
        there = set(left(memory))
        survivors += [text for at, text in said if at < returned and text in there]
        memory.forget(user="alice", text=SECRET)
        assert not left(memory)
    return survivors


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_nothing_that_was_acknowledged_before_it_returned_is_left(kind, tmp_path, bare):
    kept = ":memory:" if kind == "memory" else tmp_path / "chat.db"
    with convmem.Memory(kept, embedder="none", deadline_ms=5_000) as memory:
        assert race(memory, bare, rounds=10) == []


@pytest.mark.slow
def test_nothing_that_was_acknowledged_is_left_in_two_hundred_rounds(tmp_path, bare):
    with convmem.Memory(tmp_path / "chat.db", embedder="none", deadline_ms=5_000) as memory:
        assert race(memory, bare, rounds=200) == []
