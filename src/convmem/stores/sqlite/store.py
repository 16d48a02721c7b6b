"""The journal in one SQLite file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from convmem.abilities import OwnerRef
from convmem.protocols import Node, NodesReply, SessionRef, Written
from convmem.stores.sqlite.abilities import SQLiteAbilities, owner_row
from convmem.stores.sqlite.call_reads import SQLiteCallReads
from convmem.stores.sqlite.connections import Connections
from convmem.stores.sqlite.contents import keep
from convmem.stores.sqlite.media import take_out
from convmem.stores.sqlite.opening import Opening, damaged
from convmem.stores.sqlite.receipts import put_receipt
from convmem.stores.sqlite.rows import TURN_COLUMNS, TURN_TABLES, turn_of
from convmem.stores.sqlite.settings import keep_settings
from convmem.types import Session, Stats
from convmem.wire.message import dumps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from convmem.protocols import (
        CallRow,
        FindRequest,
        NewTurn,
        NodesRequest,
        SessionsRequest,
        TurnsRequest,
        Write,
    )
    from convmem.types import Turn

__all__ = ["SQLiteStore"]


class SQLiteStore(SQLiteAbilities, SQLiteCallReads):
    """A journal in a SQLite file, shared by any number of threads and processes.

    Args:
        path: the file, made when it is missing (its folder is not), or `":memory:"`. A leading `~` is the
            user's home.
        durability: `"normal"` survives the death of the process, `"full"` also the loss of power; in
            SQLite's words, WAL with `synchronous` NORMAL or FULL.
        busy_ms: how long a write waits for another process before it raises `StoreLockedError`.
        open_ms: how long opening waits for one.

    Raises:
        StoreError: the file is missing its folder, is no convmem database, was written by a newer
            convmem, cannot be written, is locked or damaged. It is left as it was.
    """

    def __init__(
        self, path: str | Path, *, durability: str = "normal", busy_ms: int = 250, open_ms: int = 5000
    ) -> None:
        name = os.fspath(path)
        # Absolute, because the file is opened again after a fork, and daemons change their folder.
        self._path = name if name == ":memory:" else os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111 (keeps links as given; no error for a user that is not there)
        self._db = Connections(
            Opening(path=self._path, durability=durability, busy_ms=busy_ms, open_ms=open_ms)
        )

    @property
    def key(self) -> bytes:
        """32 random bytes made with the file."""
        return self._db.key

    def __repr__(self) -> str:
        return f"SQLiteStore({self._path!r})"

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._db.close()

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all of it in one transaction."""
        with self._db.writing() as db:
            return [_write(db, write) for write in batch]

    def nodes(self, request: NodesRequest) -> NodesReply:
        """A session's tree, or what changed in it."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT s.id, s.generation, o.redaction FROM sessions s JOIN owners o ON o.id = s.owner"
                f" WHERE {_is(request.ref)}",
                _ref(request.ref),
            ).fetchone()
            if row is None:
                owner = owner_row(db, OwnerRef.of(request.ref))
                return NodesReply(0, owner[2] if owner is not None else 0, ())
            session, generation, redaction = row
            if generation == request.since:
                return NodesReply(generation, redaction, ())
            rows = db.execute(
                "SELECT 0 AS seq, identity, parent, X'', '', NULL, saying FROM tombstones"
                " WHERE session = ?1 AND generation > ?2 UNION ALL"
                " SELECT seq, identity, parent, meaning, role, state, saying FROM turns"
                " WHERE session = ?1 AND generation > ?2 ORDER BY seq",
                (session, request.since),
            )
            return NodesReply(generation, redaction, [Node(*row) for row in rows])

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """The sessions that know a turn, the last written first."""
        owned, written = "o.user = ?", "s.generation"
        if request.user is None:  # each of these sessions counts generations of its own
            owned = "+o.user IS NULL"  # the plus keeps SQLite from walking through all that have no user
            written = (
                "(SELECT t.seq FROM turns t WHERE t.session = s.id"
                " ORDER BY t.generation DESC, t.seq DESC LIMIT 1)"
            )
        arms = [
            f"SELECT session FROM turns WHERE {column} IN ({','.join('?' * len(digests))})"
            for column, digests in (("identity", request.identities), ("meaning", request.meanings))
            if digests
        ]
        if request.identities:  # where a turn was forgotten, its place is known still
            arms.append(arms[0].replace("FROM turns", "FROM tombstones"))
        if not arms:
            return ()
        known = [*request.identities, *request.meanings, *request.identities]
        scope = [request.user] if request.user is not None else []
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT o.user, s.name FROM sessions s JOIN owners o ON o.id = s.owner"
                f" WHERE s.id IN ({' UNION '.join(arms)}) AND {owned}"
                f" ORDER BY {written} DESC, s.id DESC LIMIT ?",
                (*known, *scope, request.limit),
            )
            return [SessionRef(*row) for row in rows]

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Turns in full, in the journal's order."""
        where, values = _where(request)
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {TURN_COLUMNS} FROM {TURN_TABLES}"
                f" WHERE {where} AND t.seq > ? ORDER BY t.seq LIMIT ?",
                (*values, request.after, request.limit),
            ).fetchall()
            try:
                return [turn_of(db, row) for row in rows]
            except (ValueError, TypeError, LookupError) as error:
                raise damaged(self._path, error) from error

    def sessions(self, request: SessionsRequest) -> Sequence[Session]:
        """Sessions, the oldest first."""
        where, values = _owned(request.owner)
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT s.name, o.user, s.created, (SELECT count(*) FROM turns t WHERE t.session = s.id)"
                f" FROM sessions s JOIN owners o ON o.id = s.owner WHERE {where} AND {_LISTED} ORDER BY s.id",
                values,
            )
            return [
                Session(name=name, user=user, created=datetime.fromisoformat(created), turns=turns)
                for name, user, created, turns in rows
            ]

    def stats(self) -> Stats:
        """Counts, and the size of the database in bytes."""
        with self._db.reading() as db:
            counts = db.execute(
                "SELECT count(DISTINCT o.user), count(*), (SELECT count(*) FROM turns),"
                " (SELECT count(*) FROM calls WHERE model IS NOT NULL OR host IS NOT NULL),"
                " (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)"
                f" FROM sessions s JOIN owners o ON o.id = s.owner WHERE {_LISTED}"
            ).fetchone()
        users, sessions, turns, calls, size = counts
        return Stats(users=users, sessions=sessions, turns=turns, calls=calls, bytes=size)


