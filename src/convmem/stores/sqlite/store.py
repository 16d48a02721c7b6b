"""Keeps the journal in one SQLite file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from convmem.abilities import OwnerRef
from convmem.protocols import Node, NodesReply, SessionRef, Written
from convmem.stores.sqlite.abilities import SQLiteAbilities, make_owner, owner_row
from convmem.stores.sqlite.call_reads import SQLiteCallReads
from convmem.stores.sqlite.connections import Connections
from convmem.stores.sqlite.contents import keep
from convmem.stores.sqlite.media import take_out
from convmem.stores.sqlite.names import (
    IS_OWNER,
    IS_SESSION,
    SESSION_NAME,
    USER_NAME,
    keep_name,
    session_values,
)
from convmem.stores.sqlite.opening import Opening
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
        busy_ms: milliseconds that a write waits for another process before it raises `StoreLockedError`.
        open_ms: milliseconds that opening waits for another process; five minutes where that may be migrating
            the file.

    Raises:
        StoreError: the file's folder is missing, or the file is no convmem database, was written by a newer
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
        """Close the file; closing twice is fine."""
        self._db.close()

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Carry out all writes in one transaction."""
        with self._db.writing() as db:
            return [_write(db, write) for write in batch]

    def nodes(self, request: NodesRequest) -> NodesReply:
        """Return a session's tree, or what changed in it."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT o.id, s.id, s.generation, o.redaction FROM sessions s JOIN owners o ON o.id = s.owner"
                f" WHERE {IS_SESSION}",
                session_values(request.ref),
            ).fetchone()
            if row is None:
                owner = owner_row(db, OwnerRef.of(request.ref))
                return NodesReply(0, owner[2] if owner is not None else 0, ())
            owned, session, generation, redaction = row
            if generation == request.since:
                return NodesReply(generation, redaction, ())
            rows = db.execute(
                "SELECT 0 AS seq, identity, parent, X'', '', NULL, saying FROM tombstones"
                " WHERE owner = ?1 AND session = ?2 AND generation > ?3 UNION ALL"
                " SELECT seq, identity, parent, meaning, role, state, saying FROM turns"
                " WHERE owner = ?1 AND session = ?2 AND generation > ?3 ORDER BY seq",
                (owned, session, request.since),
            )
            return NodesReply(generation, redaction, [Node(*row) for row in rows])

    def find(self, request: FindRequest) -> Sequence[SessionRef]:
        """Return the sessions that know one of these turns, the last written first."""
        asked = (("identity", request.identities), ("meaning", request.meanings))
        known = [(column, digests) for column, digests in asked if digests]
        if not known:
            return ()
        with self._db.reading() as db:
            if request.user is None:
                arms, values, written = *_among_nobody(known), _LAST_WRITTEN
            else:
                row = owner_row(db, OwnerRef(request.user))
                if row is None:
                    return ()
                arms, values, written = *_of_owner(row[0], known), "s.generation"
            rows = db.execute(
                f"SELECT {USER_NAME}, {SESSION_NAME} FROM sessions s JOIN owners o ON o.id = s.owner"
                f" WHERE s.id IN ({' UNION '.join(arms)}) ORDER BY {written} DESC, s.id DESC LIMIT ?",
                (*values, request.limit),
            )
            return [SessionRef(*row) for row in rows]

    def turns(self, request: TurnsRequest) -> Sequence[Turn]:
        """Return turns in full, in the journal's order."""
        tables, where, order, values = _where(request)
        with self._db.reading() as db:
            # The `seq` of the page first: sorting whole rows to find the page would read all words.
            rows = db.execute(
                f"SELECT {TURN_COLUMNS} FROM {TURN_TABLES} WHERE t.seq IN (SELECT t.seq FROM {tables}"
                f" WHERE {where} ORDER BY {order} LIMIT ?) ORDER BY t.seq",
                (*values, request.limit),
            ).fetchall()
            return [turn_of(db, row) for row in rows]

    def sessions(self, request: SessionsRequest) -> Sequence[Session]:
        """Return sessions, the oldest first."""
        where, values = _owned(request.owner)
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {SESSION_NAME}, {USER_NAME}, s.created,"
                " (SELECT count(*) FROM turns t WHERE t.owner = s.owner AND t.session = s.id)"
                f" FROM sessions s JOIN owners o ON o.id = s.owner WHERE {where} AND {_LISTED} ORDER BY s.id",
                values,
            )
            return [
                Session(name=name, user=user, created=datetime.fromisoformat(created), turns=turns)
                for name, user, created, turns in rows
            ]

    def stats(self) -> Stats:
        """Count users, sessions, turns and calls, and the bytes of the database."""
        with self._db.reading() as db:
            counts = db.execute(
                "SELECT count(DISTINCT CASE WHEN o.id > 0 THEN o.id END), count(*),"
                " (SELECT count(*) FROM turns),"
                " (SELECT count(*) FROM calls WHERE model IS NOT NULL OR host IS NOT NULL),"
                " (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)"
                f" FROM sessions s JOIN owners o ON o.id = s.owner WHERE {_LISTED}"
            ).fetchone()
        users, sessions, turns, calls, size = counts
        return Stats(users=users, sessions=sessions, turns=turns, calls=calls, bytes=size)


