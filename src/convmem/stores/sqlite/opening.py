"""Opens a SQLite file, with a clear error for everything that can be wrong with it."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import stat
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convmem.errors import (
    InputError,
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from convmem.stores.sqlite.names import teach

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "APPLICATION_ID",
    "Opening",
    "applied",
    "connect",
    "damaged",
    "recognized",
    "unavailable",
    "use_wal",
]

APPLICATION_ID = 0x434D454D  # "CMEM" in the file's header
MIGRATIONS = ("m001_journal", "m002_receipts", "m003_second_edition")
"""Names of the migrations in `schema.py`, so that opening a current file need not import it."""

_MIGRATION_MS = 300_000
"""Milliseconds that opening waits for another process that may be migrating the file. A million turns take
half a minute; on a slow disk ten times as long must do."""
_MIGRATION_CACHE_KIB = 65_536
"""KiB of pages that a migration keeps in memory. With SQLite's default the pages of its indexes would be
written to the log again and again."""
_CACHE_KIB = 2_000
"""KiB of pages that a connection keeps in memory otherwise: SQLite's default."""

log = logging.getLogger("convmem")

_OLDEST_SQLITE = (3, 37)  # STRICT tables; RETURNING came in 3.35

_NO_NAME = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
"""What the system says of paths that can never name a file."""

_SMALLEST_PAGE = 512  # bytes; no database is smaller, unless it is empty

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OUTDATED = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT})
"""Error codes of statements that meet tables of another edition than the one they were written for."""
_PASSING = {
    sqlite3.SQLITE_CANTOPEN: "see whether too many files are open, then try again",
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_INTERRUPT: "try again",
    sqlite3.SQLITE_IOERR: "try again, and look at the disk if it stays so",
    sqlite3.SQLITE_NOMEM: "make room in memory",
    sqlite3.SQLITE_PROTOCOL: "try again",
}
"""Error codes of trouble that may pass, each with what helps against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Which database to open, and how.

    Attributes:
        path: the file, absolute, or `":memory:"`.
        durability: `"normal"` survives the death of the process, `"full"` also the loss of power.
        busy_ms: milliseconds that a statement waits for another process.
        open_ms: milliseconds that opening waits for another process; five minutes where that may be migrating
            the file.
    """

    path: str
    durability: str = "normal"
    busy_ms: int = 250
    open_ms: int = 5000

    @property
    def in_memory(self) -> bool:
        """Whether the database is in memory, without a file."""
        return self.path == ":memory:"


