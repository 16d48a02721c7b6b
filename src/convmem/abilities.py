"""Protocols of what a store may do beyond keeping the journal: one protocol per ability.

A store that lacks abilities still keeps conversations. Without `Views` nothing is recalled from it; without
`Epochs` and `Accounts` windows and receipts end with the process; without `Responses` no response id is
known; without `Forgets` `forget` raises. Without `CallReads` a call reads the same by the other protocols,
one read after the other. Each has a row in docs/plugins/store.md and a kit in `convmem.testing.abilities`;
what changes a store is called by jobs of the writer alone (`journal.changes`, `journal.forget`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from convmem.protocols import CallRow, QuotedRow, SessionRef
    from convmem.types import State, Turn

__all__ = [
    "Accounts",
    "CallReads",
    "CallReadsReply",
    "CallReadsRequest",
    "Calls",
    "CallsRequest",
    "Checks",
    "Condition",
    "Epoch",
    "EpochRef",
    "Epochs",
    "ForgetRequest",
    "Forgets",
    "Forgotten",
    "KnownCall",
    "LearntLimit",
    "Limits",
    "NewView",
    "OwnerRef",
    "Pin",
    "Pins",
    "ReceiptRow",
    "ReceiptsRequest",
    "ResponseRequest",
    "Responses",
    "UnindexedRequest",
    "ViewRow",
    "Views",
    "ViewsReply",
    "ViewsRequest",
]


@dataclass(frozen=True, slots=True)
class OwnerRef:
    """Names an owner of memory: a user, or one session without a user. Exactly one of the two is given."""

    user: str | None
    session: str | None = None

    @classmethod
    def of(cls, ref: SessionRef) -> OwnerRef:
        """Return the owner of a session."""
        return cls(ref.user, ref.session if ref.user is None else None)


@dataclass(frozen=True, slots=True)
class ViewsRequest:
    """Ask for everything recall needs of an owner's turns, or for what changed since a generation.

    Attributes:
        owner: the owner of the turns.
        fingerprint: give vectors made by this embedder only; None gives no vectors.
        since: the owner's generation that the asker knows; 0 asks for everything.
        after: only turns with a greater `seq`.
        limit: the most turns, in the journal's order; None for all.
    """

    owner: OwnerRef
    fingerprint: str | None
    since: int = 0
    after: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ViewRow:
    """What recall needs of one turn.

    Attributes:
        seq: the turn's place in the journal's order; its id is `f"t{seq}"`.
        session: the name of the turn's session.
        identity: the turn's identity in the tree of the session.
        parent: the identity of the turn before it.
        role: the message's role.
        state: what became of the turn.
        choice: 0, or which of several replies to one call it was.
        entry: the analyzed text, made by `convmem.recall.encode`; None when the turn was not analyzed yet.
        vector: the turn's embedding as float16, little endian; None when this embedder made none.
    """

    seq: int
    session: str
    identity: bytes
    parent: bytes
    role: str
    state: State
    choice: int
    entry: bytes | None = field(repr=False)
    vector: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ViewsReply:
    """An owner's turns as recall sees them.

    Attributes:
        generation: the owner's generation, which every write for the owner raises, one of views included.
        redaction: rises whenever something of the owner was forgotten; what was known before is void then.
        rows: the turns in the journal's order; pending and failed ones too, as their state may change.
    """

    generation: int
    redaction: int
    rows: Sequence[ViewRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewView:
    """A view of one turn to keep; a field that is None stays as it was, a turn that is gone is left out."""

    seq: int
    entry: bytes | None = None
    fingerprint: str | None = None
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class UnindexedRequest:
    """Ask for turns, of any owner, that were not analyzed yet or have no vector by this embedder.

    Attributes:
        fingerprint: the embedder's; None asks only for turns that were not analyzed.
        after: only turns with a greater `seq`.
        limit: the most turns, in the journal's order.
    """

    fingerprint: str | None
    after: int = 0
    limit: int = 64


@runtime_checkable
class Views(Protocol):
    """Keeps what was derived from turns beside them, and drops it with them."""

    def views(self, request: ViewsRequest) -> ViewsReply:
        """Return an owner's turns as recall sees them."""
        ...

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views, in one transaction; raises the generations of their owners."""
        ...

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Return turns that still need a view."""
        ...