_LISTED = (
    "(EXISTS (SELECT 1 FROM turns t WHERE t.owner = s.owner AND t.session = s.id) OR (s.name IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.owner = s.owner AND t.session = s.id)))"
)
"""The SQL condition for sessions that are listed. One whose every turn was forgotten has only tombstones
left, and its name is shown to nobody."""

# What sessions without a user are sorted by. Not by generation, which each of them counts for itself.
_LAST_WRITTEN = (
    "(SELECT t.seq FROM turns t WHERE t.owner = s.owner AND t.session = s.id"
    " ORDER BY t.generation DESC, t.seq DESC LIMIT 1)"
)

_Known = list[tuple[str, tuple[bytes, ...]]]


def _of_owner(owner: int, known: _Known) -> tuple[list[str], list[Any]]:
    """Make the queries for an owner's sessions that know turns, and their parameters.

    A forgotten turn is still known by its place (`identity`), through its tombstone.
    """
    arms, values = list[str](), list[Any]()
    for column, digests in known:
        # SQLite uses the index of meanings, which holds users' turns only, if the query says so too.
        users = " AND owner > 0" if column == "meaning" else ""
        for table in ("turns", "tombstones") if column == "identity" else ("turns",):
            arms.append(
                f"SELECT session FROM {table} WHERE owner = ?{users} AND {column} IN ({_marks(digests)})"
            )
            values += (owner, *digests)
    return arms, values


def _among_nobody(known: _Known) -> tuple[list[str], list[Any]]:
    """Make the same queries for the sessions without a user, by indexes that hold only those."""
    arms, values = list[str](), list[Any]()
    for column, digests in known:
        named = ("turns_of_nobody", "tombstones_of_nobody")
        for index in named if column == "identity" else ("turns_of_nobody_by_meaning",):
            table = index.partition("_")[0]
            arms.append(
                f"SELECT session FROM {table} INDEXED BY {index}"
                f" WHERE owner < 0 AND {column} IN ({_marks(digests)})"
            )
            values += digests
    return arms, values


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _owned(owner: str | Literal[True] | None) -> tuple[str, list[Any]]:
    """Make the condition for sessions of a user, of no user (None), or of all (True), and its parameters."""
    if owner is True:
        return "1", []
    return ("o.id < 0", []) if owner is None else (IS_OWNER, ["user", owner])


def _where(request: TurnsRequest) -> tuple[str, str, str, list[Any]]:
    """Return tables, condition, order and parameters of the query for the turns asked for.

    The plus in `+t.seq` keeps SQLite from walking through all of an owner's turns to find a session's.
    """
    tables, seq = "owners o JOIN turns t ON t.owner = o.id", "t.seq"
    values: list[Any]
    if request.ref is not None:
        tables = (
            "owners o JOIN sessions s ON s.owner = o.id"
            " JOIN turns t ON t.owner = s.owner AND t.session = s.id"
        )
        where, values, seq = IS_SESSION, [*session_values(request.ref)], "+t.seq"
    else:
        where, values = _owned(request.owner)
        if request.owner is True:
            tables = "turns t"
    if request.identities is not None:
        where += f" AND t.identity IN ({_marks(request.identities)})"
        values += request.identities
    if request.seqs is not None:
        where += f" AND t.seq IN ({_marks(request.seqs)})"
        values += request.seqs
    return tables, f"{where} AND {seq} > ?", seq, [*values, request.after]


