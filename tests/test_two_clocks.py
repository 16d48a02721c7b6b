"""What keeps a call from waiting for others: partitions, the indexer, warm starts, locks."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

import convmem
from convmem.abilities import OwnerRef, UnindexedRequest
from convmem.journal.writer import Journal
from convmem.retrieve import indexer
from convmem.retrieve.partitions import Partitions
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing.fakes import FakeEmbedder
from convmem.threads.lanes import Lanes

FACT = {"role": "user", "content": "My locker code at the pool is 7719."}
ASKED = {"role": "user", "content": "what is my locker code?"}
ALICE, BOB = OwnerRef("alice"), OwnerRef("bob")


class SlowForAlice(InMemoryStore):
    """A store in which reading one user's views takes for ever."""

    def __init__(self):
        super().__init__()
        self.reading, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.reads = []

    def views(self, request):
        self.reads.append(request.owner)
        if request.owner == ALICE and not self.go.is_set():
            self.reading.set()
            assert self.go.wait(60)
        return super().views(request)


@pytest.fixture
def slow():
    store = SlowForAlice()
    with convmem.Memory(store, embedder="none") as memory:
        memory.record([FACT], user="alice", session="s")
        memory.record([FACT], user="bob", session="s")
        memory.flush()
    yield store
    store.go.set()


def test_loading_one_users_partition_keeps_no_other_user_waiting(slow):
    partitions = Partitions(slow, None)
    slow.go.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(partitions.get, ALICE)
        assert slow.reading.wait(60)
        assert len(partitions.get(BOB).partition) == 1
        assert not loading.done()
        slow.go.set()
        assert len(loading.result(60).partition) == 1


def test_what_is_forgotten_while_a_partition_is_loaded_is_not_kept(slow):
    partitions = Partitions(slow, None)
    slow.go.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(partitions.get, ALICE)
        assert slow.reading.wait(60)
        partitions.drop()
        slow.go.set()
        loading.result(60)
    assert not partitions.holds(ALICE)


def test_a_partition_that_is_not_loaded_in_time_holds_up_one_call_for_the_deadline_alone(
    slow, bare, provider
):
    slow.go.clear()
    with convmem.Memory(slow, embedder="none", deadline_ms=50) as memory:
        client = memory.wrap(bare, user="alice", session="now")
        assert slow.reading.wait(60), "loaded when the client is wrapped"
        reply = client.chat.completions.create(model="m", messages=[ASKED])
        receipt = memory.receipt_for(reply)
        assert (receipt.complete, receipt.journaled, receipt.recalled) == (True, True, ())
        assert any("recall was not ready within 50 ms" in note for note in receipt.notes)
        slow.go.set()
    assert provider.requests[-1].messages == [ASKED]


def test_what_a_users_first_call_needs_is_loaded_on_wrap_and_on_scope(slow, bare):
    with convmem.Memory(slow, embedder=FakeEmbedder()) as memory:
        recaller = memory._engine.recaller
        slow.reads.clear()
        client = memory.wrap(bare, user="alice")
        wait([future for future in [recaller.load_soon(ALICE)] if future is not None])
        assert slow.reads == [ALICE]
        with memory.scope(user="bob"):
            wait([future for future in [recaller.load_soon(BOB)] if future is not None])
        assert slow.reads == [ALICE, BOB]
        memory.wrap(bare, user="alice")
        assert slow.reads == [ALICE, BOB], "once"
        assert client is not bare


class Counting(FakeEmbedder):
    """An embedder that notes which passages it is given."""

    def __init__(self):
        super().__init__()
        self.passages = []

    def embed(self, texts, kind):
        if kind == "passage":
            self.passages += [text for text in texts if "is mine" in text]
        return super().embed(texts, kind)


