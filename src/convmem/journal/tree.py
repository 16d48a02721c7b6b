"""Holds one session as a tree of turns, by digests and states, without words; pure.

`journal.forest` builds the trees from the store's nodes and keeps them up to date; `journal.align` walks
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from convmem.protocols import Node
    from convmem.types import State

__all__ = ["TOOLS", "Alias", "Tree"]


TOOLS = frozenset({"tool", "function"})
"""Roles of a message that holds a tool's result."""

_ALIASES = 8_192
"""Aliases that one tree remembers, at most: some apps send the same turn back in a new form with every
call."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A journaled turn that was recognized although it came in another form.

    Attributes:
        identity: the identity of the journaled turn.
        hidden: the journal has words of the turn that its other form lacks.
    """

    identity: bytes
    hidden: bool


class Tree:
    """The turns of a session by identity and by parent; it only grows, and forgets by being built anew."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._nodes: dict[bytes, Node] = {}
        self._children: dict[bytes, list[bytes]] = {}
        self._waiting: dict[bytes, State] = {}
        self._aliases: dict[tuple[bytes, bytes], Alias] = {}
        self.update(nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, identity: bytes) -> bool:
        return identity in self._nodes

    def update(self, nodes: Iterable[Node]) -> None:
        """Take in new turns and new states of known ones.

        Of several sayings of one identity the first stands for all: they mean the same.
        """
        for node in nodes:
            known = self._nodes.get(node.identity)
            if known is None:
                self._children.setdefault(node.parent, []).append(node.identity)
            elif not known.forgotten and (node.forgotten or known.saying < node.saying):
                continue
            elif known.forgotten and not node.forgotten:
                # Said again where it was forgotten: it comes after all that was said before, whenever its
                # tombstone was read; else it would be no head after a restart.
                del self._nodes[node.identity]
                siblings = self._children[node.parent]
                siblings.remove(node.identity)
                siblings.append(node.identity)
            self._nodes[node.identity] = node
            if node.state is None or node.settled:
                self._waiting.pop(node.identity, None)
            else:
                self._waiting[node.identity] = node.state

    def alias(self, parent: bytes, meaning: bytes) -> Alias | None:
        """The turn that a message of this meaning, after that parent, was recognized as before."""
        return self._aliases.get((parent, meaning))

    def learn_alias(self, parent: bytes, meaning: bytes, alias: Alias) -> None:
        """Remember how a turn comes back, so that its words are read once. Digests only, no words."""
        self._aliases[parent, meaning] = alias
        if len(self._aliases) > _ALIASES:
            del self._aliases[next(iter(self._aliases))]

    @property
    def waiting(self) -> Mapping[bytes, State]:
        """The states of the turns that are not settled: a few, however long the conversation."""
        return self._waiting

    def get(self, identity: bytes) -> Node | None:
        """The turn of that identity."""
        return self._nodes.get(identity)

    def seqs(self, identities: Iterable[bytes]) -> dict[bytes, int]:
        """The sequence numbers, in the journal's order, of those of these turns that the tree has."""
        nodes = self._nodes
        return {identity: nodes[identity].seq for identity in identities if identity in nodes}

    def children(self, identity: bytes) -> list[Node]:
        """The turns that were said right after that one, in the order in which they were written."""
        return [self._nodes[child] for child in self._children.get(identity, ())]

    def latest_first(self) -> Iterator[Node]:
        """Every turn, the last written first."""
        return reversed(self._nodes.values())

    def head(self) -> Node | None:
        """The last settled leaf by sequence: where a message without history continues.

        A reply is written after what it answers, so the last settled turn is a leaf. A choice other than
        the first of its call is no head until somebody continued it.
        """
        return next((node for node in self.latest_first() if node.settled and not node.saying), None)

    def tips(self, *, since: int = 0) -> Iterator[Node]:
        """The turns after which a call may continue, the latest first.

        These are the settled turns that no settled turn follows, and the unsettled ones that nothing follows.

        Args:
            since: only turns with this sequence number or a higher one; the walk ends at the first lower one.
        """
        for node in self.latest_first():
            if 0 < node.seq < since:
                return
            if node.seq and not (self._goes_on(node) if node.settled else self._children.get(node.identity)):
                yield node

    def _goes_on(self, node: Node) -> bool:
        """Whether a settled turn follows this one, if only behind forgotten turns."""
        return any(
            child.settled or (child.forgotten and self._goes_on(child))
            for child in self.children(node.identity)
        )

    def path(self, identity: bytes, *, limit: int | None = None) -> list[Node]:
        """The turns up to that one, forgotten ones included, oldest first; at most the last `limit`."""
        path: list[Node] = []
        while (limit is None or len(path) < limit) and (node := self._nodes.get(identity)) is not None:
            path.append(node)
            identity = node.parent
        path.reverse()
        return path
