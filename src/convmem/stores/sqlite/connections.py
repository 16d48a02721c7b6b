"""SQLite connections, one that writes and several that read, none of which crosses a fork.

SQLite keeps its file locks by process and remembers them per file. A connection opened in a forked child
while one of the parent's was open finds them remembered and takes none of its own: once the parent lets go,
other processes remove the write-ahead log the child still writes to, and its commits are lost. So every
connection is closed before a fork, with no transaction under way, and opened again, on both sides, by its
next use.

With a write-ahead log readers wait neither for the writer nor for each other. One reader is open always, more
are opened when several threads read at once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from convmem.errors import StoreError, StoreLockedError, StoreUnavailableError
from convmem.stores.sqlite.opening import connect, damaged, unavailable
from convmem.threads.living import Living
from convmem.threads.locks import Condition, Lock, keep_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from convmem.stores.sqlite.opening import Opening

__all__ = ["Connections"]

T = TypeVar("T")

_READERS = 4
"""Threads that read one file at once: a call being composed, a partition being loaded, an export, one more.
Python runs one thread at a time, so that more would only wait for it instead."""
_MORE_READERS = 64
"""Readers besides the first of each file, of all files of the process together: each takes two file
descriptors, and a process may often have 1,024 in all."""
_UNUSED_S = 60.0
"""A reader that was not needed for so long is closed when another comes back."""
_SCARCE_S = 10.0
"""For so long no more readers are opened after one could not be: the process may have no descriptor left."""
_AGAIN_S = 0.05
"""So often a fork interrupts a long read that is between two statements."""
_INTERRUPTED = 3
"""So often a long read begins again after a fork; then the next fork waits for it."""
_PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
_LOG_BUSY_MS = 20
_WRITE_LOCK = 120
"""The byte of the `-shm` file that SQLite's writer locks (WAL_WRITE_LOCK, sqlite.org/walformat.html)."""
_LOCK_FIELDS = 8


