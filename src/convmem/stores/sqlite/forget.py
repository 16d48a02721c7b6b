"""Forgets in SQLite: deletes rows, overwrites their contents in place, and leaves tombstones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.stores.sqlite.contents import blot
from convmem.stores.sqlite.names import drop_names
from convmem.stores.sqlite.receipts import drop_receipts
from convmem.stores.sqlite.settings import sweep_settings
from convmem.stores.sqlite.sums import add_up

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from convmem.abilities import ForgetRequest

__all__ = ["Gone", "forget", "parts"]

_AT_ONCE = 500
"""Turns that one statement names: SQLite takes 32,766 parameters, but more than these make it no faster."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What one request deleted: turns by `seq`, and the number of pins."""

    seqs: tuple[int, ...] = ()
    pins: int = 0


def forget(db: sqlite3.Connection, owner: int, request: ForgetRequest) -> Gone:
    """Carry out a request inside the transaction that the caller began."""
    named = "SELECT id FROM sessions WHERE owner = ?1 AND (?2 IS NULL OR digest = name_digest('session', ?2))"
    sessions = [int(row[0]) for row in db.execute(named, (owner, request.session))]
    alone = request.owner.user is None  # an owner that is a session without a user
    all_sessions = request.session is None or (alone and request.session == request.owner.session)
    whole = request.seqs is None and (bool(sessions) or all_sessions)
    rows = list(_chosen(db, owner, sessions, request.seqs))
    pins = _pins(db, owner, request.pins, everything=whole and all_sessions)
    if not (whole or rows or pins):
        return Gone()
    (generation,) = db.execute(
        "UPDATE owners SET generation = generation + 1, redaction = redaction + 1 WHERE id = ?"
        " RETURNING generation",
        (owner,),
    ).fetchone()
    seqs = tuple(sorted(seq for seq, _ in rows))
    # In this order: turns are buried while their rows still name contents and media, and media and settings
    # are swept last, when it is known which other turns and calls still use them.
    media: set[bytes] = set()
    for part in parts(seqs):
        media |= _bury(db, owner, part, generation)
    for session in sessions if whole else sorted({session for _, session in rows}):
        db.execute("UPDATE sessions SET generation = ? WHERE id = ?", (generation, session))
        _drop_derived(db, owner, session)
        if whole:
            add_up(db, owner, session)
            db.execute("DELETE FROM calls WHERE owner = ? AND session = ?", (owner, session))
            _drop_nodes(db, "owner = ? AND session = ?", owner, session)
    if pins:  # the pins' texts stand in the summaries of all sessions
        for (session,) in db.execute("SELECT id FROM sessions WHERE owner = ?", (owner,)).fetchall():
            _drop_derived(db, owner, session)
    blot(db, [text for _, text in pins])
    db.executemany("DELETE FROM pins WHERE id = ?", [(pin,) for pin, _ in pins])
    _sweep_media(db, owner, media)
    sweep_settings(db, owner)
    kept = db.execute("SELECT 1 FROM pins WHERE owner = ?", (owner,)).fetchone() is not None
    if whole and not (alone and kept):  # without a user, the session's name is the owner's
        drop_names(db, owner, sessions, owner_too=all_sessions and not kept)
    return Gone(seqs, len(pins))


def parts(seqs: Iterable[int]) -> Iterator[list[int]]:
    """Split ids into lists that one statement can name."""
    everything = list(seqs)
    for start in range(0, len(everything), _AT_ONCE):
        yield everything[start : start + _AT_ONCE]


def _chosen(
    db: sqlite3.Connection, owner: int, sessions: list[int], seqs: tuple[int, ...] | None
) -> Iterator[tuple[int, int]]:
    """Yield the turns to forget, each with its session."""
    if seqs is None:
        for session in sessions:
            named = "SELECT seq, session FROM turns WHERE owner = ? AND session = ?"
            yield from db.execute(named, (owner, session))
        return
    allowed = set(sessions)
    for part in parts(set(seqs)):
        named = f"SELECT seq, session FROM turns WHERE owner = ? AND seq IN ({_marks(part)})"
        for seq, session in db.execute(named, (owner, *part)):
            if session in allowed:
                yield seq, session


