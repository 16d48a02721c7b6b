"""Keeps system texts in SQLite: each distinct one once per owner, and similar ones as differences.

A difference is a blob in the place of the text: JSON, `[content of the whole text, piece, …]`. It refers to
a whole text of the same owner and never to another difference, so that each text is one step away, and
nothing of one owner's needs another's. Before forgetting blots a whole text, it writes anew what needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from convmem.stores.differences import difference, put_together
from convmem.stores.sqlite.contents import blot, keep
from convmem.stores.sqlite.media import digest_of
from convmem.wire.message import dumps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from convmem.stores.differences import Piece
    from convmem.types import Message

__all__ = ["drop_without_base", "keep_settings", "settings_of", "sweep_settings"]

_LATEST = 8
"""Latest calls of the session whose texts are candidates for a base: an app may have several agents in one
session, each with a text of its own."""
_MOST_BASES = 3
"""Whole texts that a new one is compared with. Each comparison takes up to tens of milliseconds on the
writer's thread; with one base, several agents would get no difference."""
_SHARE = 2
"""How many times shorter than its text a difference must be to be kept instead: one that saves less is not
worth the second row that reading it needs."""


def keep_settings(db: sqlite3.Connection, owner: int, session: int, messages: tuple[Message, ...]) -> int:
    """Return the row of these settings, appending it when the owner has none."""
    payload = dumps(messages)
    digest = digest_of(payload.encode())
    row = db.execute("SELECT id FROM settings WHERE owner = ? AND digest = ?", (owner, digest)).fetchone()
    if row is None:
        body = _shortest(_bases(db, owner, session), payload)
        row = db.execute(
            "INSERT INTO settings (owner, digest, payload) VALUES (?, ?, ?) RETURNING id",
            (owner, digest, keep(db, body)),
        ).fetchone()
    return int(row[0])


def settings_of(db: sqlite3.Connection, row: int) -> list[Message]:
    """Return the messages of a row, as they were given.

    Raises:
        LookupError: the row is not there, or the whole text that it refers to.
    """
    found = db.execute("SELECT payload FROM settings WHERE id = ?", (row,)).fetchone()
    if found is None:
        raise LookupError(f"there are no settings {row}")
    return cast("list[Message]", json.loads(_text(db, _body(db, found[0]))))


def sweep_settings(db: sqlite3.Connection, owner: int) -> None:
    """Forget the system texts that no call of the owner's was sent with."""
    used = {row[0] for row in db.execute("SELECT settings FROM calls WHERE owner = ?", (owner,))}
    rows = db.execute("SELECT id, payload FROM settings WHERE owner = ? ORDER BY id", (owner,)).fetchall()
    gone = {payload for id_, payload in rows if id_ not in used}
    if gone:
        _write_anew(db, [(id_, payload) for id_, payload in rows if id_ in used], gone)
    blot(db, gone)
    db.executemany("DELETE FROM settings WHERE id = ?", [(id_,) for id_, _ in rows if id_ not in used])


def drop_without_base(db: sqlite3.Connection) -> None:
    """Drop the differences whose whole text was lost with a damaged page."""
    rows = db.execute(
        "SELECT s.id, c.id, c.body FROM settings s JOIN contents c ON c.id = s.payload"
    ).fetchall()
    whole = {content for _, content, body in rows if isinstance(body, str)}
    lost = [(id_,) for id_, _, body in rows if isinstance(body, bytes) and _read_base(body) not in whole]
    db.executemany("DELETE FROM settings WHERE id = ?", lost)


def _read_base(body: bytes) -> int | None:
    """Return the content that a difference refers to; None for a damaged text, which is read as bytes too."""
    try:
        return _base_of(body)
    except (ValueError, TypeError, LookupError):
        return None


def _write_anew(db: sqlite3.Connection, kept: list[tuple[int, int]], gone: set[int]) -> None:
    """Write anew the kept texts that refer to a text that goes: the first whole, the others against it."""
    bases: dict[int, str] = {}
    for id_, payload in kept:
        body = _body(db, payload)
        if isinstance(body, str) or _base_of(body) not in gone:
            continue
        written = _shortest(bases, _text(db, body))
        blot(db, [payload])
        content = keep(db, written)
        db.execute("UPDATE settings SET payload = ? WHERE id = ?", (content, id_))
        if isinstance(written, str):
            bases[content] = written


def _bases(db: sqlite3.Connection, owner: int, session: int) -> dict[int, str]:
    """Return the whole texts that the owner sent lately, by the ids of their contents."""
    found: dict[int, str] = {}
    for payload in _latest(db, owner, session):
        body = _body(db, payload)
        content = payload if isinstance(body, str) else _base_of(body)
        if content not in found:
            found[content] = str(_body(db, content))
        if len(found) == _MOST_BASES:
            break
    return found


def _latest(db: sqlite3.Connection, owner: int, session: int) -> Iterator[int]:
    """Yield the contents of the settings that the session, or else the owner, used last; each once."""
    rows = db.execute(
        "SELECT s.payload FROM calls c JOIN settings s ON s.id = c.settings"
        " WHERE c.owner = ? AND c.session = ? ORDER BY c.at DESC LIMIT ?",
        (owner, session, _LATEST),
    ).fetchall()
    if not rows:
        rows = db.execute(
            "SELECT payload FROM settings WHERE owner = ? ORDER BY id DESC LIMIT ?", (owner, _LATEST)
        ).fetchall()
    yield from dict.fromkeys(int(payload) for (payload,) in rows)


def _shortest(bases: dict[int, str], text: str) -> str | bytes:
    """Return the shortest difference from one of the bases, or the text itself where none is much shorter."""
    made = [_packed(content, difference(base, text)) for content, base in bases.items()]
    best = min(made, key=len, default=None)
    return best if best is not None and len(best) * _SHARE < len(text.encode()) else text


def _packed(base: int, pieces: Iterable[Piece]) -> bytes:
    return dumps([base, *pieces]).encode()


def _base_of(body: bytes) -> int:
    return int(json.loads(body)[0])


def _text(db: sqlite3.Connection, body: str | bytes) -> str:
    """Return the text of a body, which is the text itself or a difference."""
    if isinstance(body, str):
        return body
    base, *pieces = json.loads(body)
    return put_together(str(_body(db, base)), pieces)


def _body(db: sqlite3.Connection, content: int) -> str | bytes:
    row = db.execute("SELECT body FROM contents WHERE id = ?", (content,)).fetchone()
    if row is None:
        raise LookupError(f"there is no content {content}")
    return cast("str | bytes", row[0])
