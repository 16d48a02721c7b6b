"""The trees of sessions, as the writer thread last saw them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from convmem.journal.likeness import Likeness
from convmem.journal.look import look_of
from convmem.journal.tree import Tree
from convmem.protocols import NodesRequest, TurnsRequest
from convmem.wire.identity import meaning_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.protocols import SessionRef, Store
    from convmem.types import Message

__all__ = ["Forest"]


_CACHED_SESSIONS = 256


_CACHED_ENDS = 16_384
"""Last replies by which a session is found again when nothing else of its history is as it was."""


class Forest:
    """The trees of the sessions used last, brought up to date from the store when they are asked for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._trees: OrderedDict[SessionRef, tuple[int, int, Tree]] = OrderedDict()
        self._ends: OrderedDict[bytes, SessionRef] = OrderedDict()

    def tree(self, ref: SessionRef) -> tuple[int, Tree]:
        """A session's generation and tree as of now."""
        since, redaction, tree = self._trees.pop(ref, (0, 0, Tree()))
        reply = self.store.nodes(NodesRequest(ref, since))
        if since and (reply.redaction != redaction or reply.generation < since):
            tree = Tree()
            reply = self.store.nodes(NodesRequest(ref))
        tree.update(reply.nodes)
        self._trees[ref] = (reply.generation, reply.redaction, tree)
        if len(self._trees) > _CACHED_SESSIONS:
            self._trees.popitem(last=False)
        return reply.generation, tree

    def likeness(self, ref: SessionRef, messages: Sequence[Message]) -> Likeness:
        """Compares messages with a session's journaled ones; reads no word before it is asked to."""

        def read(identities: Sequence[bytes]) -> dict[bytes, Message]:
            wanted = tuple(identities)
            rows = self.store.turns(TurnsRequest(ref=ref, identities=wanted, limit=2 * len(wanted)))
            return {bytes.fromhex(row.branch): row.payload for row in reversed(rows)}

        return Likeness(messages, read)

    def ends_with(self, ref: SessionRef, reply: Message) -> None:
        """Remember which session a reply belongs to, by what is left of it in any clothes."""
        if (name := self._end_name(ref.user, reply)) is not None:
            self._ends[name] = ref
            self._ends.move_to_end(name)
            if len(self._ends) > _CACHED_ENDS:
                self._ends.popitem(last=False)

    def ended_with(self, user: str | None, reply: Message) -> SessionRef | None:
        """The session of that user's which this process saw last with such a reply."""
        name = self._end_name(user, reply)
        return self._ends.get(name) if name is not None else None

    def _end_name(self, user: str | None, reply: Message) -> bytes | None:
        look = look_of(reply)
        if look is None or not look.said:
            return None
        return meaning_digest(self.store.key, {"role": "reply", "name": user, "content": look.said})

    def redaction(self, ref: SessionRef) -> int:
        """The redaction of a session's owner when its tree was asked for last."""
        return self._trees[ref][1]

    def clear(self) -> None:
        """Drop everything."""
        self._trees.clear()
        self._ends.clear()
