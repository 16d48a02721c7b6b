"""Defines a call before it is journaled (`Call`), and its place in the journal afterwards (`Placement`).

`call.opening` makes the call, `journal.begin` turns it into a placement, and `context` composes from both.
"""

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
    """A wrapped call before anything is done for it.

    Attributes:
        id: the call's id, unique (a UUID as 32 hex digits).
        at: when the call was made, as an aware datetime.
        user: the owner of the memory; None for nobody's.
        session: the session that the caller named; None where it has to be found.
        fresh_session: the name of the session, in case the call begins a new one.
        mode: what memory may do: on, read, write or off.
        host: the provider's host; None where it is not known.
        request: the body as it was parsed.
        fresh_conversation: the conversation that the provider keeps is known to begin with this call.
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
    """The place of a call in the journal.

    Attributes:
        ref: the call's session.
        alignment: the place of the call's turns in that session.
        ids: the ids of the turns that the call added.
        before: the turns that lead to the call's first one, oldest first: the history that was not sent.
        own: the turns that were sent with the call.
        seqs: the sequence numbers of those of the sent turns that are journaled, by identity.
        known: False when the provider keeps a history that the journal does not know.
        redaction: the owner's number of forgettings, before anything of the conversation was read.
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
