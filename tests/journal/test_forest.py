"""Trees that the writer thread holds: read once, kept up to date by its own writes, read when refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from convmem.abilities import ForgetRequest, OwnerRef
from convmem.journal.forest import Forest
from convmem.journal.tree import Tree
from convmem.protocols import NewTurn, NodesRequest, SessionRef, Write
from convmem.stores.memory import InMemoryStore
from convmem.wire.identity import ROOT, identity, meaning_digest

REF = SessionRef("alice", "s")
ELSEWHERE = SessionRef("alice", "elsewhere")
ALICE = OwnerRef("alice")
NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Counting(InMemoryStore):
    """Counts how often nodes are read."""

    def __init__(self):
        super().__init__()
        self.read = 0

    def nodes(self, request):
        self.read += 1
        return super().nodes(request)


@pytest.fixture
def store():
    return Counting()


@pytest.fixture
def forest(store):
    return Forest(store)


def said(store, text, parent=ROOT, *, saying=0, state="answered"):
    payload = {"role": "user", "content": text}
    meaning = meaning_digest(store.key, payload)
    return NewTurn(
        identity=identity(store.key, parent, meaning),
        parent=parent,
        meaning=meaning,
        payload=payload,
        state=state,
        at=NOW,
        saying=saying,
    )


def write(forest, *turns, ref=REF, **more):
    """Write as the writer thread does: planned from what is held; returns whether the store took it."""
    generation, _ = forest.tree(ref)
    planned = Write(ref=ref, expect=generation, redaction=forest.redaction(ref), turns=turns, **more)
    (written,) = forest.store.write([planned])
    forest.wrote(planned, written)
    return written.ids is not None


def held(forest, ref=REF):
    """What is held, in order; it must be what the store has."""
    tree = forest.tree(ref)[1]
    stored = Tree(InMemoryStore.nodes(forest.store, NodesRequest(ref)).nodes)
    # In the order of the journal, but for the places of forgotten turns.
    for each in (tree, stored):
        seqs = [node.seq for node in each.latest_first() if not node.forgotten]
        assert seqs == sorted(seqs, reverse=True)
    assert {node.identity: node for node in tree.latest_first()} == {
        node.identity: node for node in stored.latest_first()
    }
    assert tree.head() == stored.head()
    assert tree.waiting == stored.waiting
    return list(tree.latest_first())


def test_own_writes_need_no_reading(store, forest):
    a = said(store, "a", state="pending")
    b = said(store, "b", a.identity)
    twin = replace(b, saying=1)
    assert write(forest, a)
    assert write(forest, b, twin, states=((a.identity, "answered"),))
    assert write(forest, a, b, states=((a.identity, "failed"),))  # recorded again
    place = said(store, "gone", b.identity)
    assert write(forest, forgotten=((place.parent, place.identity),))
    assert write(forest, replace(place, saying=1))  # said again where it was forgotten
    assert [node.state for node in held(forest)] == ["answered", "answered", "failed"]
    assert held(forest)[0].saying == 1, "the newest, though its place is older"
    assert store.read == 1


def test_a_write_that_is_refused_is_planned_on_what_there_is(store, forest):
    other, a = Forest(store), said(store, "a")
    assert write(forest, a)
    assert write(other, said(store, "b", a.identity))
    c = said(store, "c", a.identity)
    assert not write(forest, c)
    assert write(forest, c)
    assert len(held(forest)) == 3


def test_what_was_forgotten_elsewhere_refuses_a_write(store, forest):
    assert write(forest, said(store, "a"))
    assert write(forest, said(store, "b"), ref=ELSEWHERE)
    store.forget(ForgetRequest(owner=ALICE, session=ELSEWHERE.session))
    before = forest.redaction(REF)
    assert not write(forest, said(store, "c"))
    assert write(forest, said(store, "c"))
    assert forest.redaction(REF) > before
    assert len(held(forest)) == 2


def test_a_write_without_a_look_has_the_tree_read_again(store, forest):
    assert write(forest, said(store, "a"))
    blind = Write(ref=REF, turns=(said(store, "b"),))
    forest.wrote(blind, store.write([blind])[0])
    assert len(held(forest)) == 2


def test_as_it_is_now(store, forest):
    assert write(forest, said(store, "a"))
    assert write(Forest(store), said(store, "b"))
    assert len(forest.tree(REF)[1]) == 1
    assert len(forest.tree(REF, now=True)[1]) == 2


def test_nothing_is_held_of_whoever_was_forgotten(store, forest):
    reply = {"role": "assistant", "content": "The Alcantara in Lisbon has a room for you."}
    bob = SessionRef("bob", "s")
    for ref in (REF, ELSEWHERE, bob):
        assert write(forest, said(store, "a"), ref=ref)
        forest.ends_with(ref, reply)
    assert forest.ended_with("alice", reply) == ELSEWHERE
    read = store.read
    forest.forget(ALICE)
    assert forest.ended_with("alice", reply) is None
    assert forest.ended_with("bob", reply) == bob
    forest.tree(bob)
    assert store.read == read
    forest.tree(REF)
    assert store.read == read + 1
