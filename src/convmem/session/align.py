"""Alignment: which of the incoming turns does a session know, and where do the new ones go?

Pure: a tree and the digests of the incoming turns in, a place out. The rules are those of docs/design.md;
the trap they are made for is the short message that stands in many places ("ok", "好的").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from convmem.wire.identity import ROOT, chain, identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.session.tree import Node, Tree

__all__ = ["Alignment", "Incoming", "align", "place"]

Kind = Literal["start", "continue", "repeat", "regenerate", "branch"]

_TIPS = 16
"""Leaves besides the head that are compared with a truncated history, the latest first."""

_STARTS = 64
"""Places in the middle of a conversation that are compared with a truncated history, the latest first."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One incoming turn: the digest of its meaning, and its role."""

    meaning: bytes
    role: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a list of turns stands in a session.

    Attributes:
        kind: `start` (a new conversation or branch from its beginning), `continue` (new turns at a leaf),
            `repeat` (all known, still unanswered, or the same list recorded again), `regenerate` (all
            known and answered: the reply will be a sibling), `branch` (new turns where others stand).
        base: identity of the turn before the first incoming one; what leads there the caller did not send.
        identities: one per incoming turn.
        known: how many of them, from the first, the session has.
    """

    kind: Kind
    base: bytes
    identities: tuple[bytes, ...]
    known: int

    @property
    def end(self) -> bytes:
        """The identity of the last incoming turn: where the reply goes."""
        return self.identities[-1] if self.identities else self.base


def align(key: bytes, tree: Tree, turns: Sequence[Incoming], *, recording: bool = False) -> Alignment:
    """Place `turns` in `tree`; where there are none, as in a call with only system text, after the head.

    Args:
        key: the store's key.
        tree: what is known of the session.
        turns: the incoming turns, oldest first, leading system messages left out.
        recording: the list is a piece of the past, not a request. Then a list without any assistant turn
            can be a history (two people chatting), and one that matches nothing continues the head
            instead of starting a branch of its own.
    """
    meanings = [turn.meaning for turn in turns]
    bare = not any(turn.role == "assistant" for turn in turns)
    if bare and not (recording and len(turns) > 1):
        base = _bare_base(key, tree, meanings)
    else:
        head = tree.head() if recording else None
        unknown = head.identity if head is not None else ROOT
        found = _history_base(key, tree, meanings)
        base = unknown if found is None else found
    return place(key, tree, base, turns)


def place(key: bytes, tree: Tree, base: bytes, turns: Sequence[Incoming]) -> Alignment:
    """Where `turns` stand when the first of them comes right after the turn `base`."""
    meanings = [turn.meaning for turn in turns]
    identities = chain(key, base, meanings)
    known = _known(tree, identities)
    before = identities[known - 1] if known else base
    children = tree.children(before)
    if known == len(identities):
        kind: Kind = "regenerate" if any(child.settled for child in children) else "repeat"
    elif before == ROOT:
        kind = "start"
    else:
        kind = "branch" if any(child.settled for child in children) else "continue"
    return Alignment(kind, base, tuple(identities), known)


def _known(tree: Tree, identities: Sequence[bytes]) -> int:
    known = 0
    while known < len(identities) and identities[known] in tree:
        known += 1
    return known


def _reaches(tree: Tree, identities: Sequence[bytes]) -> int:
    """How far the session goes along a chain, over what a damaged file has lost of it.

    An identity stands for all that leads to it, so the last one that is there vouches for those before.
    """
    return next((i for i in range(len(identities), 0, -1) if identities[i - 1] in tree), 0)


def _bare_base(key: bytes, tree: Tree, meanings: Sequence[bytes]) -> bytes:
    """Where a list without history goes: after the head, unless it is a still unanswered leaf said again."""
    head = tree.head()
    for tip in tree.tips(since=head.seq if head is not None else 0):
        path = tree.path(tip.identity, limit=len(meanings))
        for n in range(len(path), 0, -1):
            if all(_open(tree, node) for node in path[-n:]) and _ends_with(key, path, meanings[:n]):
                return path[-n].parent
    return head.identity if head is not None else ROOT


def _open(tree: Tree, node: Node) -> bool:
    """Whether nobody answered this turn: sent without success, or recorded as a user's last word.

    An answer that was forgotten was given all the same.
    """
    if node.forgotten or not node.settled:
        return not node.forgotten
    return node.role == "user" and not any(child.forgotten for child in tree.children(node.identity))


def _history_base(key: bytes, tree: Tree, meanings: Sequence[bytes]) -> bytes | None:
    """The base under which most of a list with history is known, or None.

    Three places compete: the start of the conversation, a leaf, and anywhere else. A leaf wins over the
    middle unless the middle knows two turns more (a regeneration knows one more: the message sent again).
    The start wins when it knows more than any leaf.
    """
    identities = chain(key, ROOT, meanings)
    from_root = _reaches(tree, identities)
    if from_root and from_root >= len(meanings) - 1 and not tree.children(identities[from_root - 1]):
        return ROOT
    leaf_base, at_leaf = _leaf_match(key, tree, meanings)
    inner_base, inside = _inner_match(key, tree, meanings)
    if from_root > at_leaf and from_root >= inside:
        return ROOT
    if at_leaf and at_leaf >= inside - 1:
        return leaf_base
    return inner_base if inside >= 2 else None  # noqa: PLR2004 (one turn alone proves nothing)


def _is(key: bytes, node: Node, meaning: bytes) -> bool:
    """Whether the turn has this meaning; a forgotten one is known by its identity alone."""
    return identity(key, node.parent, meaning) == node.identity if node.forgotten else node.meaning == meaning


def _ends_with(key: bytes, path: Sequence[Node], meanings: Sequence[bytes]) -> bool:
    pairs = zip(reversed(path), reversed(meanings), strict=False)
    return len(path) >= len(meanings) and all(_is(key, node, meaning) for node, meaning in pairs)


def _leaf_match(key: bytes, tree: Tree, meanings: Sequence[bytes]) -> tuple[bytes, int]:
    """The longest beginning of the list that is the end of a branch: its base, and how many turns."""
    best = (ROOT, 0)
    for tip in islice(tree.tips(), _TIPS):
        path = tree.path(tip.identity, limit=len(meanings))
        for n in range(len(path), best[1], -1):
            if _ends_with(key, path, meanings[:n]):
                best = (path[-n].parent, n)
                break
        if best[1] >= len(meanings) - 1:
            break
    return best


def _inner_match(key: bytes, tree: Tree, meanings: Sequence[bytes]) -> tuple[bytes, int]:
    """The longest beginning of the list that stands anywhere in the tree: its base, and how many turns."""
    best = (ROOT, 0)
    for start in islice((n for n in tree.latest_first() if _is(key, n, meanings[0])), _STARTS):
        known, node = 1, start
        while known < len(meanings):
            following = [child for child in tree.children(node.identity) if _is(key, child, meanings[known])]
            if not following:
                break
            known, node = known + 1, following[-1]
        if known > best[1]:
            best = (start.parent, known)
    return best
