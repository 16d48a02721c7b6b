"""Manages the SQLite connections of a store: one writes, several read, and none is open across a fork.

SQLite keeps its file locks by process and remembers them per file. A connection opened in a forked child
while one of the parent's was open finds them remembered and takes none of its own: once the parent lets go,
other processes remove the write-ahead log the child still writes to, and its commits are lost. So every
connection is closed before a fork, with no transaction under way, and opened again, on both sides, by its
next use.

With a write-ahead log readers wait neither for the writer nor for each other. One reader is always open, and
more are opened when several threads read at once.
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
"""Threads that may read one file at once: a call being composed, a partition being loaded, an export, one
more. Python runs one thread at a time, so more readers would only wait for the interpreter instead."""
_MORE_READERS = 64
"""Readers besides the first of each file, of all files of the process together: each takes two file
descriptors, and a process often may have only 1,024 in all."""
_UNUSED_S = 60.0
"""Seconds without use after which a reader is closed (when another one is given back): shorter would open and
close readers with every burst of calls, longer would keep file descriptors."""
_SCARCE_S = 10.0
"""Seconds for which no more readers are opened after opening one failed: the process may have no file
descriptor left."""
_AGAIN_S = 0.05
"""Seconds between two interrupts of a long read that a fork waits for: an interrupt that comes between two of
its statements is lost, and has to be sent again."""
_INTERRUPTED = 3
"""How often a long read is begun again after a fork interrupted it; after that, forks wait for the read,
which could otherwise never end in a process that forks often."""
_PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Seconds to wait before each try to empty the write-ahead log: half a second in all, in which ordinary reads
end. A read that takes longer keeps the log, and the report says so."""
_LOG_BUSY_MS = 20
"""Milliseconds that SQLite waits for readers in one such try, during which nobody can write."""
_WRITE_LOCK = 120
"""The byte of the `-shm` file that SQLite's writer locks (WAL_WRITE_LOCK, sqlite.org/walformat.html)."""
_LOCK_FIELDS = 8
"""Columns that a line of /proc/locks must have to be read."""


class _Line:
    """One connection, used by one thread at a time, and opened at its first use.

    Args:
        opening: the file, and how it is opened.
        key: the store's key, where it is known: a file with another key is another store.
        reads: the connection only reads; SQLite refuses to change anything through it.
    """

    def __init__(self, opening: Opening, key: bytes | None = None, *, reads: bool = False) -> None:
        self.opening = opening
        self.key = key
        self.used_at = 0.0
        self._reads = reads
        self._db: sqlite3.Connection | None = None
        self._closed = False

    def db(self, *, checked: bool = False) -> sqlite3.Connection:
        """Return the connection, opening it when there is none.

        Args:
            checked: the file is known to be a current store of convmem.
        """
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
        """Learn the store's key, or check that it is still the same."""
        path = self.opening.path
        with unavailable(path):
            key: bytes = db.execute("SELECT key FROM store").fetchone()[0]
        if self.key not in {None, key}:
            raise StoreError(f"{path}: another database stands in the file's place; open another store")
        self.key = key

    def interrupt(self) -> None:
        """End the statement that another thread runs on the connection."""
        if (db := self._db) is not None:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                db.interrupt()

    def let_go(self) -> None:
        """Close the connection; the next use opens another."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        """Close the connection for good; the next use raises."""
        self._closed = True
        self.let_go()


def _closed(path: str) -> StoreError:
    return StoreError(f"{path}: this store is closed; open another one")


class _Readers:
    """Connections that read one file, each lent to one thread at a time.

    Args:
        opening: the file, whose first reader is opened at once.
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
        self._idle = [first]  # not lent now; the one used last is at the end, and is lent next
        self._lent: dict[_Line, int] = {}  # lent now, each to the thread with this id
        self._long: set[_Line] = set()  # connections of `apart`, which do not count among the others

    @contextmanager
    def lent(self, *, writes: bool) -> Generator[_Line]:
        """Lend a connection to this thread; waits until one is free.

        Args:
            writes: this thread writes too. There is one connection more for it, so that no reader holds up
                the writer.
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
                if others:  # wait for one of the other readers instead
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
        """Whether another reader may be opened; the first one always may."""
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
        """How many readers there are besides the first."""
        return max(0, len(self._idle) + len(self._lent) - 1)

    @contextmanager
    def apart(self) -> Generator[_Line]:
        """Open a connection besides the others for a long read, which forking and closing interrupt."""
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
        """Wait until no other thread reads, interrupting long reads; the lock is held."""
        me = threading.get_ident()
        while self._long or any(thread != me for thread in self._lent.values()):
            for line in self._long:
                line.interrupt()
            self._changed.wait(_AGAIN_S if self._long else None)

    def close(self) -> None:
        """Wait for threads that read, and close all connections for good."""
        with self._changed:
            self._closed = True
            for line in self._idle:
                line.close()
            self._wait_for_others()
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait for threads that read, keep others out, and close all connections; the next use opens one."""
        self._changed.acquire()
        self._forking += 1
        self._wait_for_others()
        for line in (*self._idle, *self._lent):
            line.let_go()
        del self._idle[1:]

    def after_fork(self, *, child: bool) -> None:
        """Lend connections again."""
        self._forking = 0 if child else self._forking - 1
        self._changed.notify_all()
        self._changed.release()


class Connections:
    """One connection for writing and several for reading; a single one when the database is in memory.

    Args:
        opening: the file and how it is opened, which happens at once.
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
        with self._writing:  # a fork waits for this lock, so that no half-open connection is open across it
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
        """Lend a connection that sees one state of the database throughout.

        A read that takes seconds must use `apart` instead: a few of them here would hold up all calls.
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
        """Read for as long as it takes, on a connection apart; begins again when a fork interrupts it.

        Args:
            read: does the reading with the connection, and returns the result.

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
                    if code == sqlite3.SQLITE_CANTOPEN:  # no file descriptor is left: share a reader below
                        break
                    if code != sqlite3.SQLITE_INTERRUPT:
                        raise
        with self.reading() as db:
            return read(db)

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Lend the connection that writes; its changes are committed at the end, or undone after an error."""
        self._thread.writes = True
        try:
            with self._writing, self._transaction(self._writer, "BEGIN IMMEDIATE") as db:
                yield db
        except StoreLockedError as error:
            written = self._written()
            error.held, self._seen = written == self._seen and not self._holder_works(), written
            raise

    def _holder_works(self) -> bool:
        """Whether the process that holds the write lock is running or ready to run, so that it will let go.

        Linux lists locks in /proc/locks. On other systems, and of this process itself, the answer is False.
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
        """Return the time and size of the write-ahead log, which every write changes; None without a log."""
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
        """Empty the write-ahead log, which still holds what was deleted; False when a reader needs it.

        This is tried several times within half a second. Nobody can write while SQLite waits for readers, so
        each try is short.
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
        """Close all connections; closing twice is fine."""
        with self._writing:
            self._writer.close()
        if self.readers is not None:
            self.readers.close()

    def before_fork(self) -> None:
        """Wait for transactions under way, keep other threads out, and close the connections to a file."""
        self._writing.acquire()
        if self.readers is not None:
            self._writer.let_go()
            self.readers.before_fork()

    def after_fork(self, *, child: bool) -> None:
        """Let other threads in again."""
        if self.readers is not None:
            self.readers.after_fork(child=child)
        self._writing.release()


_ALL: Living[Connections] = Living()


def _more_readers() -> int:
    """Count the readers besides the first of each file, in this process."""
    return sum(each.readers.more for each in _ALL.all() if each.readers is not None)
