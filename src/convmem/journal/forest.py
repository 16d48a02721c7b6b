"""Holds the trees of the sessions used last, as the writer thread last saw them.

Every job is given the `Forest` of its journal to plan from. The journal updates the trees with each write
(`wrote`) and drops an owner's trees when something is forgotten (`forget`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from convmem.abilities import OwnerRef
from convmem.journal.likeness import Likeness
from convmem.journal.look import look_of
from convmem.journal.tree import Tree
from convmem.protocols import Node, NodesRequest, TurnsRequest
from convmem.wire.identity import meaning_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.protocols import SessionRef, Store, Write, Written
    from convmem.types import Message

__all__ = ["Forest"]


_CACHED_SESSIONS = 256
"""Sessions whose trees are held. More take memory, a node for each turn; fewer make a call of a session that
was pushed out read all its nodes again."""


_CACHED_ENDS = 16_384
"""Replies whose sessions are remembered: by its last reply a session is found again when nothing else of the
history is as it was. Each takes a digest and the session's name."""


@dataclass(slots=True)
class _Held:
    """The tree of one session as it was last seen.

    Attributes:
        tree: the turns of the session.
        generation: the session's number of writes when the tree was read or written last; 0 before the
            session is there.
        redaction: the owner's number of forgettings at that time.
        stale: another process may have changed the session: read what changed before the next use.
    """

    tree: Tree = field(default_factory=Tree)
    generation: int = 0
    redaction: int = 0
    stale: bool = True


class Forest:
    """The trees of the sessions used last, each kept up to date with what this process itself writes.

    A write that another process made is noticed by the store, which refuses a write that was planned on an
    older tree (`Write.expect`, `Write.redaction`). So a conversation that goes on in one process reads no
    node.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._held: OrderedDict[SessionRef, _Held] = OrderedDict()
        self._ends: OrderedDict[bytes, SessionRef] = OrderedDict()

    def tree(self, ref: SessionRef, *, now: bool = False) -> tuple[int, Tree]:
        """A session's generation and tree, as they were last seen.

        Args:
            ref: the session.
            now: read first what other processes changed. Needed by whoever writes nothing, as no refused
                write would tell that the tree is out of date.
        """
        held = self._held.pop(ref, None) or _Held()
        if now or held.stale:
            self._read(ref, held)
        self._held[ref] = held
        if len(self._held) > _CACHED_SESSIONS:
            self._held.popitem(last=False)
        return held.generation, held.tree

    def _read(self, ref: SessionRef, held: _Held) -> None:
        since = held.generation
        reply = self.store.nodes(NodesRequest(ref, since))
        if since and (reply.redaction != held.redaction or reply.generation < since):
            held.tree = Tree()
            reply = self.store.nodes(NodesRequest(ref))
        held.tree.update(reply.nodes)
        held.generation, held.redaction, held.stale = reply.generation, reply.redaction, False

    def wrote(self, write: Write, written: Written) -> None:
        """Update a tree with what a write changed.

        A write that was refused, or that was not planned from this tree, marks the tree as stale instead.
        """
        held = self._held.get(write.ref)
        if held is None:
            return
        if written.ids is None or write.expect is None or write.expect != held.generation:
            held.stale = True
            return
        held.tree.update(_changed(held.tree, write, written.ids))
        held.generation = written.generation

    def likeness(self, ref: SessionRef, messages: Sequence[Message]) -> Likeness:
        """Gives what compares messages with a session's journaled ones; it reads words when it needs them."""

        def read(identities: Sequence[bytes]) -> dict[bytes, Message]:
            wanted = tuple(identities)
            rows = self.store.turns(TurnsRequest(ref=ref, identities=wanted, limit=2 * len(wanted)))
            return {bytes.fromhex(row.branch): row.payload for row in reversed(rows)}

        return Likeness(messages, read)

    def ends_with(self, ref: SessionRef, reply: Message) -> None:
        """Remember which session a reply belongs to, by its words without thoughts and decoration."""
        if (name := self._end_name(ref.user, reply)) is not None:
            self._ends[name] = ref
            self._ends.move_to_end(name)
            if len(self._ends) > _CACHED_ENDS:
                self._ends.popitem(last=False)

    def ended_with(self, user: str | None, reply: Message) -> SessionRef | None:
        """The session of this user in which this process last journaled a reply with these words."""
        name = self._end_name(user, reply)
        return self._ends.get(name) if name is not None else None

    def _end_name(self, user: str | None, reply: Message) -> bytes | None:
        """The key of a reply among the remembered ones; None for a reply without words."""
        look = look_of(reply)
        if look is None or not look.said:
            return None
        return meaning_digest(self.store.key, {"role": "reply", "name": user, "content": look.said})

    def redaction(self, ref: SessionRef) -> int:
        """The redaction number of a session's owner, as of the last read of the session's tree."""
        return self._held[ref].redaction

    def forget(self, owner: OwnerRef) -> None:
        """Drop what is held of all sessions of an owner, because something of the owner was forgotten."""
        for ref in [ref for ref in self._held if OwnerRef.of(ref) == owner]:
            del self._held[ref]
        for name in [name for name, ref in self._ends.items() if OwnerRef.of(ref) == owner]:
            del self._ends[name]

    def clear(self) -> None:
        """Drop everything."""
        self._held.clear()
        self._ends.clear()


def _changed(tree: Tree, write: Write, ids: Sequence[str]) -> Iterator[Node]:
    """The nodes that `Store.nodes` would give of a write: tombstones, then new turns, then changed states."""
    for parent, identity in write.forgotten:
        yield Node(0, identity, parent, b"", "", None)
    states = dict(write.states)
    for turn, id_ in zip(write.turns, ids, strict=True):
        known = tree.get(turn.identity)
        if known is None or known.forgotten:
            state = states.get(turn.identity, turn.state)
            role = str(turn.payload.get("role", ""))
            yield Node(int(id_[1:]), turn.identity, turn.parent, turn.meaning, role, state, turn.saying)
    for identity, state in states.items():
        known = tree.get(identity)
        if known is not None and not known.forgotten and known.state != state:
            yield replace(known, state=state)