@dataclass(frozen=True, slots=True)
class EpochRef:
    """Names an epoch by what its requests have in common: a session, a host and a model."""

    ref: SessionRef
    host: str
    model: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where the window of a session begins until the next cut.

    Attributes:
        start: the identity of the window's first turn.
        summary: the text that stands for the rounds before `start`; empty when there is none.
    """

    start: bytes
    summary: str = field(repr=False)


@runtime_checkable
class Epochs(Protocol):
    """Remembers where windows begin, so that a restart does not move them."""

    def epoch(self, which: EpochRef) -> Epoch | None:
        """Return the epoch that is running, or None before the first cut."""
        ...

    def put_epoch(self, which: EpochRef, epoch: Epoch | None, *, redaction: int | None = None) -> bool:
        """Keep an epoch in place of the running one, or end that; a session that is gone is passed over.

        Args:
            which: names the epoch.
            epoch: the epoch that runs from now on; None ends the running one.
            redaction: the owner's redaction when the turns of the summary were read; None keeps the epoch in
                any case.

        Returns:
            False, with nothing written, when the owner's redaction is another one: something was forgotten
            since, which the summary may hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pin:
    """A text that every request of its owner is sent with.

    Attributes:
        id: the pin's id, such as `"p3"`.
        text: the text.
        at: when the text was pinned.
    """

    id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """Ask which of a user's calls brought a response.

    Attributes:
        user: the user; None asks among the sessions without a user.
        response_id: the provider's id of the response.
        session: only calls of this session; None for all.
    """

    user: str | None
    response_id: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A provider call as the store keeps it.

    Attributes:
        id: the call's id.
        ref: the call's session.
        at: when the call was made.
        state: what became of the call.
        end: the identity of the call's last turn: the reply if it came whole, else the last one sent.
    """

    id: str
    ref: SessionRef
    at: datetime
    state: State
    end: bytes | None


@runtime_checkable
class Responses(Protocol):
    """Finds calls by the provider's ids of their responses."""

    def response(self, request: ResponseRequest) -> KnownCall | None:
        """Return the call that brought a response; the latest, should there be several."""
        ...


@runtime_checkable
class Pins(Protocol):
    """Keeps pinned texts per user."""

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """Return an owner's pins, the oldest first."""
        ...

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text, and raise the owner's generation; the same text again is the same pin."""
        ...

    def drop_pin(self, owner: OwnerRef, pin: str) -> bool:
        """Delete a pin for good, by its id, and raise generation and redaction; False when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """Ask for turns to be forgotten.

    Attributes:
        owner: the owner of the turns.
        session: only turns of this session.
        seqs: only these turns; None means all of the session, or of the owner when no session is given.
        pins: ids of pins to delete too; None deletes all of the owner's when the whole owner is forgotten.
    """

    owner: OwnerRef
    session: str | None = None
    seqs: tuple[int, ...] | None = None
    pins: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    Attributes:
        seqs: the turns that were deleted.
        pins: how many pins were deleted.
        pending: how many copies an open reader or a file still holds; 0 when nothing is left.
    """

    seqs: tuple[int, ...]
    pins: int
    pending: int


@runtime_checkable
class Forgets(Protocol):
    """Forgets for good: rows, views, media, settings and the pages of the file they stood on."""

    def forget(self, request: ForgetRequest) -> Forgotten:
        """Delete turns and everything derived from them, leave tombstones, raise generation and redaction."""
        ...

    def residue(self, owner: OwnerRef, seqs: Sequence[int]) -> int:
        """Count the traces left of these turns, after trying again to remove what `forget` could not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a store found when it looked itself over.

    Attributes:
        problems: descriptions of what is damaged, in the store's own words; empty when the store is sound.
        log_bytes: bytes that are written to a log but not moved to their place yet.
        free_bytes: bytes of the file that are unused and could be given back to the system.
    """

    problems: tuple[str, ...] = ()
    log_bytes: int = 0
    free_bytes: int = 0


