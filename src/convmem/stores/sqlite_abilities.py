"""What the SQLite store can do beyond the journal: views, epochs, pins, forgetting."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from convmem.abilities import Epoch, Forgotten, Pin, ViewRow, ViewsReply
from convmem.stores.rows import TURN_COLUMNS, TURN_TABLES, turn_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from convmem.abilities import (
        EpochRef,
        ForgetRequest,
        NewView,
        OwnerRef,
        UnindexedRequest,
        ViewsRequest,
    )
    from convmem.stores.connections import Connections
    from convmem.types import Turn

__all__ = ["SQLiteAbilities"]

_AT_ONCE = 500


class SQLiteAbilities:
    """The part of `SQLiteStore` that keeps what was derived from turns, and forgets."""

    _db: Connections

    def views(self, request: ViewsRequest) -> ViewsReply:
        """An owner's turns as recall sees them, or those that changed since a generation."""
        with self._db.reading() as db:
            row = _owner(db, request.owner)
            if row is None:
                return ViewsReply(0, 0, ())
            owner, generation, redaction = row
            if generation == request.since:
                return ViewsReply(generation, redaction, ())
            rows = db.execute(
                "SELECT t.seq, s.name, t.identity, t.parent, t.role, t.state, t.saying, v.entry,"
                " CASE WHEN v.fingerprint = ?1 THEN v.vector END FROM"
                f" ({_ALL if not request.since else _CHANGED}) c JOIN turns t ON t.seq = c.seq"
                " JOIN sessions s ON s.id = t.session LEFT JOIN views v ON v.turn = t.seq ORDER BY t.seq",
                (request.fingerprint, owner, request.since)
                if request.since
                else (request.fingerprint, owner),
            )
            return ViewsReply(generation, redaction, [ViewRow(*row) for row in rows])

    def put_views(self, batch: Sequence[NewView]) -> None:
        """Keep views; those of turns that are gone are passed over."""
        with self._db.writing() as db:
            generations: dict[int, int] = {}
            for view in batch:
                row = db.execute(
                    "SELECT s.owner FROM turns t JOIN sessions s ON s.id = t.session WHERE t.seq = ?",
                    (view.seq,),
                ).fetchone()
                if row is None:
                    continue
                (owner,) = row
                if owner not in generations:
                    generations[owner] = _raise_generation(db, owner)
                db.execute(
                    "INSERT INTO views VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (turn) DO UPDATE SET"
                    " entry = coalesce(excluded.entry, entry),"
                    " vector = CASE WHEN excluded.vector IS NULL THEN vector ELSE excluded.vector END,"
                    " fingerprint = CASE WHEN excluded.vector IS NULL THEN fingerprint"
                    " ELSE excluded.fingerprint END,"
                    " generation = excluded.generation",
                    (view.seq, owner, view.entry, view.fingerprint, view.vector, generations[owner]),
                )

    def unindexed(self, request: UnindexedRequest) -> Sequence[Turn]:
        """Turns that still need a view, in the journal's order."""
        lacking = "v.entry IS NULL" if request.fingerprint is None else "v.fingerprint IS NOT ?"
        values = () if request.fingerprint is None else (request.fingerprint,)
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {TURN_COLUMNS} FROM {TURN_TABLES} LEFT JOIN views v ON v.turn = t.seq"
                f" WHERE t.seq > ? AND {lacking} ORDER BY t.seq LIMIT ?",
                (request.after, *values, request.limit),
            ).fetchall()
            return [turn_of(db, row) for row in rows]

    # Epochs.

    def epoch(self, which: EpochRef) -> Epoch | None:
        """The running epoch."""
        with self._db.reading() as db:
            session = _session(db, which)
            row = db.execute(
                "SELECT start, summary FROM epochs WHERE session = ? AND host = ? AND model = ?",
                (session, which.host, which.model),
            ).fetchone()
        return Epoch(*row) if row is not None else None

    def put_epoch(self, which: EpochRef, epoch: Epoch | None) -> None:
        """A cut, or the end of an epoch; a session that is gone is passed over."""
        with self._db.writing() as db:
            session = _session(db, which)
            if session is None:
                return
            place = (session, which.host, which.model)
            db.execute("DELETE FROM epochs WHERE session = ? AND host = ? AND model = ?", place)
            if epoch is not None:
                db.execute("INSERT INTO epochs VALUES (?, ?, ?, ?, ?)", (*place, epoch.start, epoch.summary))

    # Pins.

    def pins(self, owner: OwnerRef) -> Sequence[Pin]:
        """An owner's pins, the oldest first."""
        with self._db.reading() as db:
            row = _owner(db, owner)
            rows = db.execute(
                "SELECT id, text, at FROM pins WHERE owner = ? ORDER BY id",
                (row[0] if row is not None else None,),
            ).fetchall()
        return [Pin(f"p{number}", text, datetime.fromisoformat(at)) for number, text, at in rows]

    def put_pin(self, owner: OwnerRef, text: str, at: datetime) -> Pin:
        """Pin a text; the same text again is the same pin."""
        with self._db.writing() as db:
            column, name = ("user", owner.user) if owner.user is not None else ("session", owner.session)
            db.execute(f"INSERT INTO owners ({column}) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            found = _owner(db, owner)
            number = found[0] if found is not None else 0
            _raise_generation(db, number)
            db.execute(
                "INSERT INTO pins (owner, text, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (number, text, at.isoformat()),
            )
            row = db.execute(
                "SELECT id, at FROM pins WHERE owner = ? AND text = ?", (number, text)
            ).fetchone()
        return Pin(f"p{row[0]}", text, datetime.fromisoformat(row[1]))

    # Forgetting.

    def forget(self, request: ForgetRequest) -> Forgotten:
        """Delete turns and everything derived from them, leaving tombstones.

        The rows of the session and the owner stay, empty: tombstones must be found again by their names.
        """
        with self._db.writing() as db:
            row = _owner(db, request.owner)
            if row is None:
                return Forgotten((), 0, 0)
            owner = row[0]
            generation = _raise_generation(db, owner)
            db.execute("UPDATE owners SET redaction = redaction + 1 WHERE id = ?", (owner,))
            seqs, sessions = _chosen(db, owner, request)
            for part in _parts(seqs):
                _bury(db, part, generation)
            for session in sessions:
                db.execute("UPDATE sessions SET generation = ? WHERE id = ?", (generation, session))
                db.execute("DELETE FROM epochs WHERE session = ?", (session,))
                if request.seqs is None:
                    db.execute("DELETE FROM calls WHERE session = ?", (session,))
            pins = _drop_pins(db, owner, request)
            _sweep(db, owner)
        return Forgotten(tuple(seqs), pins, self._db.truncate_log())

    def residue(self, owner: OwnerRef, seqs: Sequence[int]) -> int:  # noqa: ARG002 (seqs are never used twice)
        """How many of these turns, or copies in the write-ahead log, are left."""
        left = 0
        with self._db.reading() as db:
            for part in _parts(seqs):
                marks = ",".join("?" * len(part))
                for table, column in (("turns", "seq"), ("views", "turn")):
                    sought = f"SELECT count(*) FROM {table} WHERE {column} IN ({marks})"
                    left += db.execute(sought, part).fetchone()[0]
        return left + self._db.truncate_log()


_ALL = "SELECT t.seq FROM sessions s JOIN turns t ON t.session = s.id WHERE s.owner = ?2"
_CHANGED = (
    "SELECT t.seq FROM sessions s JOIN turns t ON t.session = s.id AND t.generation > ?3"
    " WHERE s.owner = ?2 AND s.generation > ?3"
    " UNION SELECT turn AS seq FROM views WHERE owner = ?2 AND generation > ?3"
)


def _owner(db: sqlite3.Connection, owner: OwnerRef) -> tuple[int, int, int] | None:
    """The owner's row, generation and redaction."""
    column, name = ("user", owner.user) if owner.user is not None else ("session", owner.session)
    row: tuple[int, int, int] | None = db.execute(
        f"SELECT id, generation, redaction FROM owners WHERE {column} = ?", (name,)
    ).fetchone()
    return row


def _session(db: sqlite3.Connection, which: EpochRef) -> int | None:
    user, name = which.ref.user, which.ref.session
    column, owned_by = ("user", user) if user is not None else ("session", name)
    row = db.execute(
        f"SELECT s.id FROM sessions s JOIN owners o ON o.id = s.owner WHERE o.{column} = ? AND s.name = ?",
        (owned_by, name),
    ).fetchone()
    return None if row is None else int(row[0])


def _raise_generation(db: sqlite3.Connection, owner: int) -> int:
    raised = "UPDATE owners SET generation = generation + 1 WHERE id = ? RETURNING generation"
    return int(db.execute(raised, (owner,)).fetchone()[0])


def _chosen(db: sqlite3.Connection, owner: int, request: ForgetRequest) -> tuple[list[int], list[int]]:
    """The turns to forget, and the sessions they, or the request, name."""
    where, values = "s.owner = ?", [owner]
    rows: list[tuple[Any, ...]] = []
    named = "SELECT s.id FROM sessions s WHERE s.owner = ? AND (?2 IS NULL OR s.name = ?2)"
    sessions = [row[0] for row in db.execute(named, (owner, request.session))]
    sought = f"SELECT t.seq, t.session FROM turns t JOIN sessions s ON s.id = t.session WHERE {where}"
    if request.seqs is None:
        marks = ",".join("?" * len(sessions))
        rows = db.execute(f"{sought} AND s.id IN ({marks}) ORDER BY t.seq", (*values, *sessions)).fetchall()
        return [seq for seq, _ in rows], sessions
    for part in _parts(request.seqs):
        marks = ",".join("?" * len(part))
        rows += db.execute(f"{sought} AND t.seq IN ({marks}) ORDER BY t.seq", (*values, *part)).fetchall()
    kept = [(seq, session) for seq, session in rows if session in sessions]
    return [seq for seq, _ in kept], sorted({session for _, session in kept})


def _parts(seqs: Iterable[int]) -> list[list[int]]:
    everything = list(seqs)
    return [everything[i : i + _AT_ONCE] for i in range(0, len(everything), _AT_ONCE)]


def _bury(db: sqlite3.Connection, seqs: Sequence[int], generation: int) -> None:
    marks = ",".join("?" * len(seqs))
    db.execute(
        "INSERT INTO tombstones (session, identity, saying, parent, generation)"
        f" SELECT session, identity, saying, parent, ? FROM turns WHERE seq IN ({marks})"
        " ON CONFLICT DO NOTHING",
        (generation, *seqs),
    )
    db.execute(f"DELETE FROM turns WHERE seq IN ({marks})", seqs)


def _drop_pins(db: sqlite3.Connection, owner: int, request: ForgetRequest) -> int:
    if request.pins is None:
        return db.execute("DELETE FROM pins WHERE owner = ?", (owner,)).rowcount
    numbers = [int(pin[1:]) for pin in request.pins]
    return sum(
        db.execute("DELETE FROM pins WHERE owner = ? AND id = ?", (owner, number)).rowcount
        for number in numbers
    )


def _sweep(db: sqlite3.Connection, owner: int) -> None:
    """Remove media and settings of the owner that nothing refers to any more."""
    used: set[str] = set()
    rows = db.execute(
        "SELECT t.media FROM turns t JOIN sessions s ON s.id = t.session"
        " WHERE s.owner = ? AND t.media NOT NULL",
        (owner,),
    )
    for (media,) in rows:
        used |= {digest for _, digest in json.loads(media)}
    for (digest,) in db.execute("SELECT digest FROM media WHERE owner = ?", (owner,)).fetchall():
        if digest.hex() not in used:
            db.execute("DELETE FROM media WHERE owner = ? AND digest = ?", (owner, digest))
    db.execute(
        "DELETE FROM settings WHERE owner = ?"
        " AND id NOT IN (SELECT settings FROM calls WHERE settings NOT NULL)",
        (owner,),
    )