def test_each_process_embeds_the_turns_of_its_own_calls(tmp_path, bare, provider):
    one, two = Counting(), Counting()
    with (
        convmem.Memory(tmp_path / "chat.db", embedder=one) as left,
        convmem.Memory(tmp_path / "chat.db", embedder=two) as right,
    ):
        left.flush()
        right.flush()
        for memory, name in ((left, "left"), (right, "right")):
            client = memory.wrap(bare, user="alice", session=name)
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"{name} is mine"}]
            )
        until = time.monotonic() + 60
        while (len(one.passages) < 2 or len(two.passages) < 2) and time.monotonic() < until:
            time.sleep(0.01)
        assert sorted(one.passages) == ["echo: left is mine", "left is mine"]
        assert sorted(two.passages) == ["echo: right is mine", "right is mine"]


def test_what_another_process_left_undone_is_made_when_there_is_nothing_else_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(indexer, "_IDLE_S", 0.05)
    with convmem.Memory(tmp_path / "chat.db", embedder=FakeEmbedder()) as memory:
        memory.record([ASKED], user="bob", session="s")
        memory.flush()
        with convmem.Memory(tmp_path / "chat.db", embedder="none") as other:
            other.record([FACT], user="alice", session="s")
            other.flush()
        memory._engine.recaller.indexer.wake(new=())
        store, fingerprint = memory._store, FakeEmbedder().fingerprint
        until = time.monotonic() + 60
        while store.unindexed(UnindexedRequest(fingerprint)) and time.monotonic() < until:
            time.sleep(0.01)
        assert not store.unindexed(UnindexedRequest(fingerprint))


def test_embedding_turns_stands_back_for_calls_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(indexer, "_YIELD_S", 0.2)
    store = InMemoryStore()
    journal = Journal(store, on_trouble=lambda _: None, on_healed=lambda _: None)
    made = indexer.Indexer(store, FakeEmbedder(), Lanes(), tell=lambda _: None, journal=journal)
    began = time.monotonic()
    with made.standing_back():
        made._stand_back()
    assert time.monotonic() - began >= 0.2
    ended = threading.Event()
    threading.Thread(target=lambda: (made._stand_back(), ended.set())).start()
    assert ended.wait(60), "nobody is waited for when no call is being composed"


def test_a_lock_that_is_kept_is_told_from_processes_taking_turns(tmp_path):
    store = SQLiteStore(tmp_path / "chat.db", busy_ms=10)
    other = SQLiteStore(tmp_path / "chat.db", busy_ms=10)
    try:
        with convmem.Memory(store, embedder="none") as memory:
            memory.record([FACT], user="alice", session="s")
        holder = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        held = []
        for n in range(4):
            holder.execute("BEGIN IMMEDIATE")
            if n < 2:
                holder.execute("UPDATE owners SET generation = generation + 1")
            with pytest.raises(convmem.StoreLockedError) as raised:
                store.put_views([])
            held.append(raised.value.held)
            holder.execute("COMMIT")
            time.sleep(0.05)  # a file's time is told in steps of a few milliseconds
        assert held == [False, False, False, True], "nothing was written between the last two tries"
        holder.close()
    finally:
        store.close()
        other.close()


def test_a_machine_that_gives_no_threads_breaks_no_call_and_memory_is_back_afterwards(
    bare, provider, monkeypatch
):
    start = threading.Thread.start

    def refuses(thread):  # the provider's threads are another machine's
        if thread.name.startswith("convmem-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with convmem.Memory(InMemoryStore(), embedder="none") as memory:
        client = memory.wrap(bare, user="alice", session="s")
        memory._engine.recaller.indexer.wait(60)
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", refuses)
            reply = client.chat.completions.create(model="m", messages=[ASKED])
        assert provider.requests[-1].messages == [ASKED]
        receipt = memory.receipt_for(reply)
        assert not receipt.journaled
        assert "cannot be started" in receipt.notes[0]
        reply = client.chat.completions.create(model="m", messages=[ASKED])
        assert memory.receipt_for(reply).journaled
