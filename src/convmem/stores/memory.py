"""The journal in this process's memory: for tests, and for what nobody needs to keep."""

from __future__ import annotations

import copy
import secrets
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convmem.protocols import NodesReply, SessionRef, Written
from convmem.session.tree import Node
from convmem.types import Session, Stats, Turn
from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.protocols import (
        CallRow,
        FindRequest,
        NewTurn,
        NodesRequest,
        SessionsRequest,
        TurnsRequest,
        Write,
    )
    from convmem.types import State

__all__ = ["InMemoryStore"]


@dataclass(slots=True)
class _Row:
    seq: int
    new: NewTurn
    state: State
    generation: int

    def node(self) -> Node:
        new = self.new
        role = str(new.payload.get("role", ""))
        return Node(self.seq, new.identity, new.parent, new.meaning, role, self.state, new.saying)


@dataclass(slots=True)
class _Kept:
    """One session."""

    ref: SessionRef
    created: datetime
    generation: int = 0
    rows: dict[tuple[bytes, bytes, int], _Row] = field(default_factory=dict[tuple[bytes, bytes, int], _Row])


class InMemoryStore:
    """A journal that ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._key = secrets.token_bytes(32)
        self._sessions: dict[SessionRef, _Kept] = {}
        self._calls: dict[str, CallRow] = {}
        self._seq = 0
        self._generation = 0

    @property
    def key(self) -> bytes:
        """32 random bytes."""
        return self._key

    def close(self) -> None:
        """Nothing to let go of."""

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all of it, or nothing when a turn cannot be copied."""
        owned = [
            [replace(turn, payload=copy.deepcopy(turn.payload)) for turn in write.turns] for write in batch
        ]
        with self._lock:
            return [self._write(write, turns) for write, turns in zip(batch, owned, strict=True)]

    def _write(self, write: Write, turns: Sequence[NewTurn]) -> Written:
        kept = self._sessions.get(write.ref)
        generation = kept.generation if kept else 0
        if write.expect is not None and write.expect != generation:
            return Written(None, generation)
        self._generation += 1
        if kept is None:
            said = [turn.at for turn in turns] + ([write.call.at] if write.call else [])
            created = said[0] if said else datetime.now(UTC)
            kept = self._sessions[write.ref] = _Kept(write.ref, created)
        kept.generation = self._generation
        ids = tuple(f"t{self._insert(kept, turn)}" for turn in turns)
        states = dict(write.states)
        for row in kept.rows.values():
            state = states.get(row.new.identity)
            if state is not None and state != row.state:
                row.state, row.generation = state, self._generation
        if write.call is not None:
            self._calls[write.call.id] = _filled(self._calls.get(write.call.id), write.call)
        return Written(ids, self._generation)

    def _insert(self, kept: _Kept, turn: NewTurn) -> int:
        key = (turn.parent, turn.identity, turn.saying)
        if key not in kept.rows:
            self._seq += 1
            kept.rows[key] = _Row(self._seq, turn, turn.state, self._generation)
        return kept.rows[key].seq

    def nodes(self, request: NodesRequest) -> NodesReply:
        """A session's tree, or what changed in it."""
        with self._lock:
            kept = self._sessions.get(request.ref)
            if kept is None:
                return NodesReply(0, 0, ())
            changed = [row.node() for row in kept.rows.values() if row.generation > request.since]
            return NodesReply(kept.generation, 0, changed)

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """The sessions that know a turn, the last written first."""
        identities, meanings = set(request.identities), set(request.meanings)
        with self._lock:
            found = [
                kept
                for kept in self._sessions.values()
                if kept.ref.user == request.user
                and any(r.new.identity in identities or r.new.meaning in meanings for r in kept.rows.values())
            ]
            found.sort(key=lambda kept: -kept.generation)
        return [kept.ref for kept in found[: request.limit]]

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Turns in full, in the journal's order."""
        with self._lock:
            turns = sorted(self._selected(request), key=lambda turn: turn.seq)
            return turns[: request.limit]

    def _selected(self, request: TurnsRequest) -> Iterator[Turn]:
        identities = None if request.identities is None else frozenset(request.identities)
        seqs = None if request.seqs is None else frozenset(request.seqs)
        for kept in list(self._sessions.values()):
            if request.ref is not None:
                if kept.ref != request.ref:
                    continue
            elif request.owner is not True and kept.ref.user != request.owner:
                continue
            first: dict[bytes, int] = {}
            for row in kept.rows.values():
                first[row.new.identity] = min(row.seq, first.get(row.new.identity, row.seq))
            for row in kept.rows.values():
                wanted = identities is None or row.new.identity in identities
                wanted = wanted and (seqs is None or row.seq in seqs)
                if row.seq > request.after and wanted:
                    yield _turn(kept.ref, row, first.get(row.new.parent))

    def sessions(self, request: SessionsRequest) -> Sequence[Session]:
        """Sessions, the oldest first."""
        with self._lock:
            return [
                Session(name=kept.ref.session, user=kept.ref.user, created=kept.created, turns=len(kept.rows))
                for kept in self._sessions.values()
                if request.owner is True or kept.ref.user == request.owner
            ]

    def stats(self) -> Stats:
        """Counts."""
        with self._lock:
            return Stats(
                users=len({ref.user for ref in self._sessions} - {None}),
                sessions=len(self._sessions),
                turns=sum(len(kept.rows) for kept in self._sessions.values()),
                calls=len(self._calls),
            )


def _filled(old: CallRow | None, new: CallRow) -> CallRow:
    """The second write of a call over the first: what the second does not know stays."""
    if old is None:
        return new
    known = {
        name: value
        for name in ("model", "host", "end", "usage", "response_id", "error")
        if (value := getattr(new, name)) is not None
    }
    return replace(old, state=new.state, settings=new.settings or old.settings, **known)


def _turn(ref: SessionRef, row: _Row, parent: int | None) -> Turn:
    payload = copy.deepcopy(row.new.payload)
    return Turn(
        id=f"t{row.seq}",
        seq=row.seq,
        session=ref.session,
        user=ref.user,
        parent=None if parent is None else f"t{parent}",
        role=str(payload.get("role", "")),
        text=text_of(payload),
        payload=payload,
        state=row.state,
        at=row.new.at,
        choice=row.new.saying,
        branch=row.new.identity.hex(),
    )
