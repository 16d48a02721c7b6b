"""Aligns the turns of a request with a session: which turns are known, and where do the new ones go? Pure.

`journal.begin` aligns each call, `journal.record` each import, and `journal.find_session` tries several
sessions. `align` takes the tree of a session and the digests of the incoming turns, and returns an
`Alignment`. Most of it compares digests for equality. Only where that does not explain the history are the
words of journaled turns compared too (`journal.likeness`), since frameworks send replies back in another
form, which is called "other clothes" here. The rules are those of docs/design.md; the trap they are made for
is the short message that stands in many places ("ok", "好的").
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from convmem.journal.tree import TOOLS, Alias
from convmem.wire.identity import ROOT, identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.journal.likeness import Likeness
    from convmem.journal.tree import Tree
    from convmem.protocols import Node

__all__ = ["Alignment", "Incoming", "align", "place"]

Kind = Literal["start", "continue", "repeat", "regenerate", "branch"]

_TIPS = 16
"""Ends of branches that are compared with a truncated history, the latest first. With fewer, an old branch
that is taken up again is not recognized; each costs a walk of as many turns as were sent."""

_STARTS = 64
"""Turns equal to the first one sent that are tried as the start of a truncated history, the latest first: a
session may hold "ok" thousands of times."""

# The next seven bound the words that are read from the store, which happens only where equality stops short.
# A normal call in other clothes reads a few turns; a truncated one reads up to 4 paths of 200 turns, once.
_SIBLINGS = 8
"""Turns after the same parent whose words are compared with a message, the latest first: each is one more
regenerated reply or edited question."""
_AHEAD = 64
"""Turns that are read from the store together when a history is recognized turn by turn; with fewer, a long
history takes more reads."""
_REDRESSED_TIPS = 4
"""Ends of branches, the latest first, whose words are compared with a truncated history in other clothes."""
_REDRESSED_PATH = 200
"""Turns read before each of those ends, at most."""
_REDRESSED_STARTS = 8
"""Turns on each of those paths that are tried as the start of the history."""
_FOLLOWERS = 8
"""Messages in a row of which each is recognized only by the one that follows it: the depth of that
recursion."""
_CALL_ROUNDS = 64
"""Rounds of tool calls in a row that a history may leave out: more than agents make for one question."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One incoming turn: the digest of its meaning (`wire.identity.meaning_digest`), and its role."""

    meaning: bytes
    role: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a list of turns stands in a session.

    Attributes:
        kind: `start` (a new conversation or branch from its beginning), `continue` (new turns at a leaf),
            `repeat` (all known, still unanswered, or the same list recorded again), `regenerate` (all
            known and answered: the reply will be a sibling), `branch` (new turns where others stand).
        base: identity of the turn before the first incoming one. The turns that lead there were not sent.
        identities: the identity of each incoming turn.
        known: how many of the incoming turns, counted from the first, the session has.
        hidden: the journal has words of a known turn that the caller did not send (a thought, for example).
    """

    kind: Kind
    base: bytes
    identities: tuple[bytes, ...]
    known: int
    hidden: bool = False

    @property
    def end(self) -> bytes:
        """The identity of the last incoming turn: where the reply goes."""
        return self.identities[-1] if self.identities else self.base


def align(
    key: bytes,
    tree: Tree,
    turns: Sequence[Incoming],
    *,
    recording: bool = False,
    likeness: Likeness | None = None,
) -> Alignment:
    """Place incoming turns in a session's tree; a call without any (only system text) stands after the head.

    Args:
        key: the store's key.
        tree: the turns of the session.
        turns: the incoming turns, oldest first, leading system messages left out.
        recording: the list is a piece of the past, not a request. Then a list without any assistant turn
            can be a history (two people chatting), and one that matches nothing continues the head
            instead of starting a branch of its own.
        likeness: compares the words of messages with journaled ones where the digests differ; None compares
            digests alone.
    """
    last = next((i for i in range(len(turns) - 1, -1, -1) if turns[i].role == "assistant"), -1)
    history = len(turns) - 1 if recording else last + 1
    walker = _Walker(key, tree, turns, likeness, history)
    if last < 0 and not (recording and len(turns) > 1):
        return walker.place(_bare_base(walker, recording=recording))
    head = tree.head() if recording else None
    unknown = head.identity if head is not None else ROOT
    found = _history_base(walker)
    place = walker.place(unknown if found is None else found)
    if likeness is None or place.known >= history or not len(tree):
        return place
    for other in walker.redressed():
        if other.known > place.known:
            place = other
    return place


def place(key: bytes, tree: Tree, base: bytes, turns: Sequence[Incoming]) -> Alignment:
    """Place incoming turns of which the first is known to come right after the turn `base`."""
    return _Walker(key, tree, turns, None, 0).place(base)


class _Walker:
    """Follows a list of turns through a tree: by equal digests, and where those differ by their words.

    Args:
        key: the store's key.
        tree: the turns of the session.
        turns: the incoming turns.
        likeness: compares words; None compares digests alone.
        history: how many of the turns, counted from the first, had their answer.
    """

    def __init__(
        self, key: bytes, tree: Tree, turns: Sequence[Incoming], likeness: Likeness | None, history: int
    ) -> None:
        self.key = key
        self.tree = tree
        self.turns = turns
        self.meanings = [turn.meaning for turn in turns]
        self.likeness = likeness
        self._history = history

    def place(self, base: bytes) -> Alignment:
        """Place the turns, the first of them right after the turn `base`, and name the kind of that place."""
        identities, hidden = self.walk(base)
        known = _known(self.tree, identities)
        before = identities[known - 1] if known else base
        children = self.tree.children(before)
        if known == len(identities):
            kind: Kind = "regenerate" if any(child.settled for child in children) else "repeat"
        elif before == ROOT:
            kind = "start"
        else:
            kind = "branch" if any(child.settled for child in children) else "continue"
        return Alignment(kind, base, tuple(identities), known, hidden)

    def walk(self, base: bytes, *, reading: bool = True) -> tuple[list[bytes], bool]:
        """Give each turn its identity, the first of them after `base`.

        Args:
            base: the identity of the turn before the first one.
            reading: compare words too; False recognizes only other clothes that were recognized before.

        Returns:
            The identities, and whether the journal has words of these turns that did not come.
        """
        identities: list[bytes] = []
        hidden = False
        parent = base
        for i, meaning in enumerate(self.meanings):
            position = identity(self.key, parent, meaning)
            if position not in self.tree:
                alias = self._alias(parent, i, reading=reading)
                if alias is not None:
                    position, hidden = alias.identity, hidden or alias.hidden
            identities.append(position)
            parent = position
        return identities, hidden

    def redressed(self) -> Iterator[Alignment]:
        """Places where much of a history is known in other clothes: the start, and ends of branches."""
        yield self.place(ROOT)
        if self.likeness is None:
            return
        for tip in islice(self.tree.tips(), _REDRESSED_TIPS):
            # Twice as many turns as came: rounds of tool calls may have been left out.
            path = self.tree.path(tip.identity, limit=min(2 * len(self.turns) + 2, _REDRESSED_PATH))
            self.likeness.prepare(path)
            starts = (node for node in reversed(path) if self._begins(node))
            for start in islice(starts, _REDRESSED_STARTS):
                place = self.place(start.parent)
                # As for equal turns: one is enough at the end of a branch, two are needed elsewhere.
                at_end = place.known >= self._history and place.kind in {"continue", "repeat"}
                if place.known > 1 or (place.known and at_end):
                    yield place

    def _begins(self, node: Node) -> bool:
        if node.forgotten or self.likeness is None:
            return False
        return node.meaning == self.meanings[0] or self.likeness.judge(node, 0) is not None

    def _alias(self, parent: bytes, i: int, *, reading: bool, depth: int = 0) -> Alias | None:
        """Recognizes message `i` in other clothes: the turn after `parent` that it is, None when it is none.

        What was recognized is remembered in the tree, so that the next call reads no words for it.
        """
        tree, likeness = self.tree, self.likeness
        known = tree.alias(parent, self.meanings[i])
        if known is not None and known.identity in tree:
            return known
        children = [child for child in tree.children(parent) if not child.forgotten] if reading else []
        if not children or likeness is None:
            return None
        if i < self._history and not depth:
            likeness.prepare(self._ahead(children))
        found: Alias | None = None
        for child in reversed(children[-_SIBLINGS:]):
            dress = likeness.judge(child, i)
            if dress is not None and (dress.sure or self._followed(child, i, depth)):
                found = Alias(self._last_result(child, i).identity, dress.hidden)
                break
        else:
            skipped = self._behind_calls(parent, i)
            found = Alias(skipped.identity, hidden=True) if skipped is not None else None
        if found is not None:
            tree.learn_alias(parent, self.meanings[i], found)
        return found

    def _followed(self, node: Node, i: int, depth: int) -> bool:
        """Whether message `i + 1`, which follows message `i`, stands after that turn in the tree too."""
        if i + 1 >= len(self.turns) or i >= self._history or depth >= _FOLLOWERS:
            return False
        if identity(self.key, node.identity, self.meanings[i + 1]) in self.tree:
            return True
        return self._alias(node.identity, i + 1, reading=True, depth=depth + 1) is not None

    def _ahead(self, children: Sequence[Node]) -> list[Node]:
        """The last few of these turns and those that followed the latest, to be read with one read."""
        nodes = list(children[-_SIBLINGS:])
        while len(nodes) < _AHEAD and (following := self.tree.children(nodes[-1].identity)):
            nodes.append(following[-1])
        return nodes

    def _last_result(self, node: Node, i: int) -> Node:
        """The last of the tool results that one message, which is no tool message itself, tells as text."""
        likeness = self.likeness
        if likeness is None or node.role not in TOOLS or self.turns[i].role in TOOLS:
            return node
        while (following := self._results(node)) and likeness.judge(following[-1], i) is not None:
            if i + 1 < len(self.turns) and likeness.judge(following[-1], i + 1) is not None:
                break
            node = following[-1]
        return node

    def _results(self, node: Node) -> list[Node]:
        return [child for child in self.tree.children(node.identity) if child.role in TOOLS]

    def _behind_calls(self, parent: bytes, i: int) -> Node | None:
        """The reply that followed tool calls after `parent`, when a history leaves those calls out."""
        likeness = self.likeness
        if likeness is None or self.turns[i].role != "assistant" or likeness.calls_tools(i):
            return None
        for _ in range(_CALL_ROUNDS):
            calls = [c for c in self.tree.children(parent) if c.role == "assistant" and self._results(c)]
            if not calls:
                return None
            node = calls[-1]
            while results := self._results(node):
                node = results[-1]
            for child in reversed(self.tree.children(node.identity)[-_SIBLINGS:]):
                dress = likeness.judge(child, i)
                if child.meaning == self.meanings[i] or (dress is not None and dress.sure):
                    return child
            parent = node.identity
        return None


def _known(tree: Tree, identities: Sequence[bytes]) -> int:
    """How many of the identities, counted from the first, stand in the tree without a gap."""
    known = 0
    while known < len(identities) and identities[known] in tree:
        known += 1
    return known


def _reaches(tree: Tree, identities: Sequence[bytes]) -> int:
    """How many turns of a chain the session has, when gaps that a damaged file has lost are counted too.

    An identity is a digest of all turns up to it, so the last identity that is there vouches for those
    before.
    """
    return next((i for i in range(len(identities), 0, -1) if identities[i - 1] in tree), 0)


def _bare_base(walker: _Walker, *, recording: bool) -> bytes:
    """The turn after which a list without history goes (a chat that sends its newest message alone).

    That is the head, with three exceptions, tried in this order. Turns behind the head that nobody answered
    and that come again keep their place. The question whose half reply is the head keeps its place too. A new
    message that comes while other turns behind the head await their reply goes after those.
    """
    tree, turns = walker.tree, walker.turns
    head = tree.head()
    end = head.identity if head is not None else ROOT
    waiting = None
    for tip in tree.tips(since=head.seq if head is not None else 0):
        run = _open_run(tree, tip)
        for n in range(min(len(run), len(turns)), 0, -1):
            # What is said again begins anywhere in the run; only all of it, when it does not end the run.
            starts = range(len(run) - n, -1 if n == len(turns) else len(run) - n - 1, -1)
            for at in starts:
                if _again(walker, run[at : at + n]):
                    return run[at].parent
        if waiting is None and run and run[0].parent == end and all(node.state == "pending" for node in run):
            waiting = tip.identity
    if head is not None and head.state == "partial" and head.role == "assistant":
        asked = tree.path(head.parent, limit=len(turns))
        if len(asked) == len(turns) and _again(walker, asked):
            return asked[0].parent
    # Results of tools come right after their calls, whatever was said meanwhile.
    return end if waiting is None or recording or turns[0].role in TOOLS else waiting


def _open_run(tree: Tree, tip: Node) -> list[Node]:
    """The unanswered turns in a row that end with a leaf, oldest first."""
    run: list[Node] = []
    node: Node | None = tip
    while node is not None and _open(tree, node):
        run.append(node)
        node = tree.get(node.parent)
    run.reverse()
    return run


def _again(walker: _Walker, nodes: Sequence[Node]) -> bool:
    """Whether the incoming list begins with these journaled turns, sent once more.

    A turn that waits for its reply is the same turn only in the same words: "ok" may be said twice, and the
    clock in front of it tells that it was. A turn that failed, or was answered by half, is recognized with
    another clock in front of it as well.
    """
    likeness = walker.likeness
    for i, node in enumerate(nodes):
        if _is(walker.key, node, walker.meanings[i]):
            continue
        if node.state == "pending" or likeness is None or node.role != walker.turns[i].role:
            return False
        dress = likeness.judge(node, i)
        if dress is None or not dress.sure:
            return False
    return True


def _open(tree: Tree, node: Node) -> bool:
    """Whether nobody answered this turn: its call failed or waits, or it was recorded as a user's last word.

    An answer that was forgotten later counts as an answer.
    """
    if node.forgotten or not node.settled:
        return not node.forgotten
    return node.role == "user" and not any(
        child.forgotten or child.settled for child in tree.children(node.identity)
    )


def _history_base(walker: _Walker) -> bytes | None:
    """The turn before the place where most of a list with history is known; None when no place knows enough.

    Three places compete: the start of the conversation, a leaf, and anywhere else. A leaf wins over the
    middle unless the middle knows two turns more (a regeneration knows one more: the message sent again).
    The start wins when it knows more than any leaf.
    """
    key, tree, meanings = walker.key, walker.tree, walker.meanings
    identities, _ = walker.walk(ROOT, reading=False)
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
    """Whether a journaled turn has this meaning; a forgotten turn has no meaning left but its identity."""
    return identity(key, node.parent, meaning) == node.identity if node.forgotten else node.meaning == meaning


def _ends_with(key: bytes, path: Sequence[Node], meanings: Sequence[bytes]) -> bool:
    """Whether the last turns of a path have these meanings, in this order."""
    pairs = zip(reversed(path), reversed(meanings), strict=False)
    return len(path) >= len(meanings) and all(_is(key, node, meaning) for node, meaning in pairs)


def _leaf_match(key: bytes, tree: Tree, meanings: Sequence[bytes]) -> tuple[bytes, int]:
    """The longest beginning of the list with which a branch ends: the turn before it, and its length."""
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
    """The longest beginning of the list anywhere in the tree: the turn before it, and its length."""
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
