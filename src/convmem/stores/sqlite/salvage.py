"""Repairs a damaged file: everything that can be read is written to a new one, and the old file is kept.

SQLite reads a table page by page and stops at a damaged page. Rows behind that page are reached by asking for
single rows, because each is found through pages of its own (https://www.sqlite.org/recovery.html has what
else can be tried; this way needs no tool besides Python).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmem.errors import StoreCorruptError, StoreError, StoreFormatError
from convmem.stores.sqlite.media import is_text
from convmem.stores.sqlite.opening import APPLICATION_ID, applied, recognized, unavailable
from convmem.stores.sqlite.schema import migrate
from convmem.stores.sqlite.settings import drop_without_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Salvaged", "salvage"]


@dataclass(frozen=True, slots=True)
class _Edition:
    """Says how the tables of one edition of the schema are read.

    Views are left out: they are made again from the turns.

    Attributes:
        by_rowid: tables whose first column is the rowid, by which single rows can be asked for.
        by_key: the other tables, each with the columns of its key.
        names: a table, its columns that name rows of another table, and the query for the rows that may be
            named. Rows that name a lost one are deleted, in this order: first the tables that others name.
    """

    by_rowid: tuple[str, ...]
    by_key: dict[str, str]
    names: tuple[tuple[str, str, str], ...]


_WORDS = "SELECT id FROM contents WHERE typeof(body) = 'text' AND json_valid(body)"
_CONTENTS = "SELECT id FROM contents"
_FIRST = _Edition(
    by_rowid=("owners", "sessions", "contents", "turns", "settings", "pins", "receipts"),
    by_key={
        "tombstones": "session, parent, identity, saying",
        "media": "owner, digest",
        "calls": "id",
        "epochs": "session, host, model",
        "receipt_turns": "receipt, place",
        "limits": "host, model",
    },
    names=(
        ("sessions", "owner", "SELECT id FROM owners"),
        ("turns", "session", "SELECT id FROM sessions"),
        ("turns", "payload", _WORDS),
        ("tombstones", "session", "SELECT id FROM sessions"),
        ("media", "owner", "SELECT id FROM owners"),
        ("media", "content", _CONTENTS),
        ("settings", "owner", "SELECT id FROM owners"),
        ("settings", "payload", _CONTENTS),
        ("pins", "owner", "SELECT id FROM owners"),
        ("pins", "text", _CONTENTS),
        ("epochs", "session", "SELECT id FROM sessions"),
        ("epochs", "summary", _CONTENTS),
        ("calls", "session", "SELECT id FROM sessions"),
        ("receipts", "session", "SELECT id FROM sessions"),
        ("receipts", "call", "SELECT id FROM calls"),
        ("receipt_turns", "receipt", "SELECT id FROM receipts"),
        ("receipt_turns", "turn", "SELECT seq FROM turns"),
    ),
)
# The summaries that lost none of their turns. One that did would not be forgotten with that turn any more.
_COMPLETE = (
    "SELECT owner, node FROM node_turns GROUP BY owner, node"
    " HAVING min((owner, turn) IN (SELECT owner, seq FROM turns))"
)
_SECOND = _Edition(
    by_rowid=(*_FIRST.by_rowid, "names", "nodes", "facts"),
    by_key={
        "tombstones": "owner, identity, session, parent, saying",
        "media": "owner, digest",
        "calls": "owner, id",
        "epochs": "owner, session, host, model",
        "receipt_turns": "owner, receipt, place",
        "node_turns": "owner, node, turn",
        "limits": "host, model",
        "sums": "day, host, model",
    },
    names=(
        ("sessions", "owner", "SELECT id FROM owners"),
        *(
            (table, "(owner, session)", "SELECT owner, id FROM sessions")
            for table in ("turns", "tombstones", "epochs", "calls", "receipts", "nodes")
        ),
        *((table, "owner", "SELECT id FROM owners") for table in ("media", "settings", "pins")),
        ("turns", "payload", _WORDS),
        ("media", "content", _CONTENTS),
        ("settings", "payload", _CONTENTS),
        ("pins", "text", _CONTENTS),
        ("epochs", "summary", _CONTENTS),
        ("nodes", "text", _CONTENTS),
        ("facts", "value", _CONTENTS),
        ("facts", "(owner, turn)", "SELECT owner, seq FROM turns"),
        ("receipts", "(owner, call)", "SELECT owner, id FROM calls"),
        ("receipt_turns", "(owner, receipt)", "SELECT owner, id FROM receipts"),
        ("receipt_turns", "(owner, turn)", "SELECT owner, seq FROM turns"),
        ("node_turns", "(owner, node)", "SELECT owner, id FROM nodes"),
        ("nodes", "(owner, id)", _COMPLETE),
        ("node_turns", "(owner, node)", "SELECT owner, id FROM nodes"),
    ),
)
_NAMES = (("owners", "name", "names"), ("sessions", "name", "names"), ("sessions", "title", "contents"))
"""Texts that a row can do without: the row's table, its column, and the table that holds the text."""
_TIMES = frozenset({"at", "created", "used"})
_JSON = (
    ("turns", "media", "UPDATE {} SET {} = NULL"),
    ("calls", "usage", "UPDATE {} SET {} = NULL"),
    ("receipts", "account", "DELETE FROM {}"),
    ("receipt_turns", "about", "DELETE FROM {}"),
)
"""Columns of JSON, and what becomes of the row whose JSON is damaged."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The result of a repair.

    Attributes:
        copy: the copy of the damaged file.
        turns: how many turns the new file has.
        lost: how many turns are known to be lost.
    """

    copy: Path
    turns: int
    lost: int