def _write(db: sqlite3.Connection, write: Write) -> Written:
    row = _find_session(db, write.ref)
    generation = row[2] if row is not None else 0
    if write.expect is not None and write.expect != generation:
        return Written(None, generation)
    if write.redaction is not None:
        known = owner_row(db, OwnerRef.of(write.ref))
        if write.redaction != (known[2] if known is not None else 0):
            return Written(None, generation)
    owner, session, _, named = row or _make_session(db, write)
    if not named:
        _name_again(db, session, write.ref)
    (generation,) = db.execute(
        "UPDATE owners SET generation = generation + 1 WHERE id = ? RETURNING generation", (owner,)
    ).fetchone()
    db.execute(
        "UPDATE sessions SET generation = ?, used = coalesce(?, used) WHERE id = ?",
        (generation, _last_said(write), session),
    )
    seqs = [_insert(db, owner, session, generation, turn) for turn in write.turns]
    for identity, state in write.states:
        db.execute(
            "UPDATE turns SET state = ?, generation = ?"
            " WHERE owner = ? AND identity = ? AND session = ? AND state <> ?",
            (state, generation, owner, identity, session, state),
        )
    for parent, identity in write.forgotten:
        db.execute(
            "INSERT OR IGNORE INTO tombstones (owner, session, parent, identity, generation)"
            " VALUES (?, ?, ?, ?, ?)",
            (owner, session, parent, identity, generation),
        )
    if write.call is not None:
        _call(db, owner, session, write.call)
        if write.receipt is not None:
            put_receipt(db, (owner, session), write.call, write.receipt, seqs)
    return Written(tuple(f"t{seq}" for seq in seqs), generation)


def _find_session(db: sqlite3.Connection, ref: SessionRef) -> tuple[int, int, int, bool] | None:
    """Return the rows of owner and session, the session's generation, and whether both have their names."""
    row: tuple[int, int, int, int] | None = db.execute(
        "SELECT o.id, s.id, s.generation, o.name IS NOT NULL AND s.name IS NOT NULL"
        f" FROM owners o JOIN sessions s ON s.owner = o.id WHERE {IS_SESSION}",
        session_values(ref),
    ).fetchone()
    return None if row is None else (*row[:3], bool(row[3]))


def _make_session(db: sqlite3.Connection, write: Write) -> tuple[int, int, int, bool]:
    ref = write.ref
    owner, owner_name = make_owner(db, OwnerRef.of(ref))
    name = keep_name(db, "session", ref.session) if ref.user is not None else owner_name
    (session,) = db.execute(
        "INSERT INTO sessions (owner, digest, name, created, used)"
        " VALUES (?, name_digest('session', ?), ?, ?, ?) RETURNING id",
        (owner, ref.session, name, *[_first_said(write).isoformat()] * 2),
    ).fetchone()
    return owner, session, 0, True


def _name_again(db: sqlite3.Connection, session: int, ref: SessionRef) -> None:
    """Keep the names again of a session that was forgotten and is now written to."""
    _, owner_name = make_owner(db, OwnerRef.of(ref))
    if db.execute("SELECT name FROM sessions WHERE id = ?", (session,)).fetchone()[0] is None:
        name = keep_name(db, "session", ref.session) if ref.user is not None else owner_name
        db.execute("UPDATE sessions SET name = ? WHERE id = ?", (name, session))


def _first_said(write: Write) -> datetime:
    if write.turns:
        return write.turns[0].at
    return write.call.at if write.call is not None else datetime.now(UTC)


def _last_said(write: Write) -> str | None:
    if write.call is not None:
        return write.call.at.isoformat()
    return write.turns[-1].at.isoformat() if write.turns else None


def _insert(db: sqlite3.Connection, owner: int, session: int, generation: int, turn: NewTurn) -> int:
    place = (owner, turn.identity, session, turn.parent, turn.saying)
    there = db.execute(
        "SELECT seq FROM turns"
        " WHERE owner = ? AND identity = ? AND session = ? AND parent = ? AND saying = ?",
        place,
    ).fetchone()
    if there is not None:
        return int(there[0])
    payload, media = take_out(turn.payload)
    (seq,) = db.execute(
        "INSERT INTO turns"
        " (owner, identity, session, parent, saying, meaning, role, state, at, payload, media, generation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
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
            values = (owner, m.digest, keep(db, m.content), len(m.content))
            db.execute("INSERT INTO media (owner, digest, content, size) VALUES (?, ?, ?, ?)", values)
    return int(seq)


def _call(db: sqlite3.Connection, owner: int, session: int, call: CallRow) -> None:
    settings = keep_settings(db, owner, session, call.settings) if call.settings else None
    db.execute(
        "INSERT INTO calls"
        " (owner, id, session, at, state, model, host, settings, end, usage, response_id, error)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, id) DO UPDATE SET"
        " state = excluded.state, model = coalesce(excluded.model, model),"
        " host = coalesce(excluded.host, host), settings = coalesce(excluded.settings, settings),"
        " end = coalesce(excluded.end, end),"
        " usage = coalesce(excluded.usage, usage), response_id = coalesce(excluded.response_id, response_id),"
        " error = coalesce(excluded.error, error)",
        (
            owner,
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