@runtime_checkable
class Checks(Protocol):
    """Can tell whether its contents are whole."""

    def check(self) -> Condition:
        """Check everything, and return what is damaged instead of raising it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsRequest:
    """Ask for the provider calls of a session, by their ids.

    Attributes:
        ref: the session.
        after: only calls whose id comes later in the order of ids.
        limit: the most calls.
    """

    ref: SessionRef
    after: str = ""
    limit: int = 500


@runtime_checkable
class Calls(Protocol):
    """Lists the provider calls that it keeps; their costs are worked out from the list."""

    def calls(self, request: CallsRequest) -> Sequence[CallRow]:
        """Return calls in the order of their ids; `settings` and `end` may be left out of the rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptsRequest:
    """Ask for receipts, the newest first.

    Attributes:
        owner: the user of the calls; None for calls of sessions without a user, True for all.
        session: only receipts of sessions of this name.
        since: only receipts of calls made at this time or later.
        call: only the receipt of the call with this id.
        limit: the most receipts.
    """

    owner: str | Literal[True] | None = True
    session: str | None = None
    since: datetime | None = None
    call: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """A receipt as the store keeps it.

    Attributes:
        call: the call of the receipt, as its last write left it; `settings` and `end` may be left out.
        ref: the session of the call.
        turns: the turns that the call journaled, each by its `seq`, in order.
        quoted: the turns that its request quoted, in order, less those that are gone.
        account: the rest of the receipt, as it was written.
    """

    call: CallRow
    ref: SessionRef
    turns: tuple[int, ...]
    quoted: tuple[QuotedRow, ...]
    account: str


@runtime_checkable
class Accounts(Protocol):
    """Keeps the receipts that come with writes (`Write.receipt`).

    A receipt goes when one of the turns that its call journaled is forgotten, and with its session. A turn
    that is forgotten goes from what other receipts quote.
    """

    def receipts(self, request: ReceiptsRequest) -> Sequence[ReceiptRow]:
        """Return receipts by the time of their calls, the newest first; of equal times the last written."""
        ...


@dataclass(frozen=True, slots=True)
class LearntLimit:
    """The context length of a model, as a provider's error named it.

    Attributes:
        host: the provider's host.
        model: the model as the request named it.
        tokens: the most tokens that a request and its reply may have together.
        at: when the provider said so.
    """

    host: str
    model: str
    tokens: int
    at: datetime


@runtime_checkable
class Limits(Protocol):
    """Keeps the context lengths that were learnt from providers' errors, one per host and model."""

    def limits(self) -> Sequence[LearntLimit]:
        """Return all learnt context lengths, in the order of hosts and models."""
        ...

    def put_limit(self, limit: LearntLimit) -> None:
        """Keep a context length, in place of the one kept for its host and model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReadsRequest:
    """Ask for all that one call needs, so that it is read at once and from one state of the store.

    Attributes:
        which: names the epoch of the call: its session, its host and its model.
        path: the identities of the conversation's turns, oldest first, as far as they may be sent.
        held: the identities in `path` whose messages the asker has already.
        characters: the most characters that the messages may have together; a single one may have more.
        views: asks for the owner's views that changed since a generation; None does not.
        most_views: the most changed views that are wanted; where more changed, none are given.
    """

    which: EpochRef
    path: tuple[bytes, ...] = ()
    held: frozenset[bytes] = frozenset()
    characters: int = 4_000_000
    views: ViewsRequest | None = None
    most_views: int = 500

    def wanted(self, epoch: Epoch | None) -> tuple[bytes, ...]:
        """Return the identities in the path, from the epoch's start on, that the asker does not have."""
        start = self.path.index(epoch.start) if epoch is not None and epoch.start in self.path else 0
        return tuple(identity for identity in self.path[start:] if identity not in self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReadsReply:
    """All that one call needs.

    Attributes:
        epoch: the epoch that is running, or None before the first cut.
        turns: the turns wanted, in the order of the path, each once (of several sayings the first); turns
            that are gone are missing.
        unread: how many of the turns wanted, from the oldest, were not looked for, because the newer ones
            fill the characters asked for.
        pins: the owner's pins, the oldest first.
        views: the owner's views that changed; None when the request does not ask for them, or too many did.
    """

    epoch: Epoch | None = None
    turns: Sequence[Turn] = ()
    unread: int = 0
    pins: Sequence[Pin] = ()
    views: ViewsReply | None = None


@runtime_checkable
class CallReads(Protocol):
    """Reads all that one call needs at once: over a network that is one round trip instead of four."""

    def call_reads(self, request: CallReadsRequest) -> CallReadsReply:
        """Return epoch, turns of its window, pins and changed views, all of one state of the store."""
        ...
