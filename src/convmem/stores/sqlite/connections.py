"""SQLite connections behind locks, none of which crosses a fork.

SQLite keeps its file locks by process and remembers them per file. A connection opened in a forked child
while one of the parent's was open finds them remembered and takes none of its own: once the parent lets go,
other processes remove the write-ahead log the child still writes to, and its commits are lost. So every
connection is closed before a fork, with no transaction under way, and opened again, on both sides, by its
next use.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convmem.errors import StoreError, StoreLockedError
from convmem.stores.sqlite.opening import connect, unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from convmem.stores.sqlite.opening import Opening

__all__ = ["Connections"]

_PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
_LOG_BUSY_MS = 20
_WRITE_LOCK = 120
"""The byte of the `-shm` file that SQLite's writer locks (WAL_WRITE_LOCK, sqlite.org/walformat.html)."""
_LOCK_FIELDS = 8


class _Line:
    """One connection behind its lock."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.lock = threading.RLock()
        self.key: bytes | None = None
        self._db: sqlite3.Connection | None = None
        self._closed = False

    def db(self, *, checked: bool = False) -> sqlite3.Connection:
        """The connection, opened when there is none; the lock is held."""
        if self._db is None:
            self._db = self._open(checked=checked)
        return self._db

    def _open(self, *, checked: bool) -> sqlite3.Connection:
        path = self.opening.path
        if self._closed:
            raise StoreError(f"{path}: this store is closed; open another one")
        again = self.key is not None
        if again and not Path(path).exists():
            raise StoreError(f"{path}: the file is gone; open another store")
        db = connect(self.opening, checked=checked or again)
        try:
            self._recognize(db)
        except BaseException:
            db.close()
            raise
        return db

    def _recognize(self, db: sqlite3.Connection) -> None:
        """Learn the key, or see that it is still the same."""
        path = self.opening.path
        with unavailable(path):
            key: bytes = db.execute("SELECT key FROM store").fetchone()[0]
        if self.key not in {None, key}:
            raise StoreError(f"{path}: another database stands in the file's place; open another store")
        self.key = key

    def let_go(self) -> None:
        """Close the connection; the next use opens another."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        """Close for good."""
        with self.lock:
            self._closed = True
            self.let_go()


class Connections:
    """One connection for writing and one for reading, or one for both when the database is in memory.

    Args:
        opening: the file and how it is opened. It is opened now.
    """

    def __init__(self, opening: Opening) -> None:
        self._writer = _Line(opening)
        self._reader = self._writer if opening.in_memory else _Line(opening)
        self._seen: tuple[int, int] | None = None
        try:
            self._writer.db()
            self._reader.db(checked=True)
        except BaseException:
            self.close()
            raise
        _ALL.add(self)

    @property
    def key(self) -> bytes:
        """The store's key."""
        return self._writer.key or b""

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection that sees one state of the database throughout."""
        with self._transaction(self._reader, "BEGIN") as db:
            yield db

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A connection whose changes are committed at the end, or not at all when an error leaves."""
        try:
            with self._transaction(self._writer, "BEGIN IMMEDIATE") as db:
                yield db
        except StoreLockedError as error:
            written = self._written()
            error.held, self._seen = written == self._seen and not self._holder_works(), written
            raise

    def _holder_works(self) -> bool:
        """Whether the process that holds the write lock is at work, and only waits for a processor.

        Known on Linux, where the lock stands in a list; elsewhere, and of this process itself, it is not.
        """
        try:
            log = Path(f"{self._writer.opening.path}-shm").stat().st_ino
            held = Path("/proc/locks").read_text(encoding="ascii").splitlines()
            for line in held:
                fields = line.split()  # 1: POSIX ADVISORY WRITE pid major:minor:inode first last
                if len(fields) < _LOCK_FIELDS or fields[3] != "WRITE" or not fields[5].endswith(f":{log}"):
                    continue
                if int(fields[6]) == _WRITE_LOCK and (pid := int(fields[4])) != os.getpid():
                    return any(
                        stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
                        in "RD"
                        for stat in Path(f"/proc/{pid}/task").glob("*/stat")
                    )
        except (OSError, ValueError, IndexError):
            pass
        return False

    def _written(self) -> tuple[int, int] | None:
        """What every write changes: time and size of the write-ahead log; None where there is none."""
        try:
            log = Path(f"{self._writer.opening.path}-wal").stat()
        except OSError:
            return None
        return log.st_mtime_ns, log.st_size

    @contextmanager
    def _transaction(self, line: _Line, begin: str) -> Generator[sqlite3.Connection]:
        with line.lock, unavailable(line.opening.path):
            db = line.db()
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def empty_log(self) -> bool:
        """Empty the write-ahead log, which still holds what was deleted; False when a reader keeps it.

        Tried for half a second. Others cannot write while SQLite waits for readers, so it waits little.
        """
        if self._writer.opening.in_memory:
            return True
        return any(self._empty_log(pause) for pause in _PAUSES_S)

    def _empty_log(self, pause: float) -> bool:
        time.sleep(pause)
        with self._writer.lock, unavailable(self._writer.opening.path):
            db = self._writer.db()
            db.execute(f"PRAGMA busy_timeout = {_LOG_BUSY_MS}")
            try:
                busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                db.execute(f"PRAGMA busy_timeout = {int(self._writer.opening.busy_ms)}")
        return not busy

    def close(self) -> None:
        """Close both; twice is fine."""
        self._writer.close()
        self._reader.close()

    def before_fork(self) -> None:
        """Wait for what is under way, keep others out, and close what has a file."""
        for line in (self._writer, self._reader):
            line.lock.acquire()
            if not line.opening.in_memory:
                line.let_go()

    def after_fork(self) -> None:
        """Let others in again, in the parent and in the child."""
        for line in (self._reader, self._writer):
            line.lock.release()


_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()
_forking = threading.local()


def _before_fork() -> None:
    # In one order for all threads, so that two that fork at once do not wait for each other.
    _forking.held = sorted(_ALL, key=id)
    for connections in _forking.held:
        connections.before_fork()


def _after_fork() -> None:
    held: list[Connections] = getattr(_forking, "held", [])
    _forking.held = []
    for connections in held:
        connections.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
