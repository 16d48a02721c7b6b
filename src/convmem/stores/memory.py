"""A store in this process's memory: for tests, and for conversations that nobody needs to keep."""

from __future__ import annotations

import copy
import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from convmem.abilities import (
    CallReadsReply,
    Epoch,
    EpochRef,
    ForgetRequest,
    Forgotten,
    KnownCall,
    OwnerRef,
    Pin,
    ReceiptRow,
    ViewRow,
    ViewsReply,
)
from convmem.protocols import Node, NodesReply, NodesRequest, SessionRef, TurnsRequest, Written
from convmem.stores.differences import difference, put_together
from convmem.threads.locks import WholeLock
from convmem.types import Session, Stats, Turn
from convmem.wire.message import dumps, text_of, weight_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from convmem.abilities import (
        CallReadsRequest,
        CallsRequest,
        LearntLimit,
        NewView,
        ReceiptsRequest,
        ResponseRequest,
        UnindexedRequest,
        ViewsRequest,
    )
    from convmem.protocols import (
        CallRow,
        FindRequest,
        NewReceipt,
        NewTurn,
        SessionsRequest,
        Write,
    )
    from convmem.stores.differences import Piece
    from convmem.types import Message, State

__all__ = ["InMemoryStore"]

_BASES = 8
"""Latest calls of an owner whose system texts a new text is compared with: an app may have several agents,
each with a text of its own. Each comparison takes time linear in the texts."""


@dataclass(slots=True)
class _Row:
    """One turn as the store keeps it."""

    seq: int
    new: NewTurn
    state: State
    generation: int

    def node(self) -> Node:
        """Return the turn without its words."""
        new = self.new
        role = str(new.payload.get("role", ""))
        return Node(self.seq, new.identity, new.parent, new.meaning, role, self.state, new.saying)


@dataclass(slots=True)
class _Kept:
    """One session: its turns, its tombstones and the ids of its calls."""

    ref: SessionRef
    created: datetime
    generation: int = 0
    rows: dict[tuple[bytes, bytes, int], _Row] = field(default_factory=dict[tuple[bytes, bytes, int], _Row])
    tombstones: dict[tuple[bytes, bytes, int], tuple[int, Node]] = field(
        default_factory=dict["tuple[bytes, bytes, int]", "tuple[int, Node]"]
    )
    calls: set[str] = field(default_factory=set[str])

    @property
    def owner(self) -> OwnerRef:
        """The owner of the session: its user, or the session itself."""
        return OwnerRef.of(self.ref)

    @property
    def listed(self) -> bool:
        """Whether the session is listed: one of which only tombstones are left is not."""
        return bool(self.rows) or not self.tombstones

    def knows(self, request: FindRequest) -> bool:
        """Whether the session has one of these turns, or a tombstone in its place."""
        return any(row.new.meaning in request.meanings for row in self.rows.values()) or any(
            identity in request.identities for _, identity, _ in (*self.rows, *self.tombstones)
        )


@dataclass(slots=True)
class _View:
    """What was derived from one turn: its analyzed text and its embedding."""

    generation: int
    entry: bytes | None = None
    fingerprint: str | None = None
    vector: bytes | None = None


@dataclass(slots=True)
class _Owner:
    """An owner's generation, redaction and pins."""

    generation: int = 0
    redaction: int = 0
    pins: list[Pin] = field(default_factory=list[Pin])


@dataclass(slots=True)
class _Texts:
    """Keeps the settings of one owner's calls; settings much like earlier ones are kept as differences."""

    by_call: dict[str, tuple[str, list[Piece]]] = field(
        default_factory=dict["str", "tuple[str, list[Piece]]"]
    )

    def keep(self, call: str, messages: Sequence[Message]) -> None:
        """Keep the settings of a call."""
        text = dumps(messages)
        whole: tuple[str, list[Piece]] = (text, [(0, len(text))])
        latest = islice(reversed(self.by_call.values()), _BASES)
        made = [(base, difference(base, text)) for base in dict.fromkeys(base for base, _ in latest)]
        best = min(made, key=lambda each: len(dumps(each[1])), default=whole)
        # A difference is worth keeping when it takes less than half of the text: else it soon costs more.
        self.by_call[call] = best if len(dumps(best[1])) * 2 < len(text) else whole

    def of(self, call: str) -> tuple[Message, ...]:
        """Return the settings of a call, as they were given."""
        base, pieces = self.by_call.get(call, ("[]", [(0, 2)]))
        return tuple(json.loads(put_together(base, pieces)))

    def drop(self, calls: Collection[str]) -> None:
        """Forget the settings of calls, and write the others anew, so that none refers to these."""
        left = [(call, self.of(call)) for call in self.by_call if call not in calls]
        self.by_call.clear()
        for call, messages in left:
            self.keep(call, messages)


