"""Makes turns of the rows of a SQLite query."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from convmem.stores.sqlite.media import put_back
from convmem.stores.sqlite.names import SESSION_NAME, USER_NAME
from convmem.threads.pace import give_way
from convmem.types import Turn
from convmem.wire.message import text_of

if TYPE_CHECKING:
    import sqlite3

    from convmem.types import Message

__all__ = ["TURN_COLUMNS", "TURN_TABLES", "turn_of"]

TURN_COLUMNS = (
    f"t.seq, {SESSION_NAME}, {USER_NAME}, t.role, (SELECT body FROM contents WHERE id = t.payload), t.media,"
    " t.state, t.at, t.saying, t.identity, (SELECT min(+p.seq) FROM turns p"
    " WHERE p.owner = t.owner AND p.identity = t.parent AND p.session = t.session), o.id"
)
"""What a query selects for `turn_of`. The plus in `min(+p.seq)` keeps SQLite from walking through the owner's
turns in order until it meets the parent."""
TURN_TABLES = "turns t JOIN sessions s ON s.id = t.session JOIN owners o ON o.id = t.owner"


def turn_of(db: sqlite3.Connection, row: tuple[Any, ...]) -> Turn:
    """Make a turn of a row of `TURN_COLUMNS`, with its media put back."""
    give_way()
    seq, session, user, role, payload, media, state, at, saying, identity, parent, owner = row
    message: Message = json.loads(payload)
    if media is not None:
        for path, digest in json.loads(media):
            content = db.execute(
                "SELECT c.body FROM media m JOIN contents c ON c.id = m.content"
                " WHERE m.owner = ? AND m.digest = ?",
                (owner, bytes.fromhex(digest)),
            ).fetchone()
            put_back(message, path, content[0])
    return Turn(
        id=f"t{seq}",
        seq=seq,
        session=session,
        user=user,
        parent=None if parent is None else f"t{parent}",
        role=role,
        text=text_of(message),
        payload=message,
        state=state,
        at=datetime.fromisoformat(at),
        choice=saying,
        branch=identity.hex(),
    )