def _pins(
    db: sqlite3.Connection, owner: int, ids: tuple[str, ...] | None, *, everything: bool
) -> list[tuple[int, int]]:
    """Return the pins to delete, each with the content that holds its text."""
    if ids is None and not everything:
        return []
    rows = db.execute("SELECT id, text FROM pins WHERE owner = ?", (owner,)).fetchall()
    return [(pin, text) for pin, text in rows if ids is None or f"p{pin}" in ids]


def _bury(db: sqlite3.Connection, owner: int, seqs: list[int], generation: int) -> set[bytes]:
    """Put tombstones in the places of turns, and delete those; returns the digests of their media."""
    place = (owner, *seqs)
    turns, derived = (f"owner = ? AND {column} IN ({_marks(seqs)})" for column in ("seq", "turn"))
    for content, table in (("entry", "views"), ("vector", "vectors"), ("value", "facts")):
        blot(db, _column(db, f"SELECT {content} FROM {table} WHERE {derived}", *place))
    _drop_nodes(db, f"owner = ? AND id IN (SELECT node FROM node_turns WHERE {derived})", owner, *place)
    blot(db, _column(db, f"SELECT payload FROM turns WHERE {turns}", *place))
    media = _digests(db, f"SELECT media FROM turns WHERE {turns} AND media IS NOT NULL", *place)
    db.execute(
        "INSERT OR REPLACE INTO tombstones (owner, session, parent, identity, saying, meaning, generation)"
        f" SELECT owner, session, parent, identity, saying, meaning, ? FROM turns WHERE {turns}",
        (generation, *place),
    )
    drop_receipts(db, owner, seqs)
    db.execute(f"DELETE FROM turns WHERE {turns}", place)  # rows that name them go too, by foreign keys
    return media


def _drop_nodes(db: sqlite3.Connection, where: str, *values: object) -> None:
    """Forget the summaries (`nodes`) that a condition chooses."""
    blot(db, _column(db, f"SELECT text FROM nodes WHERE {where}", *values))
    db.execute(f"DELETE FROM nodes WHERE {where}", values)


def _drop_derived(db: sqlite3.Connection, owner: int, session: int) -> None:
    """Forget the texts that describe a whole session: the summaries of its epochs, and its title."""
    blot(db, _column(db, "SELECT summary FROM epochs WHERE owner = ? AND session = ?", owner, session))
    db.execute("DELETE FROM epochs WHERE owner = ? AND session = ?", (owner, session))
    blot(db, _column(db, "SELECT title FROM sessions WHERE id = ?", session))
    db.execute("UPDATE sessions SET title = NULL WHERE id = ? AND title IS NOT NULL", (session,))


def _sweep_media(db: sqlite3.Connection, owner: int, candidates: set[bytes]) -> None:
    """Forget the media among the candidates that no turn of the owner has any more."""
    if candidates:
        candidates -= _digests(
            db,
            "SELECT media FROM turns WHERE owner = ? AND media IS NOT NULL",
            owner,
        )
    for digest in candidates:
        place = (owner, digest)
        blot(db, _column(db, "SELECT content FROM media WHERE owner = ? AND digest = ?", *place))
        db.execute("DELETE FROM media WHERE owner = ? AND digest = ?", place)


def _marks(values: list[int]) -> str:
    return ",".join("?" * len(values))


def _digests(db: sqlite3.Connection, sql: str, *values: object) -> set[bytes]:
    return {
        bytes.fromhex(digest) for media in _column(db, sql, *values) for _, digest in json.loads(str(media))
    }


def _column(db: sqlite3.Connection, sql: str, *values: object) -> list[int | None]:
    return [row[0] for row in db.execute(sql, values)]
