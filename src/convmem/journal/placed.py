"""A call before it is journaled, and its place in the journal after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from convmem.journal.align import Alignment
    from convmem.journal.digests import Seen
    from convmem.protocols import Node, SessionRef
    from convmem.types import Mode
    from convmem.wire.values import ChatRequest

__all__ = ["Call", "Placement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before anything is done.

    Attributes:
        id: unique.
        at: when it was made.
        user: the owner of the memory, or None.
        session: the session named by the caller, or None.
        fresh_session: the name of the session when the call begins a new one.
        mode: what memory may do.
        host: where it goes.
        request: what it asks.
        fresh_conversation: the conversation that the provider keeps for it is known to begin with it.
    """

    id: str
    at: datetime
    user: str | None
    session: str | None
    fresh_session: str
    mode: Mode
    host: str | None
    request: ChatRequest
    fresh_conversation: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a call stands in the journal.

    Attributes:
        ref: its session.
        alignment: the place of its turns.
        ids: the ids of the turns it added.
        before: the turns that lead to its first one, oldest first: the history it did not send.
        own: its own turns.
        seqs: of those of its own turns that are journaled, by identity.
        known: False when the provider keeps a history that the journal does not know.
        redaction: the owner's, before anything of the conversation was read.
        sealed: nobody named the user or the session, and the journal has words of these turns that the caller
            did not send: nothing may be added to the call.
    """

    ref: SessionRef
    alignment: Alignment
    ids: tuple[str, ...]
    before: tuple[Node, ...]
    own: tuple[Seen, ...]
    seqs: Mapping[bytes, int]
    known: bool = True
    redaction: int = 0
    sealed: bool = False
