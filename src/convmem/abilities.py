"""What a store may be able to do beyond keeping the journal, one protocol each.

A store that lacks one still keeps conversations: without views nothing is recalled from it, epochs and
receipts end with the process, no response id is known, and `forget` says that this store cannot. Without
`CallReads` a call asks for the same by the other protocols, one read after the other. Each has a row in
docs/plugins/store.md and a kit in `convmem.testing.abilities`; what changes a store is called by jobs of the
writer alone (`journal.changes`, `journal.forget`).
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
    """Whose memory: a user's, or that of one session without a user. Exactly one of the two is given."""

    user: str | None
    session: str | None = None

    @classmethod
    def of(cls, ref: SessionRef) -> OwnerRef:
        """Whose session it is."""
        return cls(ref.user, ref.session if ref.user is None else None)


@dataclass(frozen=True, slots=True)
class ViewsRequest:
    """Ask for everything recall needs of an owner's turns, or for what changed since a generation.

    Attributes:
        owner: whose.
        fingerprint: only vectors made by this embedder are given; None gives none.
        since: the owner's generation that the asker knows; 0 asks for everything.
        after: only turns with a greater `seq`.
        limit: at most so many, in the journal's order; None for all.
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
        seq: its place in the journal's order; its id is `f"t{seq}"`.
        session: its session.
        identity: its identity in the tree of the session.
        parent: the identity of the turn before it.
        role: the message's role.
        state: what became of it.
        choice: 0, or which of several replies it was.
        entry: what `convmem.recall.encode` made of it; None when it was not analyzed yet.
        vector: its embedding as float16, little endian; None when there is none by this embedder.
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
        generation: the owner's; raised by every write of the owner's, of views too.
        redaction: raised whenever something of the owner was forgotten: what was known before is void.
        rows: in the journal's order; pending and failed turns too, as their state may change.
    """

    generation: int
    redaction: int
    rows: Sequence[ViewRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewView:
    """A view of one turn. What is None stays as it was; a turn that is gone is passed over."""

    seq: int
    entry: bytes | None = None
    fingerprint: str | None = None
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class UnindexedRequest:
    """Ask for turns, of any owner, that were not analyzed yet or have no vector by this embedder.

    Attributes:
        fingerprint: the embedder; None asks only for turns that were not analyzed.
        after: only turns with a greater `seq`.
        limit: at most so many, in the journal's order.
    """

    fingerprint: str | None
    after: int = 0
    limit: int = 64


@runtime_checkable
class Views(Protocol):
    """Keeps what was derived from turns beside them, and drops it with them."""

    def views(self, request: ViewsRequest) -> ViewsReply:
        """An owner's turns as recall sees them."""
        ...

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views, in one transaction; raises the generations of their owners."""
        ...

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Turns that still need a view."""
        ...


@dataclass(frozen=True, slots=True)
class EpochRef:
    """Which epoch: requests of one session to one model of one host."""

    ref: SessionRef
    host: str
    model: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where the window of a session begins until the next cut.

    Attributes:
        start: the identity of the window's first turn.
        summary: what stands for the rounds before it; a view, empty when there is none.
    """

    start: bytes
    summary: str = field(repr=False)


@runtime_checkable
class Epochs(Protocol):
    """Remembers where windows begin, so that a restart does not move them."""

    def epoch(self, which: EpochRef) -> Epoch | None:
        """The epoch that is running, or None before the first cut."""
        ...

    def put_epoch(self, which: EpochRef, epoch: Epoch | None, *, redaction: int | None = None) -> bool:
        """A cut; None ends the epoch. A session that is gone is passed over.

        Args:
            which: the epoch.
            epoch: what it is from now on.
            redaction: the owner's when what the summary is made of was read; None keeps it in any case.

        Returns:
            False, with nothing written, when something of the owner was forgotten since: the owner's
            redaction is another one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pin:
    """A text that is always in context."""

    id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """Ask which of a user's calls brought a response.

    Attributes:
        user: whose; None asks among the sessions without a user.
        response_id: the provider's id of the response.
        session: only in this session; None for all.
    """

    user: str | None
    response_id: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A provider call as it is kept.

    Attributes:
        id: its id.
        ref: its session.
        at: when it was made.
        state: what became of it.
        end: the identity of its last turn: the reply when it was journaled whole, else the last one sent.
    """

    id: str
    ref: SessionRef
    at: datetime
    state: State
    end: bytes | None


@runtime_checkable
class Responses(Protocol):
    """Finds calls by the provider's id of what they brought."""

    def response(self, request: ResponseRequest) -> KnownCall | None:
        """The call that brought a response; the latest, should there be several."""
        ...


@runtime_checkable
class Pins(Protocol):
    """Keeps pinned texts per user."""

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """An owner's pins, the oldest first."""
        ...

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text; the same text again is the same pin. Raises the owner's generation."""
        ...

    def drop_pin(self, owner: OwnerRef, pin: str) -> bool:
        """Delete a pin for good, by its id; whether it was there. Raises generation and redaction if so."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """Ask for turns to be forgotten.

    Attributes:
        owner: whose.
        session: this whole session.
        seqs: these turns; None means all of the session, or of the owner when no session is given.
        pins: ids of pins to drop with them; None drops all of the owner's when the whole owner is forgotten.
    """

    owner: OwnerRef
    session: str | None = None
    seqs: tuple[int, ...] | None = None
    pins: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    Attributes:
        seqs: the turns that are gone.
        pins: how many pins are gone.
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
        """How many traces of these turns are left; tries again to rid the file of what `forget` could not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a store found when it looked itself over.

    Attributes:
        problems: what is damaged, in the store's own words; empty when it is sound.
        log_bytes: size of what is written but not moved to its place yet.
        free_bytes: size of what could be given back to the system.
    """

    problems: tuple[str, ...] = ()
    log_bytes: int = 0
    free_bytes: int = 0


@runtime_checkable
class Checks(Protocol):
    """Can tell whether what it holds is whole."""

    def check(self) -> Condition:
        """Look everything over; damage is told, not raised."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsRequest:
    """Ask for the provider calls of a session, by their ids.

    Attributes:
        ref: the session.
        after: only calls whose id comes later.
        limit: at most so many.
    """

    ref: SessionRef
    after: str = ""
    limit: int = 500


@runtime_checkable
class Calls(Protocol):
    """Tells what it keeps of provider calls: what they cost is worked out from it."""

    def calls(self, request: CallsRequest) -> Sequence[CallRow]:
        """The calls in the order of their ids; settings and the last turn sent may be left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptsRequest:
    """Ask for receipts, the newest first.

    Attributes:
        owner: of this user's calls; None for calls of sessions without a user, True for all.
        session: only of sessions of this name.
        since: only of calls made at this time or later.
        call: only of the call with this id.
        limit: at most so many.
    """

    owner: str | Literal[True] | None = True
    session: str | None = None
    since: datetime | None = None
    call: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """A receipt as it is kept.

    Attributes:
        call: the call it is the receipt of, with what the last write of the call filled in; its settings and
            its last turn sent may be left out.
        ref: the session of the call.
        turns: the turns that the call journaled, each by its `seq`, in order.
        quoted: the turns that its request quoted, in order, less those that are gone.
        account: the rest of it, as it was written.
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
        """Receipts by the time of their calls, the newest first; of one time the last written first."""
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
        """All of them, in the order of hosts and models."""
        ...

    def put_limit(self, limit: LearntLimit) -> None:
        """Keep a context length, in place of the one kept for its host and model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReadsRequest:
    """Ask for all that one call needs, so that it is read at once and from one state of the store.

    Attributes:
        which: the window of the call: its session, its host and its model.
        path: identities of the conversation's turns, oldest first, as far as they may be sent.
        held: those of `path` whose messages the asker has already.
        characters: characters that the messages given may have together, as JSON; a single one may have more.
        views: also what changed of the owner's views since a generation; None where that is not asked.
        most_views: rows of views that are given at most; where more changed, none are.
    """

    which: EpochRef
    path: tuple[bytes, ...] = ()
    held: frozenset[bytes] = frozenset()
    characters: int = 4_000_000
    views: ViewsRequest | None = None
    most_views: int = 500

    def wanted(self, epoch: Epoch | None) -> tuple[bytes, ...]:
        """The turns to give: those of the path from the epoch's start on that the asker does not have."""
        start = self.path.index(epoch.start) if epoch is not None and epoch.start in self.path else 0
        return tuple(identity for identity in self.path[start:] if identity not in self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReadsReply:
    """All that one call needs.

    Attributes:
        epoch: the epoch that is running, or None before the first cut.
        turns: the turns wanted, in the order of the path, each once (of several sayings the first); those
            that are gone are missing.
        unread: how many of the turns wanted, from the oldest, were not looked for, because the newer ones
            have more characters than asked for.
        pins: the owner's pins, the oldest first.
        views: what changed of the owner's views; None when that was not asked, or is too much.
    """

    epoch: Epoch | None = None
    turns: Sequence[Turn] = ()
    unread: int = 0
    pins: Sequence[Pin] = ()
    views: ViewsReply | None = None


@runtime_checkable
class CallReads(Protocol):
    """Reads all that one call needs at once: over a network that is one way instead of four."""

    def call_reads(self, request: CallReadsRequest) -> CallReadsReply:
        """The epoch, the turns of its window, the pins and the changed views, of one state of the store."""
        ...
