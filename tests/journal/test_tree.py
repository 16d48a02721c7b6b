"""One session's turns as a tree: letters are turns; capital letters are the assistant's."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.journal.tree import Alias, Tree
from convmem.protocols import Node
from convmem.wire.identity import ROOT


def name(letter):
    return letter.encode().ljust(16, b"-")


def node(letter, after="", *, seq=None, state="answered", saying=0):
    role = "assistant" if letter.isupper() else "user"
    forgotten = state is None
    return Node(
        0 if forgotten else (ord(letter) if seq is None else seq),
        name(letter),
        name(after) if after else ROOT,
        b"" if forgotten else name(letter),
        "" if forgotten else role,
        state,
        saying,
    )


def letters(nodes):
    return "".join(each.identity.decode().strip("-") for each in nodes)


# a ─ A ─ b ─ B      and beside b: c, which nobody answered
TREE = (
    node("a", seq=1),
    node("A", "a", seq=2),
    node("b", "A", seq=3),
    node("B", "b", seq=4),
    node("c", "A", seq=5, state="failed"),
)


def grown(more):
    """The tree with more turns; the tombstone of one stands in its place, as after `forget`."""
    places = {each.identity for each in more if each.forgotten}
    return Tree([*(each for each in TREE if each.identity not in places), *more])


def test_what_stands_where():
    tree = Tree(TREE)
    assert (len(tree), name("a") in tree, name("x") in tree) == (5, True, False)
    assert letters(tree.children(ROOT)) == "a"
    assert letters(tree.children(name("A"))) == "bc"
    assert tree.children(name("x")) == []
    assert letters(tree.latest_first()) == "cBbAa"
    assert (tree.get(name("b")), tree.get(name("x"))) == (TREE[2], None)
    assert tree.seqs([name("b"), name("x"), name("a")]) == {name("b"): 3, name("a"): 1}


@pytest.mark.parametrize(
    ("end", "limit", "path"),
    [("B", None, "aAbB"), ("B", 2, "bB"), ("B", 0, ""), ("c", 9, "aAc"), ("x", None, "")],
)
def test_paths(end, limit, path):
    assert letters(Tree(TREE).path(name(end), limit=limit)) == path


@pytest.mark.parametrize(
    ("more", "head"),
    [
        ([], "B"),
        ([node("C", "c", seq=6)], "C"),
        ([node("C", "c", seq=6, state="pending")], "B"),
        ([node("C", "c", seq=6, state="partial")], "C"),
        # A choice other than the first is no head until somebody continued it.
        ([node("C", "c", seq=6, saying=1)], "B"),
        ([node("C", "c", seq=6, saying=1), node("d", "C", seq=7)], "d"),
        ([node("B", "b", state=None)], "b"),
    ],
)
def test_the_head_is_the_last_settled_turn(more, head):
    assert letters([grown(more).head()]) == head


def test_an_empty_tree_has_no_head():
    tree = Tree()
    assert (tree.head(), list(tree.tips()), len(tree)) == (None, [], 0)


@pytest.mark.parametrize(
    ("more", "since", "tips"),
    [
        ([], 0, "cB"),
        ([], 5, "c"),
        ([], 6, ""),
        ([node("C", "c", seq=6)], 0, "CB"),
        # What is forgotten is no place to continue; what stands before it is.
        ([node("B", "b", state=None)], 0, "cb"),
        ([node("b", "A", state=None)], 0, "cB"),
        # Behind a forgotten turn somebody went on.
        ([node("b", "A", state=None), node("c", "A", state=None)], 0, "B"),
        ([node("b", "A", state=None), node("B", "b", state=None)], 0, "cA"),
    ],
)
def test_where_a_call_may_continue(more, since, tips):
    assert letters(grown(more).tips(since=since)) == tips


def test_states_are_those_that_were_written_last():
    tree = Tree(TREE)
    assert dict(tree.waiting) == {name("c"): "failed"}
    tree.update([node("c", "A", seq=5, state="pending")])
    assert dict(tree.waiting) == {name("c"): "pending"}
    tree.update([node("c", "A", seq=5)])
    assert (dict(tree.waiting), len(tree), letters(tree.children(name("A")))) == ({}, 5, "bc")
    tree.update([node("d", "c", state=None)])
    assert dict(tree.waiting) == {}


def test_the_first_of_several_sayings_stands_for_all():
    first, second = node("B", "b", seq=4), node("B", "b", seq=6, saying=1)
    assert Tree([first, second]).get(name("B")) == first
    assert Tree([second, first]).get(name("B")) == first
    tombstone = node("B", "b", state=None)
    for order in ([first, tombstone], [tombstone, first]):
        # What is said again where something was forgotten is there; the place alone is not.
        assert Tree(order).get(name("B")) == first


def test_other_clothes_are_remembered_up_to_a_number():
    tree = Tree(TREE)
    assert tree.alias(ROOT, b"m") is None
    for n in range(8_200):
        tree.learn_alias(ROOT, str(n).encode(), Alias(name("a"), hidden=False))
    assert tree.alias(ROOT, b"0") is None
    assert tree.alias(ROOT, b"8199") == Alias(name("a"), hidden=False)


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 12))
def test_a_tree_that_grew_is_the_tree_built_at_once(parents, cut):
    nodes = []
    for i, parent in enumerate(parents):
        before = nodes[parent % len(nodes)].identity if nodes and parent else ROOT
        state = ("answered", "failed", "pending", "partial")[parent % 4]
        nodes.append(Node(i + 1, bytes([i + 1] * 16), before, b"m", "user", state))
    whole, grown = Tree(nodes), Tree(nodes[:cut])
    grown.update(nodes[cut:])
    assert list(grown.latest_first()) == list(whole.latest_first())
    assert grown.waiting == whole.waiting
    assert list(grown.tips()) == list(whole.tips())
    for each in nodes:
        path = grown.path(each.identity)
        assert path[-1] == each
        assert path[0].parent == ROOT
        assert all(after.parent == one.identity for one, after in itertools.pairwise(path))