class InMemoryStore:
    """A store whose journal ends with the process."""

    def __init__(self) -> None:
        self._lock = WholeLock()
        self._key = secrets.token_bytes(32)
        self._sessions: dict[SessionRef, _Kept] = {}
        self._calls: dict[str, CallRow] = {}  # by their ids; their settings are in `_settings`
        self._settings: dict[OwnerRef, _Texts] = {}
        self._there: set[int] = set()  # the `seq` of every turn that is not forgotten
        self._receipts: dict[str, NewReceipt] = {}  # by the ids of their calls
        self._limits: dict[tuple[str, str], LearntLimit] = {}
        self._views: dict[int, _View] = {}
        self._epochs: dict[EpochRef, Epoch] = {}
        self._owners: dict[OwnerRef, _Owner] = {}
        self._seq = 0
        self._pin_seq = 0
        self._generation = 0

    @property
    def key(self) -> bytes:
        """32 random bytes, made with the store."""
        return self._key

    def close(self) -> None:
        """Do nothing: there is no file to close."""

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all writes, or none when a turn cannot be copied."""
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
        owner = self._owners.get(OwnerRef.of(write.ref), _Owner())
        if write.redaction is not None and write.redaction != owner.redaction:
            return Written(None, generation)
        self._generation += 1
        if kept is None:
            said = [turn.at for turn in turns] + ([write.call.at] if write.call else [])
            created = said[0] if said else datetime.now(UTC)
            kept = self._sessions[write.ref] = _Kept(write.ref, created)
        kept.generation = self._owned(kept.owner).generation = self._generation
        ids = tuple(f"t{self._insert(kept, turn)}" for turn in turns)
        states = dict(write.states)
        for row in kept.rows.values():
            state = states.get(row.new.identity)
            if state is not None and state != row.state:
                row.state, row.generation = state, self._generation
        for parent, identity in write.forgotten:
            node = Node(0, identity, parent, b"", "", None)
            kept.tombstones.setdefault((parent, identity, 0), (self._generation, node))
        if write.call is not None:
            self._calls[write.call.id] = _filled(self._calls.get(write.call.id), write.call)
            kept.calls.add(write.call.id)
            if write.receipt is not None:
                self._put_receipt(write.call.id, write.receipt, [int(id_[1:]) for id_ in ids])
            if write.call.settings:
                self._settings.setdefault(kept.owner, _Texts()).keep(write.call.id, write.call.settings)
        return Written(ids, self._generation)

    def _put_receipt(self, call: str, receipt: NewReceipt, journaled: Sequence[int]) -> None:
        """Keep a receipt, unless one of its turns is gone."""
        turns = tuple(dict.fromkeys((*receipt.turns, *journaled)))
        if not self._there.issuperset(turns):
            self._receipts.pop(call, None)
            return
        quoted = tuple(row for row in receipt.quoted if row.seq in self._there)
        self._receipts[call] = replace(receipt, turns=turns, quoted=quoted)

    def _insert(self, kept: _Kept, turn: NewTurn) -> int:
        key = (turn.parent, turn.identity, turn.saying)
        if key not in kept.rows:
            self._seq += 1
            kept.rows[key] = _Row(self._seq, turn, turn.state, self._generation)
            self._there.add(self._seq)
        return kept.rows[key].seq

    def nodes(self, request: NodesRequest) -> NodesReply:
        """Return a session's tree, or what changed in it."""
        with self._lock:
            kept = self._sessions.get(request.ref)
            if kept is None:
                return NodesReply(0, self._owners.get(OwnerRef.of(request.ref), _Owner()).redaction, ())
            buried = [node for generation, node in kept.tombstones.values() if generation > request.since]
            changed = [row.node() for row in kept.rows.values() if row.generation > request.since]
            return NodesReply(kept.generation, self._owned(kept.owner).redaction, [*buried, *changed])

    def _owned(self, owner: OwnerRef) -> _Owner:
        return self._owners.setdefault(owner, _Owner())

    # Responses.

    def response(self, request: ResponseRequest) -> KnownCall | None:
        """Return the call that brought a response; the latest, should there be several."""
        with self._lock:
            found = [
                KnownCall(row.id, kept.ref, row.at, row.state, row.end)
                for kept in self._sessions.values()
                if kept.ref.user == request.user and request.session in {None, kept.ref.session}
                for row in map(self._calls.__getitem__, kept.calls)
                if row.response_id == request.response_id
            ]
            return max(found, key=lambda known: known.at, default=None)

    # Views.

    def views(self, request: ViewsRequest) -> ViewsReply:
        """Return an owner's turns as recall sees them, or those that changed since a generation."""
        with self._lock:
            owner = self._owners.get(request.owner, _Owner())
            rows = [
                _view_row(kept, row, self._views.get(row.seq), request.fingerprint)
                for kept in self._sessions.values()
                if kept.owner == request.owner
                for row in kept.rows.values()
                if row.seq > request.after
                and max(row.generation, self._view_generation(row.seq)) > request.since
            ]
            rows.sort(key=lambda row: row.seq)
            return ViewsReply(owner.generation, owner.redaction, rows[: request.limit])

    def _view_generation(self, seq: int) -> int:
        return self._views[seq].generation if seq in self._views else 0

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views; views of turns that are gone are passed over."""
        with self._lock:
            owners = {row.seq: kept.owner for kept in self._sessions.values() for row in kept.rows.values()}
            self._generation += 1
            for new in batch:
                embedded = new.vector is not None and new.fingerprint is not None
                if new.seq not in owners or not (embedded or new.entry is not None):
                    continue
                view = self._views.setdefault(new.seq, _View(0))
                view.generation = self._owned(owners[new.seq]).generation = self._generation
                view.entry = view.entry if new.entry is None else new.entry
                if embedded:
                    view.fingerprint, view.vector = new.fingerprint, new.vector

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Return turns that still need a view, in the journal's order."""
        with self._lock:
            lacking = [
                turn
                for turn in self._selected(TurnsRequest(after=request.after))
                if self._lacks(turn.seq, request.fingerprint)
            ]
            return sorted(lacking, key=lambda turn: turn.seq)[: request.limit]

    def _lacks(self, seq: int, fingerprint: str | None) -> bool:
        view = self._views.get(seq, _View(0))
        return view.entry is None or (fingerprint is not None and view.fingerprint != fingerprint)

    # Epochs and pins.

    def epoch(self, which: EpochRef) -> Epoch | None:
        """Return the epoch that is running, or None before the first cut."""
        with self._lock:
            return self._epochs.get(which)

    def put_epoch(self, which: EpochRef, epoch: Epoch | None, *, redaction: int | None = None) -> bool:
        """Keep an epoch in place of the running one, or end that; a session without turns is passed over."""
        with self._lock:
            kept = self._sessions.get(which.ref)
            if redaction is not None and redaction != self.nodes(NodesRequest(which.ref)).redaction:
                return False
            if epoch is None:
                self._epochs.pop(which, None)
            elif kept is not None and kept.rows:
                self._epochs[which] = epoch
            return True

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """Return an owner's pins, the oldest first."""
        with self._lock:
            return list(self._owners.get(owner, _Owner()).pins)

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text; the same text again is the same pin."""
        with self._lock:
            held = self._owned(owner)
            self._generation += 1
            held.generation = self._generation
            known = next((pin for pin in held.pins if pin.text == text), None)
            if known is None:
                self._pin_seq += 1
                known = Pin(f"p{self._pin_seq}", text, at)
                held.pins.append(known)
            return known

    def drop_pin(self, owner: OwnerRef, pin: str) -> bool:
        """Delete a pin for good, by its id; False when there is none."""
        return self.forget(ForgetRequest(owner=owner, seqs=(), pins=(pin,))).pins > 0

    # Forgetting.

    def forget(self, request: ForgetRequest) -> Forgotten:
        """Delete turns and everything derived from them, leaving tombstones."""
        with self._lock:
            held = self._owners.get(request.owner)
            if held is None:
                return Forgotten((), 0, 0)
            owner, name = request.owner, request.session
            sessions = [
                k for k in self._sessions.values() if k.owner == owner and name in {None, k.ref.session}
            ]
            all_sessions = name is None or (owner.user is None and name == owner.session)
            whole = request.seqs is None and (bool(sessions) or all_sessions)
            wanted = self._bearing(sessions, request.seqs)
            unpinned = whole and all_sessions if request.pins is None else request.pins
            dropped = [pin for pin in held.pins if unpinned is True or (unpinned and pin.id in unpinned)]
            if not (whole or wanted or dropped):
                return Forgotten((), 0, 0)
            self._generation += 1
            held.generation, held.redaction = self._generation, held.redaction + 1
            held.pins = [pin for pin in held.pins if pin not in dropped]
            if dropped:  # the pins' texts stand in the summaries of all sessions
                for which in [w for w in self._epochs if self._sessions[w.ref].owner == owner]:
                    del self._epochs[which]
            gone: list[int] = []
            for kept in sessions if whole else wanted:
                gone += self._bury(kept, request.seqs)
            return Forgotten(tuple(sorted(gone)), len(dropped), 0)

    def _bearing(self, sessions: Sequence[_Kept], seqs: Sequence[int] | None) -> list[_Kept]:
        """Return the sessions that have one of these turns."""
        return [k for k in sessions if any(seqs is None or row.seq in seqs for row in k.rows.values())]

    def _bury(self, kept: _Kept, seqs: Sequence[int] | None) -> list[int]:
        """Put tombstones in the places of a session's turns; returns the `seq` of those turns."""
        rows = [(key, row) for key, row in kept.rows.items() if seqs is None or row.seq in seqs]
        kept.generation = self._generation
        if seqs is None and kept.owner in self._settings:
            self._settings[kept.owner].drop(kept.calls)
        while seqs is None and kept.calls:
            self._calls.pop(call := kept.calls.pop(), None)
            self._receipts.pop(call, None)
        for key, row in rows:
            new = row.new
            node = Node(0, new.identity, new.parent, b"", "", None, new.saying)
            kept.tombstones[key] = (self._generation, node)
            del kept.rows[key]
            self._views.pop(row.seq, None)
        gone = {row.seq for _, row in rows}
        self._there -= gone
        self._strike(gone)
        for which in [which for which in self._epochs if which.ref == kept.ref]:
            del self._epochs[which]
        return [row.seq for _, row in rows]

    def _strike(self, gone: set[int]) -> None:
        """Drop the receipts of calls that journaled one of these turns; others no longer name them."""
        for call, receipt in list(self._receipts.items()):
            if not gone.isdisjoint(receipt.turns):
                del self._receipts[call]
            elif any(row.seq in gone for row in receipt.quoted):
                quoted = tuple(row for row in receipt.quoted if row.seq not in gone)
                self._receipts[call] = replace(receipt, quoted=quoted)

    # Calls, receipts and learnt limits.

    def receipts(self, request: ReceiptsRequest) -> Sequence[ReceiptRow]:
        """Return receipts by the time of their calls, the newest first."""
        with self._lock:
            refs = {call: kept.ref for kept in self._sessions.values() for call in kept.calls}
            rows = [
                ReceiptRow(
                    call=copy.deepcopy(self._calls[call]),
                    ref=refs[call],
                    turns=receipt.turns,
                    quoted=receipt.quoted,
                    account=receipt.account,
                )
                for call, receipt in reversed(self._receipts.items())
                if _asked_for(request, self._calls[call], refs[call])
            ]
            rows.sort(key=lambda row: row.call.at, reverse=True)  # stable: of equal times the last written
            return rows[: request.limit]

    def limits(self) -> Sequence[LearntLimit]:
        """Return the context lengths learnt from providers' errors, in the order of hosts and models."""
        with self._lock:
            return [self._limits[place] for place in sorted(self._limits)]

    def put_limit(self, limit: LearntLimit) -> None:
        """Keep a context length, in place of the one kept for its host and model."""
        with self._lock:
            self._limits[limit.host, limit.model] = limit

    def calls(self, request: CallsRequest) -> Sequence[CallRow]:
        """Return a session's calls in the order of their ids."""
        with self._lock:
            kept = self._sessions.get(request.ref)
            ids = sorted(id_ for id_ in kept.calls if id_ > request.after) if kept is not None else []
            told = self._settings.get(kept.owner, _Texts()) if kept is not None else _Texts()
            return [
                replace(copy.deepcopy(self._calls[id_]), settings=told.of(id_))
                for id_ in ids[: request.limit]
            ]

    def residue(self, owner: OwnerRef, seqs: Sequence[int]) -> int:
        """Count the turns of these that are left, and the receipts' lines that name one of them."""
        with self._lock:
            wanted = set(seqs)
            kept = [kept for kept in self._sessions.values() if kept.owner == owner]
            named = [self._receipts[call] for k in kept for call in k.calls if call in self._receipts]
            return sum(row.seq in wanted for k in kept for row in k.rows.values()) + sum(
                seq in wanted for r in named for seq in (*r.turns, *(row.seq for row in r.quoted))
            )

    def call_reads(self, request: CallReadsRequest) -> CallReadsReply:
        """Return epoch, turns of its window, pins and changed views, all of one state of the store."""
        ref = request.which.ref
        with self._lock:
            epoch = self.epoch(request.which)
            wanted = request.wanted(epoch)
            rows = (
                self.turns(TurnsRequest(ref=ref, identities=wanted, limit=2 * len(wanted))) if wanted else ()
            )
            there = {bytes.fromhex(turn.branch): turn for turn in reversed(rows)}
            pins = self.pins(OwnerRef.of(ref))
            views = self.views(request.views) if request.views is not None else None
        turns: list[Turn] = []
        looked_for, left = 0, request.characters
        for identity in reversed(wanted):
            turn = there.get(identity)
            left -= weight_of(turn.payload) if turn is not None else 0
            if left < 0 and turns:
                break
            looked_for += 1
            turns += [turn] if turn is not None else []
        return CallReadsReply(
            epoch=epoch,
            turns=turns[::-1],
            unread=len(wanted) - looked_for,
            pins=pins,
            views=views if views is not None and len(views.rows) <= request.most_views else None,
        )

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """Return the sessions that know one of these turns, the last written first."""
        with self._lock:
            found = [k for k in self._sessions.values() if k.ref.user == request.user and k.knows(request)]
            found.sort(key=lambda kept: -kept.generation)
        return [kept.ref for kept in found[: request.limit]]

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Return turns in full, in the journal's order."""
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
        """Return sessions, the oldest first."""
        with self._lock:
            return [
                Session(name=kept.ref.session, user=kept.ref.user, created=kept.created, turns=len(kept.rows))
                for kept in self._sessions.values()
                if kept.listed and (request.owner is True or kept.ref.user == request.owner)
            ]

    def stats(self) -> Stats:
        """Count users, sessions, turns and calls."""
        with self._lock:
            listed = [kept for kept in self._sessions.values() if kept.listed]
            return Stats(
                users=len({kept.ref.user for kept in listed} - {None}),
                sessions=len(listed),
                turns=sum(len(kept.rows) for kept in self._sessions.values()),
                calls=sum(call.asked for call in self._calls.values()),
            )


def _asked_for(request: ReceiptsRequest, call: CallRow, ref: SessionRef) -> bool:
    return (
        (request.owner is True or ref.user == request.owner)
        and request.session in {None, ref.session}
        and request.call in {None, call.id}
        and (request.since is None or call.at >= request.since)
    )


def _view_row(kept: _Kept, row: _Row, view: _View | None, fingerprint: str | None) -> ViewRow:
    new = row.new
    fits = view is not None and fingerprint is not None and view.fingerprint == fingerprint
    return ViewRow(
        row.seq,
        kept.ref.session,
        new.identity,
        new.parent,
        str(new.payload.get("role", "")),
        row.state,
        new.saying,
        view.entry if view is not None else None,
        view.vector if view is not None and fits else None,
    )


def _filled(old: CallRow | None, new: CallRow) -> CallRow:
    """Lay the second write of a call over the first: fields that the second does not know stay."""
    if old is None:
        return replace(new, settings=())
    known = {
        name: value
        for name in ("model", "host", "end", "usage", "response_id", "error")
        if (value := getattr(new, name)) is not None
    }
    return replace(old, state=new.state, **known)


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