_LISTED = (
    "(EXISTS (SELECT 1 FROM turns WHERE session = s.id)"
    " OR NOT EXISTS (SELECT 1 FROM tombstones WHERE session = s.id))"
)
"""Of a session whose every turn was forgotten only the tombstones are left, and nobody is shown its name."""


def _is(ref: SessionRef) -> str:
    """Finds a session; without a user it is its own owner, named by the session.

    Two texts, because one with `IS` on both columns walks through every owner that has NULL in one of them.
    """
    return "o.user = ? AND s.name = ?" if ref.user is not None else "o.session = ? AND s.name = ?"


def _ref(ref: SessionRef) -> tuple[str, str]:
    return ref.session if ref.user is None else ref.user, ref.session


def _owned(owner: str | Literal[True] | None) -> tuple[str, list[Any]]:
    """The sessions of a user, of none, or all."""
    if owner is True:
        return "1", []
    return ("o.user IS NULL", []) if owner is None else ("o.user = ?", [owner])


def _where(request: TurnsRequest) -> tuple[str, list[Any]]:
    values: list[Any]
    if request.ref is not None:
        where, values = _is(request.ref), [*_ref(request.ref)]
    else:
        where, values = _owned(request.owner)
    if request.identities is not None:
        where += f" AND t.identity IN ({','.join('?' * len(request.identities))})"
        values += request.identities
    if request.seqs is not None:
        where += f" AND t.seq IN ({','.join('?' * len(request.seqs))})"
        values += request.seqs
    return where, values


