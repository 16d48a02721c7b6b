"""Reads all that one call needs in one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import CallReadsReply, OwnerRef
from convmem.stores.sqlite.abilities import epoch_of, owner_row, pins_of, views_of
from convmem.stores.sqlite.names import IS_SESSION, session_values
from convmem.stores.sqlite.rows import TURN_COLUMNS, TURN_TABLES, turn_of
from convmem.wire.message import weight_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from convmem.abilities import CallReadsRequest, ViewsReply
    from convmem.protocols import SessionRef
    from convmem.stores.sqlite.connections import Connections
    from convmem.types import Turn

__all__ = ["SQLiteCallReads"]

_AT_A_TIME = 100
"""Turns per query. With more, turns are read in vain when the newest ones fill the characters asked for; with
fewer, a long window takes more queries."""


class SQLiteCallReads:
    """The part of `SQLiteStore` that reads for calls."""

    _db: Connections

    def call_reads(self, request: CallReadsRequest) -> CallReadsReply:
        """Return epoch, turns of its window, pins and changed views, all of one state of the store."""
        ref = request.which.ref
        with self._db.reading() as db:
            owner = owner_row(db, OwnerRef.of(ref))
            if owner is None:
                return CallReadsReply(views=_views(db, request))
            epoch = epoch_of(db, request.which)
            wanted = request.wanted(epoch)
            turns, looked_for = _newest(db, ref, wanted, request.characters)
            return CallReadsReply(
                epoch=epoch,
                turns=turns,
                unread=len(wanted) - looked_for,
                pins=pins_of(db, owner[0]),
                views=_views(db, request),
            )


def _views(db: sqlite3.Connection, request: CallReadsRequest) -> ViewsReply | None:
    """Read the views that changed; None when the request does not ask for them, or too many did."""
    if request.views is None:
        return None
    reply = views_of(db, replace(request.views, limit=request.most_views + 1))
    return reply if len(reply.rows) <= request.most_views else None


def _newest(
    db: sqlite3.Connection, ref: SessionRef, wanted: Sequence[bytes], characters: int
) -> tuple[list[Turn], int]:
    """Read a session's turns from the newest backwards until `characters` are full.

    Returns:
        The turns, oldest first, and how many of those wanted were looked for.
    """
    found: list[Turn] = []
    left = characters
    for end in range(len(wanted), 0, -_AT_A_TIME):
        part = wanted[max(0, end - _AT_A_TIME) : end]
        there = _turns(db, ref, part)
        for n, identity in enumerate(reversed(part), 1):
            if (turn := there.get(identity)) is None:
                continue
            left -= weight_of(turn.payload)
            if left < 0 and found:
                return found[::-1], len(wanted) - end + n - 1
            found.append(turn)
    return found[::-1], len(wanted)


def _turns(db: sqlite3.Connection, ref: SessionRef, identities: Sequence[bytes]) -> dict[bytes, Turn]:
    """Read turns of a session, by identity; of several sayings the first is kept, hence the order."""
    rows = db.execute(
        f"SELECT {TURN_COLUMNS} FROM {TURN_TABLES} WHERE {IS_SESSION}"
        f" AND t.identity IN ({','.join('?' * len(identities))}) ORDER BY +t.seq DESC",
        (*session_values(ref), *identities),
    )
    return {bytes.fromhex(turn.branch): turn for turn in (turn_of(db, row) for row in rows)}
