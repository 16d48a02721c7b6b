"""A big owner's memory is read page by page, and is what one read of all would have given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convmem.abilities import ForgetRequest, NewView, OwnerRef
from convmem.protocols import TurnsRequest, Write
from convmem.retrieve import partitions
from convmem.retrieve.indexer import entry_of
from convmem.retrieve.partitions import Partitions
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing._store.base import ALICE, add, line

OWNER = OwnerRef("alice")


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    store = SQLiteStore(tmp_path / "a.db") if request.param == "sqlite" else InMemoryStore()
    yield store
    store.close()


def index(store, *seqs):
    """Make the views of all turns, or of some."""
    turns = store.turns(TurnsRequest(limit=1_000))
    store.put_views([NewView(seq=t.seq, entry=entry_of(t)) for t in turns if not seqs or t.seq in seqs])


def filled(store, count=11):
    turns = line(*(f"word{n} harbour" for n in range(count)))
    add(store, ALICE, *turns)
    index(store)
    return turns


def ids(loaded):
    return list(loaded.partition.ids)


def small_pages(monkeypatch, page=3, at_once=2):
    monkeypatch.setattr(partitions, "_PAGE", page)
    monkeypatch.setattr(partitions, "_AT_ONCE", at_once)


@pytest.mark.parametrize("page", [1, 3, 4, 11, 12])
def test_pages_give_what_one_read_gives(store, monkeypatch, page):
    filled(store)
    whole = Partitions(store, None).get(OWNER)
    small_pages(monkeypatch, page)
    paged = Partitions(store, None).get(OWNER)
    assert ids(paged) == ids(whole)
    assert len(ids(whole)) == 11
    assert (paged.generation, paged.redaction) == (whole.generation, whole.redaction)
    for name in ("terms", "starts", "passages", "counts"):
        assert (getattr(paged.partition.postings, name) == getattr(whole.partition.postings, name)).all()
    assert paged.left_behind("s", ()) == whole.left_behind("s", ())


class Meddled:
    """A store in which something happens after the first page of a read."""

    def __init__(self, store, meddle):
        self._store, self._meddle = store, meddle
        self.reads = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def views(self, request):
        reply = self._store.views(request)
        self.reads += 1
        if self.reads == 1:
            self._meddle()
        return reply

    def put_views(self, batch):
        self._store.put_views(batch)

    def unindexed(self, request):
        return self._store.unindexed(request)


def test_what_is_said_while_pages_are_read_is_there(store, monkeypatch):
    small_pages(monkeypatch)
    turns = filled(store)

    def say():
        add(store, ALICE, *line("late harbour", after=turns[-1]))
        index(store)

    meddled = Meddled(store, say)
    loaded = Partitions(meddled, None).get(OWNER)
    assert ids(loaded) == [f"t{n}" for n in range(1, 13)]


def test_what_is_forgotten_while_pages_are_read_is_gone(store, monkeypatch):
    small_pages(monkeypatch)
    filled(store)
    meddled = Meddled(store, lambda: store.forget(ForgetRequest(owner=OWNER, seqs=(2,))))
    loaded = Partitions(meddled, None).get(OWNER)
    assert "t2" not in ids(loaded)
    assert len(ids(loaded)) == 10


def test_what_settles_while_pages_are_read_is_in_its_place(store, monkeypatch):
    small_pages(monkeypatch)
    turns = line(*(f"word{n} harbour" for n in range(11)))
    add(store, ALICE, *(replace(t, state="pending") if n == 1 else t for n, t in enumerate(turns)))
    index(store)
    settle = Write(ref=ALICE, states=((turns[1].identity, "answered"),))
    meddled = Meddled(store, lambda: store.write([settle]))
    loaded = Partitions(meddled, None).get(OWNER)
    assert ids(loaded) == [f"t{n}" for n in range(1, 12)]


class WithoutPages(InMemoryStore):
    """A store written before there were pages: it gives all at once."""

    def views(self, request):
        return super().views(replace(request, after=0, limit=None))


@pytest.mark.parametrize("page", [1, 3, 11, 12])
def test_a_store_that_knows_no_pages(monkeypatch, page):
    store = WithoutPages()
    filled(store)
    small_pages(monkeypatch, page)
    held = Partitions(store, None)
    assert len(ids(held.get(OWNER))) == 11
    assert len(ids(held.get(OWNER))) == 11