def salvage(path: Path, now: Callable[[], datetime]) -> Salvaged:
    """Replace a database by one with everything that can be read of it, and keep the old file beside it.

    Raises:
        StoreError: the file is no convmem database, is in use, or cannot be read at all. It is not changed.
    """
    if not path.is_file():
        raise StoreFormatError(f"{path}: there is no such file")
    _alone(path)
    copy = _copied(path, now().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"))
    made = path.with_name(f"{path.name}.repairing")
    _drop(made)
    try:
        with unavailable(str(path)), closing(_source(path)) as old:
            recognized(old, str(path))
            turns, lost = _moved(old, made, str(path))
    except BaseException:
        _drop(made)
        raise
    # The old log is in the copy. SQLite would take it for the new file's, so it must go before that comes.
    _drop(path, log_only=True)
    made.replace(path)
    return Salvaged(copy, turns, lost)


def _alone(path: Path) -> None:
    """Raise when another process has the file open, because it would go on writing to the old file."""
    with unavailable(str(path)), closing(_source(path)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOTADB}:
                raise


def _source(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    db.text_factory = _text
    return db


def _text(value: bytes) -> str | bytes:
    """Decode a text; returns the bytes where they are no UTF-8 any more."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _copied(path: Path, stamp: str) -> Path:
    copy = path.with_name(f"{path.name}.before-repair-{stamp}")
    if copy.exists():
        raise StoreError(f"{copy} is there already; move it away")
    try:
        for suffix in ("", "-wal"):
            if (part := Path(f"{path}{suffix}")).exists():
                shutil.copy2(part, f"{copy}{suffix}")
    except OSError as error:
        _drop(copy)
        raise StoreError(f"{path}: cannot be copied ({error.strerror}), so it was left as it is") from error
    return copy


def _drop(path: Path, *, log_only: bool = False) -> None:
    for suffix in ("-wal", "-shm") if log_only else ("-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _moved(old: sqlite3.Connection, made: Path, path: str) -> tuple[int, int]:
    """Write the new file; returns how many turns it has, and how many are known to be lost."""
    try:
        key, created = old.execute("SELECT key, created FROM store").fetchone()
    except (sqlite3.DatabaseError, TypeError) as error:
        raise StoreCorruptError(
            f"{path}: not even its key can be read ({error}); try `sqlite3 FILE .recover`, or a backup"
        ) from error
    edition = _FIRST if _LATER not in applied(old) else _SECOND
    with unavailable(str(made)), closing(sqlite3.connect(made, isolation_level=None)) as new:
        new.execute("PRAGMA secure_delete = ON")
        new.execute("PRAGMA temp_store = MEMORY")
        new.execute("BEGIN")
        migrate(new, stop_before=_LATER if edition is _FIRST else None)
        new.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        new.execute("UPDATE store SET key = ?, created = ?", (key, created))
        missed = {table: [0] for table in (*edition.by_rowid, *edition.by_key)}
        for table, missing in missed.items():
            types = {row[1]: row[2] for row in new.execute(f"PRAGMA table_info({table})")}
            marks = ",".join("?" * len(types))
            rows = _rows(old, table, list(types), edition.by_key.get(table), missing)
            new.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", _mended(rows, types, created))
        (read,) = new.execute("SELECT count(*) FROM turns").fetchone()
        if edition is _SECOND:
            _mend_names(new)
            if missed["node_turns"][0]:
                new.execute("DELETE FROM nodes")  # any of them may have lost a turn
        for table, column, forgo in _JSON:
            # Of NULL older versions of SQLite say 0.
            new.execute(
                f"{forgo.format(table, column)} WHERE {column} IS NOT NULL AND NOT json_valid({column})"
            )
        for table, named, there in edition.names:
            new.execute(f"DELETE FROM {table} WHERE {named} NOT IN ({there})")
        drop_without_base(new)
        new.execute("UPDATE calls SET settings = NULL WHERE settings NOT IN (SELECT id FROM settings)")
        _forgo_lost_media(new)
        if edition is _FIRST:
            migrate(new)
        _begin_anew(old, new)
        (kept,) = new.execute("SELECT count(*) FROM turns").fetchone()
        new.execute("COMMIT")
        if new.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise StoreCorruptError(f"{path}: what is readable does not fit together; it was left as it is")
    return kept, read - kept + missed["turns"][0]


_LATER = "m003_second_edition"
"""The migration that a file of the first edition lacks."""


def _mended(
    rows: Iterator[tuple[Any, ...]], types: dict[str, str], created: str
) -> Iterator[tuple[Any, ...]]:
    """The rows, with values that the tables take and that can be read, where a flipped bit made others.

    A text that is not UTF-8 any more keeps what can be read of it; a time that is none becomes that of the
    row before, or the store's own.
    """
    texts = [n for n, type_ in enumerate(types.values()) if type_ == "TEXT"]
    times = [n for n in texts if list(types)[n] in _TIMES]
    before = dict.fromkeys(times, _time_of(created) or datetime.fromtimestamp(0, UTC).isoformat())
    for row in rows:
        mended = list(row)
        for n in texts:
            if isinstance(row[n], bytes):
                mended[n] = row[n].decode(errors="replace")
        for n in times:
            before[n] = mended[n] = _time_of(mended[n]) or before[n]
        yield tuple(mended)


def _time_of(value: object) -> str | None:
    """A time as stores write it; None where it is none."""
    try:
        return str(value) if datetime.fromisoformat(str(value)).tzinfo is not None else None
    except ValueError:
        return None


def _mend_names(new: sqlite3.Connection) -> None:
    """Remove references to names and titles that are lost; users and sessions are still found by digests."""
    for table, column, texts in _NAMES:
        there = f"SELECT id FROM {texts} WHERE typeof(body) = 'text'"
        new.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} NOT IN ({there})")


def _forgo_lost_media(new: sqlite3.Connection) -> None:
    """Keep turns that lost a picture, with an empty string in its place; delete turns that lost words."""
    kept = {(owner, digest.hex()) for owner, digest in new.execute("SELECT owner, digest FROM media")}
    turns = new.execute(
        "SELECT t.seq, s.owner, t.media FROM turns t JOIN sessions s ON s.id = t.session"
        " WHERE t.media IS NOT NULL"
    ).fetchall()
    for seq, owner, media in turns:
        places: list[list[Any]] = json.loads(media)
        left = [place for place in places if (owner, place[1]) in kept]
        if any(is_text(place[0]) for place in places if place not in left):
            new.execute("DELETE FROM turns WHERE seq = ?", (seq,))
        elif len(left) < len(places):
            new.execute("UPDATE turns SET media = ? WHERE seq = ?", (json.dumps(left) if left else None, seq))


def _begin_anew(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Have views made anew and caches dropped, and raise counters so that no id is given twice."""
    new.execute(
        "UPDATE owners SET generation = generation + 1, redaction = redaction + 1, rid = redaction + 1"
    )
    new.execute(
        "INSERT INTO views (turn, owner, generation)"
        " SELECT t.seq, o.id, o.generation FROM turns t JOIN owners o ON o.id = t.owner"
    )
    try:
        last = old.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    except sqlite3.DatabaseError:
        return
    for name, seq in last:
        raised = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1"
        if not new.execute(raised, (name, seq)).rowcount:
            new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, seq))