def _write(db: sqlite3.Connection, write: Write) -> Written:
    row = _find_session(db, write.ref)
    generation = row[2] if row is not None else 0
    if write.expect is not None and write.expect != generation:
        return Written(None, generation)
    if write.redaction is not None:
        known = owner_row(db, OwnerRef.of(write.ref))
        if write.redaction != (known[2] if known is not None else 0):
            return Written(None, generation)
    owner, session, _ = row or _make_session(db, write)
    (generation,) = db.execute(
        "UPDATE owners SET generation = generation + 1 WHERE id = ? RETURNING generation", (owner,)
    ).fetchone()
    db.execute("UPDATE sessions SET generation = ? WHERE id = ?", (generation, session))
    seqs = [_insert(db, owner, session, generation, turn) for turn in write.turns]
    for identity, state in write.states:
        db.execute(
            "UPDATE turns SET state = ?, generation = ? WHERE session = ? AND identity = ? AND state <> ?",
            (state, generation, session, identity, state),
        )
    db.executemany(
        "INSERT OR IGNORE INTO tombstones (session, parent, identity, generation) VALUES (?, ?, ?, ?)",
        [(session, parent, identity, generation) for parent, identity in write.forgotten],
    )
    if write.call is not None:
        _call(db, owner, session, write.call)
        if write.receipt is not None:
            put_receipt(db, session, write.call, write.receipt, seqs)
    return Written(tuple(f"t{seq}" for seq in seqs), generation)


def _find_session(db: sqlite3.Connection, ref: SessionRef) -> tuple[int, int, int] | None:
    """The rows of the owner and the session, and the session's generation."""
    row: tuple[int, int, int] | None = db.execute(
        f"SELECT o.id, s.id, s.generation FROM owners o JOIN sessions s ON s.owner = o.id WHERE {_is(ref)}",
        _ref(ref),
    ).fetchone()
    return row


def _make_session(db: sqlite3.Connection, write: Write) -> tuple[int, int, int]:
    column = "session" if write.ref.user is None else "user"
    owned_by, name = _ref(write.ref)
    db.execute(f"INSERT INTO owners ({column}) VALUES (?) ON CONFLICT DO NOTHING", (owned_by,))
    (owner,) = db.execute(f"SELECT id FROM owners WHERE {column} = ?", (owned_by,)).fetchone()
    (session,) = db.execute(
        "INSERT INTO sessions (owner, name, created) VALUES (?, ?, ?) RETURNING id",
        (owner, name, _first_said(write).isoformat()),
    ).fetchone()
    return owner, session, 0


def _first_said(write: Write) -> datetime:
    if write.turns:
        return write.turns[0].at
    return write.call.at if write.call is not None else datetime.now(UTC)


def _insert(db: sqlite3.Connection, owner: int, session: int, generation: int, turn: NewTurn) -> int:
    place = (session, turn.parent, turn.identity, turn.saying)
    there = db.execute(
        "SELECT seq FROM turns WHERE session = ? AND parent = ? AND identity = ? AND saying = ?", place
    ).fetchone()
    if there is not None:
        return int(there[0])
    payload, media = take_out(turn.payload)
    (seq,) = db.execute(
        "INSERT INTO turns"
        " (session, parent, identity, saying, meaning, role, state, at, payload, media, generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
        (
            *place,
            turn.meaning,
            str(turn.payload.get("role", "")),
            turn.state,
            turn.at.isoformat(),
            keep(db, dumps(payload)),
            dumps([[m.path, m.digest.hex()] for m in media]) if media else None,
            generation,
        ),
    ).fetchone()
    db.execute("INSERT INTO views (turn, owner, generation) VALUES (?, ?, ?)", (seq, owner, generation))
    for m in media:
        known = db.execute("SELECT 1 FROM media WHERE owner = ? AND digest = ?", (owner, m.digest)).fetchone()
        if known is None:
            db.execute("INSERT INTO media VALUES (?, ?, ?)", (owner, m.digest, keep(db, m.content)))
    return int(seq)


def _call(db: sqlite3.Connection, owner: int, session: int, call: CallRow) -> None:
    settings = keep_settings(db, owner, session, call.settings) if call.settings else None
    db.execute(
        "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " state = excluded.state, model = coalesce(excluded.model, model),"
        " host = coalesce(excluded.host, host), settings = coalesce(excluded.settings, settings),"
        " end = coalesce(excluded.end, end),"
        " usage = coalesce(excluded.usage, usage), response_id = coalesce(excluded.response_id, response_id),"
        " error = coalesce(excluded.error, error)",
        (
            call.id,
            session,
            call.at.isoformat(),
            call.state,
            call.model,
            call.host,
            settings,
            call.end,
            dumps(call.usage) if call.usage is not None else None,
            call.response_id,
            call.error,
        ),
    )
