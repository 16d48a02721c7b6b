"""The protocol that a store implements, and the frozen requests and replies that cross it.

A store keeps the journal. It is told what to write and what to look up; convmem decides where a turn belongs,
so that every store behaves alike. `convmem.testing.StoreConformance` checks an implementation.
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
    """A turn to append; one with the same session, parent, identity and saying is appended only once.

    Attributes:
        identity: the digest of the turn's meaning and position.
        parent: the identity of the turn before it, `ROOT` for the first.
        meaning: the digest of the message's meaning alone.
        payload: the message, verbatim.
        state: what became of the turn.
        at: when the message was said.
        saying: 0, or which of several replies of one call it is.
    """

    identity: bytes
    parent: bytes
    meaning: bytes
    payload: Message = field(repr=False)
    state: State
    at: datetime
    saying: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """What is kept of one provider call; written under one id before the call, and again after the reply.

    A row without a model and a host is no call: it keeps the settings of a conversation that was recorded.

    Attributes:
        id: the call's unique id. The second write replaces fields that are not None, and leaves the others.
        at: when the call was made.
        state: what became of the call.
        model: the model asked.
        host: the provider's host.
        settings: the leading system messages, stored once per owner and distinct text.
        end: the identity of the last turn that was sent, then of the reply when it came whole.
        usage: the provider's own usage fields, verbatim.
        response_id: the provider's id of the reply.
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
        seq: the turn's place in the journal's order.
        about: the turn's score and tokens, as JSON that a store need not understand; no words of the turn.
    """

    seq: int
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """The receipt of a provider call, without words of the conversation.

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
        expect: the session's generation that the caller knew when it decided; when the session has another
            one, nothing is written and the answer says so. None writes in any case.
        turns: the turns to append, in this order.
        states: new states of turns by identity; turns that are not there are passed over.
        call: the provider call that the write belongs to.
        forgotten: places to keep as those of forgotten turns, each a parent and an identity: a turn that
            comes there again is not journaled. A store that cannot forget ignores them.
        receipt: the receipt of `call`, in place of the one that is there. The turns of this write count among
            its turns. When one of its turns is gone, there is no receipt of the call from then on; turns that
            it quotes and that are gone are left out. A store that keeps no receipts ignores it.
        redaction: the owner's redaction that the caller knew when it decided; when something of the owner was
            forgotten since, in whatever session, nothing is written, as with `expect`. None writes in any
            case. A store that cannot forget ignores it.
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
        ids: one turn id per turn of the write, whether the turn was new or there already; None when nothing
            was written, because the session's generation or the owner's redaction was not the expected one.
        generation: the session's generation now.
    """

    ids: tuple[str, ...] | None
    generation: int


@dataclass(frozen=True, slots=True)
class Node:
    """One turn without its words.

    Attributes:
        seq: the turn's place in the journal's order; 0 for a forgotten turn.
        identity: the digest of the turn's meaning and position.
        parent: the identity of the turn before it, `ROOT` for the first.
        meaning: the digest of the message's meaning alone; empty for a forgotten turn.
        role: the message's role; empty for a forgotten turn.
        state: what became of the turn; None for a forgotten turn.
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
        """Whether the turn was answered, or its reply broken off after some of it came."""
        return self.state in SETTLED

    @property
    def forgotten(self) -> bool:
        """Whether only the turn's place is left, which keeps its words from being journaled there again."""
        return self.state is None


@dataclass(frozen=True, slots=True)
class NodesRequest:
    """Ask for a session's tree, or for what changed in it since a generation.

    Attributes:
        ref: the session.
        since: the session's generation that the asker knows; 0 asks for the whole tree.
    """

    ref: SessionRef
    since: int = 0


@dataclass(frozen=True, slots=True)
class NodesReply:
    """A session's turns without words.

    Attributes:
        generation: the session's generation, which every write to it raises; 0 when there is no such session.
        redaction: the owner's redaction, which rises whenever something of the owner was forgotten, in
            whatever session; a cache that holds another value is void.
        nodes: turns and tombstones changed since the generation asked, in the journal's order.
    """

    generation: int
    redaction: int
    nodes: Sequence[Node]


@dataclass(frozen=True, slots=True)
class FindRequest:
    """Ask which sessions of a user know one of these turns.

    Attributes:
        user: the user; None asks among the sessions without a user.
        identities: digests of the turns' meanings and positions.
        meanings: digests of the messages' meanings alone.
        limit: the most sessions, the last written first.
    """

    user: str | None
    identities: tuple[bytes, ...] = ()
    meanings: tuple[bytes, ...] = ()
    limit: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsRequest:
    """Ask for turns in full, in the journal's order.

    Attributes:
        ref: only turns of this session.
        owner: only turns of this user, in all sessions; None for those without a user, True for all users.
            Ignored when `ref` is given.
        identities: only turns with these identities.
        seqs: only turns with these `seq`.
        after: only turns with a greater `seq`.
        limit: the most turns.
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

    Writes are durable when `write` returns. Methods that change the store are called by one thread of a
    Memory at a time, the others by any number. Every method raises `StoreUnavailableError` for trouble that
    may pass and another `StoreError` for trouble that will not.
    """

    @property
    def key(self) -> bytes:
        """32 random bytes made with the store, under which its digests are keyed."""
        ...

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all writes in one transaction; there is at most one per session."""
        ...

    def nodes(self, request: NodesRequest) -> NodesReply:
        """Return a session's tree, or what changed in it."""
        ...

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """Return the sessions that know one of these turns, the last written first."""
        ...

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Return turns in full, in the journal's order."""
        ...

    def sessions(self, request: SessionsRequest) -> Sequence[Session]:
        """Return sessions, the oldest first."""
        ...

    def stats(self) -> Stats:
        """Count users, sessions, turns and calls."""
        ...

    def close(self) -> None:
        """Close files and connections; closing twice is fine."""
        ...