def connect(opening: Opening, *, checked: bool = False) -> sqlite3.Connection:
    """Open a connection, and bring the file's schema up to date.

    Args:
        opening: the file, and how to open it.
        checked: the file is known to be a current store of convmem.
    """
    path = opening.path
    if opening.durability not in {"normal", "full"}:
        raise InputError(f'durability is "normal" or "full", not {opening.durability!r}')
    if not opening.in_memory and not checked:
        _look_at(path)
    with unavailable(path):
        db = sqlite3.connect(
            path, timeout=opening.open_ms / 1000, isolation_level=None, check_same_thread=False
        )
    try:
        with unavailable(path):
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA temp_store = MEMORY")  # no words in temporary files
            if not checked:
                _bring_up_to_date(db, opening)
            db.execute("PRAGMA foreign_keys = ON")
            try:
                teach(db)
            except LookupError as error:
                raise damaged(path, error) from error
            db.execute(f"PRAGMA synchronous = {opening.durability}")
            db.execute(f"PRAGMA busy_timeout = {int(opening.busy_ms)}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def unavailable(path: str) -> Generator[None]:
    """Turn SQLite's errors in this context into convmem's, which say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: str) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return StoreLockedError(f"{path}: another process holds the database; try again when it lets go")
    if code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_CANTOPEN and not _writable(path)):
        return _read_only(path)
    if code == sqlite3.SQLITE_NOTADB:
        return StoreFormatError(f"{path}: is not a SQLite database; choose another path")
    # Python's own error for a text that is not UTF-8. It quotes the text, which must not come into a message.
    undecoded = isinstance(error, sqlite3.OperationalError) and not code
    if code == sqlite3.SQLITE_CORRUPT or undecoded:
        return damaged(path, "a text in it is not UTF-8" if undecoded else error)
    if code in _OUTDATED and (newer := _newer(path)) is not None:
        return newer
    remedy = _PASSING.get(code)
    return StoreUnavailableError(f"{path}: {error}; {remedy}") if remedy else StoreError(f"{path}: {error}")


def _newer(path: str) -> StoreNewerError | None:
    """Return the error for a file that another process migrated to a newer edition since it was opened."""
    if not Path(path).is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as db:
            recognized(db, path)
    except StoreNewerError as newer:
        return newer
    except (StoreError, sqlite3.Error):
        pass
    return None


def damaged(path: str, error: object) -> StoreCorruptError:
    """Return the error for a file whose content cannot be what was written."""
    return StoreCorruptError(
        f"{path}: the database is damaged ({error}); nothing was changed. `convmem doctor --repair`"
        " or `convmem.repair(path)` keep a copy of it and write anew what can be read"
    )


def _read_only(path: str) -> StoreReadOnlyError:
    return StoreReadOnlyError(f"{path}: cannot be written; give write permission to the file and its folder")


def _writable(path: str) -> bool:
    file = Path(path)
    return os.access(file.parent, os.W_OK) and (os.access(file, os.W_OK) or not file.exists())


def _look_at(path: str) -> None:
    """Refuse a file that is no convmem database, before SQLite opens it for writing and may change it."""
    file = Path(path)
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not file.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {file.parent}; make it first") from error
        found = None
    except PermissionError as error:
        raise _unreadable(path) from error
    except OSError as error:
        if error.errno in _NO_NAME:
            raise StoreError(f"{path:.200}: {error.strerror}; choose another path") from error
        raise StoreUnavailableError(f"{path}: cannot be read ({error.strerror}); look at the disk") from error
    if found is not None:
        _look_into(path, found)
    # SQLite would find this out only after it made files beside the database that other users cannot open.
    if not _writable(path):
        raise _read_only(path)


def _look_into(path: str, found: os.stat_result) -> None:
    """Refuse a file that is no database, or another program's database.

    SQLite itself reads the file, in a mode that takes no locks and makes no files (`immutable`,
    https://www.sqlite.org/uri.html). If this function opened and closed the file, all locks that this
    process's connections hold on it would be gone (https://www.sqlite.org/howtocorrupt.html, 2.2): another
    process that closes the database would take itself for the last one and remove the log, and whatever is
    committed here from then on would be lost.
    """
    if stat.S_ISDIR(found.st_mode):
        raise StoreFormatError(f"{path}: is a folder; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise StoreFormatError(f"{path}: is not a regular file; choose another path")
    if not os.access(path, os.R_OK):
        raise _unreadable(path)
    if 0 < found.st_size < _SMALLEST_PAGE:
        raise StoreFormatError(f"{path}: is not a SQLite database; choose another path")
    with unavailable(path):
        db = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            owner = db.execute("PRAGMA application_id").fetchone()[0]
            if owner != APPLICATION_ID and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise _foreign(path)
        finally:
            db.close()


def _unreadable(path: str) -> StoreReadOnlyError:
    return StoreReadOnlyError(
        f"{path}: cannot be read; give read and write permission to the file and its folder"
    )


def _foreign(path: str) -> StoreFormatError:
    return StoreFormatError(f"{path}: is the SQLite database of another program; choose another path")


def _bring_up_to_date(db: sqlite3.Connection, opening: Opening) -> None:
    path = opening.path
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreError(f"SQLite {needed} or newer is needed; this Python has {sqlite3.sqlite_version}")
    recognized(db, path)
    if applied(db) != set(MIGRATIONS):
        _migrate(db, opening)
    elif not opening.in_memory:
        # Raise for a file that cannot be written now, and not at the first turn. BEGIN IMMEDIATE alone
        # succeeds on a file that is opened read-only, so a statement that would write follows.
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("DELETE FROM store WHERE 0")
        finally:
            db.execute("ROLLBACK")
    use_wal(db, opening.open_ms / 1000)


def _migrate(db: sqlite3.Connection, opening: Opening) -> None:
    """Bring a new file, or one of an earlier edition, up to date, unless another process was first.

    The migration is one transaction in WAL mode: the old content is not written over before all of the new
    is in the log beside the file and committed, and until then readers go on reading the old.
    """
    path = opening.path
    if earlier := bool(applied(db)):
        use_wal(db, opening.open_ms / 1000)
        db.execute(f"PRAGMA busy_timeout = {max(opening.open_ms, _MIGRATION_MS)}")
        db.execute(f"PRAGMA cache_size = -{_MIGRATION_CACHE_KIB}")
    started, turns = time.monotonic(), None
    # Tables are dropped that others name; `foreign_key_check` checks all rows at the end instead.
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("BEGIN IMMEDIATE")
    try:
        recognized(db, path)  # another process may have been first
        if applied(db) != set(MIGRATIONS):
            from convmem.stores.sqlite.schema import migrate  # noqa: PLC0415 (200 ms that only a due migration pays)

            migrate(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            turns = db.execute("SELECT count(*) FROM turns").fetchone()[0]
        db.execute("COMMIT")
    except (LookupError, sqlite3.IntegrityError) as error:
        raise damaged(path, error) from error
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    if earlier:
        db.execute(f"PRAGMA busy_timeout = {int(opening.busy_ms)}")
        # The log holds names that the migration removed. If readers need it now, forgetting empties it later.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        db.execute(f"PRAGMA busy_timeout = {int(opening.open_ms)}")
        if turns is not None:
            took = time.monotonic() - started
            log.info("%s: brought from an earlier edition to this one, %d turns in %.1f s", path, turns, took)


def recognized(db: sqlite3.Connection, path: str) -> None:
    """Raise for another program's database, and for one of a newer convmem."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise _foreign(path)
    if unknown := applied(db) - set(MIGRATIONS):
        names = ", ".join(sorted(unknown))
        raise StoreNewerError(f"{path}: was written by a newer convmem (it has {names}); upgrade convmem")


def applied(db: sqlite3.Connection) -> set[str]:
    """Return the names of the migrations that ran on a database."""
    known = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if db.execute(known).fetchone() is None:
        return set()
    rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'convmem'")
    return {name for (name,) in rows}


def use_wal(db: sqlite3.Connection, wait_s: float) -> None:
    """Switch to write-ahead logging, trying for so many seconds, as SQLite itself does not wait here."""
    until = time.monotonic() + wait_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