class _Line:
    """One connection, used by one thread at a time, and opened when it is used.

    Args:
        opening: the file, and how it is opened.
        key: the store's key, where it is known: a file with another one is not ours.
        reads: nothing is changed through it; SQLite is told so.
    """

    def __init__(self, opening: Opening, key: bytes | None = None, *, reads: bool = False) -> None:
        self.opening = opening
        self.key = key
        self.used_at = 0.0
        self._reads = reads
        self._db: sqlite3.Connection | None = None
        self._closed = False

    def db(self, *, checked: bool = False) -> sqlite3.Connection:
        """The connection, opened when there is none."""
        if self._db is None:
            self._db = self._open(checked=checked)
        return self._db

    def _open(self, *, checked: bool) -> sqlite3.Connection:
        path = self.opening.path
        if self._closed:
            raise _closed(path)
        again = self.key is not None
        if again and not Path(path).exists():
            raise StoreError(f"{path}: the file is gone; open another store")
        db = connect(self.opening, checked=checked or again)
        try:
            self._recognize(db)
            if self._reads:
                db.execute("PRAGMA query_only = ON")
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

    def interrupt(self) -> None:
        """End the statement that another thread runs on it."""
        if (db := self._db) is not None:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                db.interrupt()

    def let_go(self) -> None:
        """Close the connection; the next use opens another."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        """Close for good."""
        self._closed = True
        self.let_go()


def _closed(path: str) -> StoreError:
    return StoreError(f"{path}: this store is closed; open another one")


class _Readers:
    """Connections that read one file, lent to one thread each.

    Args:
        opening: the file. Its first reader is opened now.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._changed = Condition()
        self._closed = False
        self._forking = 0  # threads that are about to fork: until then nothing more is lent
        self._scarce_until = 0.0
        first = _Line(opening, reads=True)
        first.db(checked=True)
        self._key = first.key
        self._idle = [first]  # the one used last at the end
        self._lent: dict[_Line, int] = {}  # by whom: ids of threads
        self._long: set[_Line] = set()  # lent for long, besides the others

    @contextmanager
    def lent(self, *, writes: bool) -> Generator[_Line]:
        """One of them, open.

        Args:
            writes: the thread that writes asks: there is one more for it, so that it waits for no reader.
        """
        line = self._borrow(writes=writes)
        try:
            yield line
        finally:
            self._take_back(line)

    def _borrow(self, *, writes: bool) -> _Line:
        most = _READERS + writes
        with self._changed:
            while True:
                if self._closed:
                    raise _closed(self._opening.path)
                if len(self._lent) < most and not self._forking:
                    if self._idle:
                        line = self._idle.pop()
                        break
                    if self._may_open():
                        line = _Line(self._opening, self._key, reads=True)
                        break
                self._changed.wait()
            self._lent[line] = threading.get_ident()
        try:
            line.db()
        except StoreUnavailableError:
            with self._changed:
                others = bool(self._idle) or len(self._lent) > 1
                if others:  # one of those will do
                    self._scarce_until = time.monotonic() + _SCARCE_S
                    del self._lent[line]
            if not others:
                self._take_back(line)
                raise
            return self._borrow(writes=writes)
        except BaseException:
            self._take_back(line)
            raise
        return line

    def _may_open(self) -> bool:
        """Whether another reader may be opened; the first one always."""
        if not self._lent and not self._idle:
            return True
        return time.monotonic() >= self._scarce_until and _more_readers() < _MORE_READERS

    def _take_back(self, line: _Line) -> None:
        with self._changed:
            del self._lent[line]
            now = line.used_at = time.monotonic()
            if self._closed:
                line.close()
            else:
                self._idle.append(line)
                oldest = self._idle[0]
                if self.more and (now - oldest.used_at > _UNUSED_S or _more_readers() > _MORE_READERS // 2):
                    self._idle.remove(oldest)
                    oldest.close()
            self._changed.notify_all()

    @property
    def more(self) -> int:
        """How many there are besides the first."""
        return max(0, len(self._idle) + len(self._lent) - 1)

    @contextmanager
    def apart(self) -> Generator[_Line]:
        """A connection besides the others, for as long as it takes; forking and closing interrupt it."""
        line = _Line(self._opening, self._key, reads=True)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._forking)
            if self._closed:
                raise _closed(self._opening.path)
            self._long.add(line)
        try:
            line.db()
            yield line
        finally:
            with self._changed:
                line.close()
                self._long.discard(line)
                self._changed.notify_all()

    def _wait_for_others(self) -> None:
        """Wait until no other thread reads; the lock is held."""
        me = threading.get_ident()
        while self._long or any(thread != me for thread in self._lent.values()):
            for line in self._long:
                line.interrupt()
            self._changed.wait(_AGAIN_S if self._long else None)

    def close(self) -> None:
        """Wait for those that read, and close all for good."""
        with self._changed:
            self._closed = True
            for line in self._idle:
                line.close()
            self._wait_for_others()
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait for those that read, keep others out, and close all but the first, which is let go."""
        self._changed.acquire()
        self._forking += 1
        self._wait_for_others()
        for line in (*self._idle, *self._lent):
            line.let_go()
        del self._idle[1:]

    def after_fork(self, *, child: bool) -> None:
        """Let others in again."""
        self._forking = 0 if child else self._forking - 1
        self._changed.notify_all()
        self._changed.release()


class Connections:
    """One connection for writing and several for reading, or one for all when the database is in memory.

    Args:
        opening: the file and how it is opened. It is opened now.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._writer = _Line(opening)
        self._writing = Lock()
        self._thread = threading.local()
        self._seen: tuple[int, int] | None = None
        self.readers: _Readers | None = None
        keep_whole(self)
        _ALL.add(self)
        with self._writing:  # a fork waits for it: half open, a connection would cross it
            try:
                self._writer.db()
                if not opening.in_memory:
                    self.readers = _Readers(opening)
            except BaseException:
                self.close()
                raise

    @property
    def key(self) -> bytes:
        """The store's key."""
        return self._writer.key or b""

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection that sees one state of the database throughout.

        Not for what takes seconds, lest all are lent to slow threads: for that there is `apart`.
        """
        if self.readers is None:
            with self._writing, self._transaction(self._writer, "BEGIN") as db, self._understood():
                yield db
            return
        writes = getattr(self._thread, "writes", False)
        with (
            self.readers.lent(writes=writes) as line,
            self._transaction(line, "BEGIN") as db,
            self._understood(),
        ):
            yield db

    @contextmanager
    def _understood(self) -> Generator[None]:
        """Tell what a row says that nobody can have written, a time that is none, as damage of the file."""
        try:
            yield
        except UnicodeEncodeError:  # of what was asked for
            raise
        except (ValueError, TypeError, LookupError) as error:
            raise damaged(self._opening.path, error) from error

    def apart(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read for as long as it takes, on a connection of its own; begun again when a fork interrupts it.

        Args:
            read: reads, given the connection.

        Raises:
            StoreError: the store was closed meanwhile.
        """
        if self.readers is not None:
            for _ in range(_INTERRUPTED):
                try:
                    with self.readers.apart() as line, self._transaction(line, "BEGIN") as db:
                        return read(db)
                except StoreUnavailableError as error:
                    code = getattr(error.__cause__, "sqlite_errorcode", 0)
                    if code == sqlite3.SQLITE_CANTOPEN:  # no descriptor is left: one of the others will do
                        break
                    if code != sqlite3.SQLITE_INTERRUPT:
                        raise
        with self.reading() as db:
            return read(db)

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A connection whose changes are committed at the end, or not at all when an error leaves."""
        self._thread.writes = True
        try:
            with self._writing, self._transaction(self._writer, "BEGIN IMMEDIATE") as db:
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
            log = Path(f"{self._opening.path}-shm").stat().st_ino
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
            log = Path(f"{self._opening.path}-wal").stat()
        except OSError:
            return None
        return log.st_mtime_ns, log.st_size

    @contextmanager
    def _transaction(self, line: _Line, begin: str) -> Generator[sqlite3.Connection]:
        with unavailable(self._opening.path):
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
        if self._opening.in_memory:
            return True
        return any(self._empty_log(pause) for pause in _PAUSES_S)

    def _empty_log(self, pause: float) -> bool:
        time.sleep(pause)
        with self._writing, unavailable(self._opening.path):
            db = self._writer.db()
            db.execute(f"PRAGMA busy_timeout = {_LOG_BUSY_MS}")
            try:
                busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                db.execute(f"PRAGMA busy_timeout = {int(self._opening.busy_ms)}")
        return not busy

    def close(self) -> None:
        """Close all; twice is fine."""
        with self._writing:
            self._writer.close()
        if self.readers is not None:
            self.readers.close()

    def before_fork(self) -> None:
        """Wait for what is under way, keep others out, and close what has a file."""
        self._writing.acquire()
        if self.readers is not None:
            self._writer.let_go()
            self.readers.before_fork()

    def after_fork(self, *, child: bool) -> None:
        """Let others in again."""
        if self.readers is not None:
            self.readers.after_fork(child=child)
        self._writing.release()


_ALL: Living[Connections] = Living()


def _more_readers() -> int:
    """Readers besides the first of each file, in this process."""
    return sum(each.readers.more for each in _ALL.all() if each.readers is not None)
