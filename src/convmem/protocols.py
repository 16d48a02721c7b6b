"""The seams at which other people's code plugs in, and the frozen requests that cross them.

A store keeps the journal. It is told what to write and what to look up; where a turn belongs is decided by
convmem, so every store behaves alike. `convmem.testing.StoreConformance` checks an implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from convmem.types import Message, Session, State, Stats, Turn

__all__ = [
    "SETTLED",
    "CallRow",
    "FindRequest",
    "NewReceipt",
    "NewTurn",
    "Node",
    "NodesReply",
    "NodesRequest",
    "QuotedRow",
    "SessionRef",
    "SessionsRequest",
    "Store",
    "TurnsRequest",
    "Write",
    "Written",
    "text_of",
]

SETTLED: frozenset[State] = frozenset({"answered", "partial"})
"""States of turns that may be recalled, put into a window and continued."""


@dataclass(frozen=True, slots=True)
class SessionRef:
    """A session's full name: session names are unique per user only."""

    user: str | None
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTurn:
    """A turn to append. Insertion is idempotent by (session, parent, identity, saying)."""

    identity: bytes
    parent: bytes
    meaning: bytes
    payload: Message = field(repr=False)
    state: State
    at: datetime
    saying: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """What is kept of one provider call. Written twice under one id: before it, and after the reply.

    A row without a model and a host is no call: it keeps the settings of a conversation that was recorded.

    Attributes:
        id: unique; the second write fills in what the first did not know (fields that are None keep theirs).
        settings: the leading system messages, stored once per owner and distinct text.
        end: the identity of the last turn that was sent, then of the reply when it came whole.
        usage: the provider's own usage fields, verbatim.
        error: the type of the error that ended the call.
    """

    id: str
    at: datetime
    state: State
    model: str | None = None
    host: str | None = None
    settings: tuple[Message, ...] = field(default=(), repr=False)
    end: bytes | None = None
    usage: Mapping[str, Any] | None = None
    response_id: str | None = None
    error: str | None = None

    @property
    def asked(self) -> bool:
        """Whether a provider was asked; only such rows count as calls."""
        return self.model is not None or self.host is not None


@dataclass(frozen=True, slots=True)
class QuotedRow:
    """What is kept of one turn that a request quoted.

    Attributes:
        seq: the turn.
        about: how well it fitted and what it cost, as JSON that a store need not understand; no words of it.
    """

    seq: int
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """The receipt of a provider call, without words.

    Attributes:
        turns: the turns that the call journaled before, each by its `seq`, in order.
        quoted: the turns that its request quoted, in the order in which they stood.
        account: the rest of the receipt, as JSON that a store need not understand.
    """

    turns: tuple[int, ...] = ()
    quoted: tuple[QuotedRow, ...] = ()
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One atomic change of one session.

    Attributes:
        ref: the session; created when it is not there.
        expect: the generation of the session against which the caller decided; when the session has moved
            on, nothing is written and the answer says so. None: write in any case.
        turns: appended in this order.
        states: new states by identity; turns that are not there are passed over.
        call: the provider call it belongs to.
        forgotten: places to keep as those of forgotten turns, each a parent and an identity: what comes there
            is not journaled. A store that cannot forget passes them over.
        receipt: the receipt of `call`, in place of the one that is there. The turns of this write count among
            its turns. When one of its turns is gone, there is no receipt of the call from then on; turns that
            it quotes and that are gone are left out. A store that keeps no receipts passes it over.
        redaction: the owner's redaction against which the caller decided; when something of the owner was
            forgotten since, in whatever session, nothing is written, as with `expect`. None: write in any
            case. A store that cannot forget passes it over.
    """

    ref: SessionRef
    expect: int | None = None
    turns: tuple[NewTurn, ...] = ()
    states: tuple[tuple[bytes, State], ...] = ()
    call: CallRow | None = None
    forgotten: tuple[tuple[bytes, bytes], ...] = ()
    receipt: NewReceipt | None = None
    redaction: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one `Write`.

    Attributes:
        ids: one turn id per turn of the write, whether it was new or there already; None when the session
            was not at the expected generation, or the owner not at the expected redaction, and nothing was
            written.
        generation: the session's generation now.
    """

    ids: tuple[str, ...] | None
    generation: int


@dataclass(frozen=True, slots=True)
class Node:
    """One turn without its words.

    Attributes:
        seq: its place in the journal's order; 0 for a forgotten turn.
        identity: the digest of its meaning and position.
        parent: the identity of the turn before it, `ROOT` for the first.
        meaning: the digest of its meaning alone; empty for a forgotten turn.
        role: the message's role; empty for a forgotten turn.
        state: what became of it; None for a forgotten turn.
        saying: 0, or which of several replies of one call it is.
    """

    seq: int
    identity: bytes
    parent: bytes
    meaning: bytes
    role: str
    state: State | None
    saying: int = 0

    @property
    def settled(self) -> bool:
        """Answered, or broken off with something to show."""
        return self.state in SETTLED

    @property
    def forgotten(self) -> bool:
        """Only the place is left, which keeps the words from being journaled there again."""
        return self.state is None


@dataclass(frozen=True, slots=True)
class NodesRequest:
    """Ask for a session's tree, or for what changed in it since a generation."""

    ref: SessionRef
    since: int = 0


@dataclass(frozen=True, slots=True)
class NodesReply:
    """A session's turns without words.

    Attributes:
        generation: raised by every write to the session; 0 when there is no such session.
        redaction: raised whenever something of the owner was forgotten, in whatever session; a cache that
            holds another value is void.
        nodes: turns and tombstones changed since the generation asked, in the journal's order.
    """

    generation: int
    redaction: int
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class FindRequest:
    """Ask which sessions of a user know one of these turns.

    Attributes:
        user: whose; None asks among the sessions without a user.
        identities: turns by meaning and position.
        meanings: turns by meaning alone.
        limit: how many sessions at most, the last written first.
    """

    user: str | None
    identities: tuple[bytes, ...] = ()
    meanings: tuple[bytes, ...] = ()
    limit: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsRequest:
    """Ask for turns in full, in the journal's order.

    Attributes:
        ref: of this session.
        owner: of this user, all sessions; ignored when `ref` is given.
        identities: only these turns of the session.
        seqs: only these turns.
        after: only turns with a greater `seq`.
        limit: at most so many.
    """

    ref: SessionRef | None = None
    owner: str | Literal[True] | None = True
    identities: tuple[bytes, ...] | None = None
    seqs: tuple[int, ...] | None = None
    after: int = 0
    limit: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsRequest:
    """Ask for sessions: of one user (None: those without a user), or of all (True)."""

    owner: str | Literal[True] | None = True


@runtime_checkable
class Store(Protocol):
    """Keeps the journal.

    Writes are durable when `write` returns. What changes the store is called by one thread of a Memory at a
    time, the rest by any. Every method raises `StoreUnavailableError` for trouble that may pass and another
    `StoreError` for trouble that will not.
    """

    @property
    def key(self) -> bytes:
        """32 random bytes made with the store, under which its digests are keyed."""
        ...

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all of it in one transaction; at most one write per session."""
        ...

    def nodes(self, request: NodesRequest) -> NodesReply:
        """A session's tree, or what changed in it."""
        ...

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """The sessions that know a turn."""
        ...

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Turns in full."""
        ...

    def sessions(self, request: SessionsRequest) -> Sequence[Session]:
        """Sessions, the oldest first."""
        ...

    def stats(self) -> Stats:
        """Counts."""
        ...

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        ...
