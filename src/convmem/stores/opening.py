"""Opening a SQLite file with a clear word for everything that can be wrong with it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convmem.errors import (
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["connect", "unavailable"]

APPLICATION_ID = 0x434D454D  # "CMEM" in the file's header
MIGRATIONS = ("m001_journal",)
"""Names of the migrations in `schema.py`, so that opening a current file need not import it."""

_MAGIC = b"SQLite format 3\0"
_OPEN_WAIT_S = 5.0
_OLDEST_SQLITE = (3, 37)  # STRICT tables; RETURNING came in 3.35

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT})


def connect(path: str, *, durability: str, busy_ms: int, checked: bool = False) -> sqlite3.Connection:
    """Open a connection, bringing the schema up to date.

    Args:
        path: the file, or `":memory:"`.
        durability: `"normal"` or `"full"`.
        busy_ms: how long its statements wait for another process.
        checked: another connection of this process has just been opened on the file.
    """
    if durability not in {"normal", "full"}:
        raise StoreError(f'durability is "normal" or "full", not {durability!r}')
    if path != ":memory:" and not checked:
        _look_at(path)
    with unavailable(path):
        db = sqlite3.connect(path, timeout=_OPEN_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        with unavailable(path):
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            if not checked:
                _bring_up_to_date(db, path)
            db.execute(f"PRAGMA synchronous = {durability}")
            db.execute(f"PRAGMA busy_timeout = {int(busy_ms)}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def unavailable(path: str) -> Iterator[None]:
    """Say in convmem's words what SQLite found wrong."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: str) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return StoreLockedError(f"{path}: another process holds the database; try again when it lets go")
    if code == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(f"{path}: cannot be written; give write permission to the file and its folder")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreFormatError(f"{path}: is not a SQLite database; choose another path")
    if code in _DAMAGED:
        return StoreCorruptError(
            f"{path}: the database is damaged ({error}); nothing was changed. Keep a copy of the file, then"
            " recover what is readable with `sqlite3 FILE .recover`"
        )
    if isinstance(error, sqlite3.OperationalError):
        return StoreUnavailableError(f"{path}: {error}")
    return StoreError(f"{path}: {error}")


def _look_at(path: str) -> None:
    """Refuse what is no database of ours before SQLite opens, and thereby may touch, it."""
    file = Path(path)
    if file.is_dir():
        raise StoreFormatError(f"{path}: is a folder; name a file in it")
    if not file.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {file.parent}; make it first")
    try:
        with file.open("rb") as opened:
            start = opened.read(len(_MAGIC))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreReadOnlyError(f"{path}: cannot be read ({error.strerror}); give read permission") from error
    if start and start != _MAGIC:
        raise StoreFormatError(f"{path}: is not a SQLite database; choose another path")


def _bring_up_to_date(db: sqlite3.Connection, path: str) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreError(f"SQLite {needed} or newer is needed; this Python has {sqlite3.sqlite_version}")
    _check_owner(db, path)
    if _applied(db) != set(MIGRATIONS):
        db.execute("BEGIN IMMEDIATE")
        try:
            _check_owner(db, path)  # another process may have been first
            if _applied(db) != set(MIGRATIONS):
                from convmem.stores.schema import migrate  # noqa: PLC0415 (200 ms that only a due migration pays)

                migrate(db)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    elif path != ":memory:":
        # A file that cannot be written says so now, not at the first turn.
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    _use_wal(db)


def _check_owner(db: sqlite3.Connection, path: str) -> None:
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise StoreFormatError(f"{path}: is the SQLite database of another program; choose another path")
    if unknown := _applied(db) - set(MIGRATIONS):
        names = ", ".join(sorted(unknown))
        raise StoreNewerError(f"{path}: was written by a newer convmem (it has {names}); upgrade convmem")


def _applied(db: sqlite3.Connection) -> set[str]:
    known = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if db.execute(known).fetchone() is None:
        return set()
    rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'convmem'")
    return {name for (name,) in rows}


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait for others here, so this does."""
    until = time.monotonic() + _OPEN_WAIT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