def _rows(
    db: sqlite3.Connection, table: str, columns: list[str], key: str | None, missed: list[int]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that can be read.

    Adds to `missed[0]` how many rows exist and cannot be read; 1 for a damaged table that is read by its key,
    where their number is not known.
    """
    select = f"SELECT {', '.join(columns)} FROM {table}"
    last = 0
    try:
        for row in db.execute(f"{select} ORDER BY {key or 'rowid'}"):
            last = row[0]
            yield row
    except sqlite3.DatabaseError:
        pass
    else:
        return
    if key is not None:
        missed[0] += 1
        backwards = ", ".join(f"{column} DESC" for column in key.split(", "))
        yield from _until_damage(db, f"{select} ORDER BY {backwards}")
        return
    highest = next(_until_damage(db, f"SELECT rowid FROM {table} ORDER BY rowid DESC"), (last,))[0]
    for rowid in range(last + 1, highest + 1):
        try:
            row = db.execute(f"{select} WHERE rowid = ?", (rowid,)).fetchone()
        except sqlite3.DatabaseError:
            missed[0] += 1
            continue
        if row is not None:
            yield row


def _until_damage(db: sqlite3.Connection, sql: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query up to the first damaged page."""
    try:
        yield from db.execute(sql)
    except sqlite3.DatabaseError:
        return
