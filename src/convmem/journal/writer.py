"""The journal's writer: one thread that aligns and commits, in batches, and keeps what cannot be written yet.

Every change of a store goes through here. A job first plans its write from the session's tree; the writes
of all waiting jobs are committed together; a session that another process changed in between is planned
again. What the store cannot take now waits in a bounded spill and is written, in order, once it can: inserts
are idempotent, so trying again never doubles.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from convmem.errors import (
    ClosedError,
    ConvmemError,
    JournalError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
)
from convmem.journal.forest import Forest
from convmem.journal.job import Job, NotYetError
from convmem.threads.locks import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from convmem.protocols import SessionRef, Store, Write

__all__ = ["Journal"]

log = logging.getLogger("convmem")

T = TypeVar("T")

_BATCH = 64
_SPILL_LIMIT = 1_000
_FIRST_RETRY_S = 0.02
_LAST_RETRY_S = 1.0
_PATIENCE_S = 5.0  # with other processes, of those who flush or close
_CONFLICT_ROUNDS = 100


class Journal:
    """The writer thread and its queue.

    Args:
        store: where to write.
        on_trouble: told once when writing begins to fail.
        on_healed: told, with the number of jobs, when what had waited is written.

    Attributes:
        overdue: a call waited for it in vain, and nothing was written since: the calls after it wait less.
        held: another process keeps the store's lock and writes nothing: there is no use in waiting for it.
    """

    def __init__(
        self, store: Store, *, on_trouble: Callable[[str], None], on_healed: Callable[[int], None]
    ) -> None:
        self.store = store
        self.forest = Forest(store)
        self._on_trouble = on_trouble
        self._on_healed = on_healed
        self._reset()

    def _reset(self) -> None:
        self._changed = Condition()
        self._queue: deque[Job[Any]] = deque()
        self._spill: deque[Job[Any]] = deque()
        self._working: tuple[Job[Any], ...] = ()
        self._busy = False
        self._closing = False
        self._give_up_at = 0.0
        self._retry_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._trouble: StoreError | None = None
        self._tries = 0
        self._written = 0
        self.overdue = self.held = False
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked child: the thread is gone, and what was queued is the parent's to write."""
        self.forest.clear()
        self._reset()

    @property
    def in_trouble(self) -> bool:
        """Whether writing fails, and `on_trouble` has been told so."""
        return self._trouble is not None

    @property
    def waiting(self) -> int:
        """How many jobs wait in the spill."""
        return len(self._spill)

    def holds(self, ref: SessionRef, *, besides: Job[Any]) -> bool:
        """Whether something that may belong to a session waits to be written.

        Args:
            ref: the session.
            besides: the job that asks.
        """
        with self._changed:
            waiting = [*self._queue, *self._spill, *self._working]
        return any(
            job is not besides
            and not job.finished
            and (job.ref == ref or (job.ref is None and job.user == ref.user))
            for job in waiting
        )

    def submit(self, job: Job[T]) -> Future[T]:
        """Queue a job.

        Raises:
            ClosedError: the journal was closed.
            JournalError: its thread cannot be started; the next job tries again.
        """
        with self._changed:
            if self._closing:
                raise ClosedError("this Memory is closed; open another one on the same store")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="convmem-journal", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise JournalError(f"the machine gives no thread to write with: {error}") from error
                self._thread = thread
            self._queue.append(job)
            self._changed.notify_all()
        return job.outcome

    def flush(self, timeout: float | None = None) -> None:
        """Wait until nothing is queued and the spill is empty.

        Raises:
            JournalError: the spill cannot be written, or `timeout` seconds were not enough.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._retry_at = 0.0
            tried, patience = self._tries, time.monotonic() + _PATIENCE_S
            self._changed.notify_all()
            while self._queue or self._busy or self._spill:
                hopeless = self._trouble is not None or time.monotonic() > patience
                if hopeless and self._spill and not self._queue and not self._busy and self._tries > tried:
                    raise JournalError(
                        f"{len(self._spill)} writes are waiting:"
                        f" {self._trouble or 'another process holds the store'}; they are tried again"
                    ) from self._trouble
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise JournalError(f"{timeout} s were not enough to write what is queued")
                self._changed.wait(left)

    def close(self, timeout: float | None = None) -> bool:
        """Write what is queued, try the spill once more, and end the thread; twice is fine.

        When all that is wrong is that another process holds the store, the spill is tried for most of
        `timeout` seconds, or a few without one.

        Returns:
            Whether the thread has ended; else the store is still in use after `timeout` seconds.
        """
        with self._changed:
            if not self._closing:
                self._closing = True
                self._give_up_at = time.monotonic() + (_PATIENCE_S if timeout is None else 0.75 * timeout)
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            return not thread.is_alive()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                while not self._due():
                    if self._closing and not self._queue:
                        break
                    self._changed.wait(self._pause())
                jobs = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                last = self._closing and not self._queue
                self._busy = True
            self._work(jobs, last=last)
            # Jobs hold calls, and those the Memory, which nobody else may hold any more.
            self._working = ()
            del jobs
            if last:
                while self._spill and self._trouble is None and time.monotonic() < self._give_up_at:
                    time.sleep(_FIRST_RETRY_S)
                    self._work((), last=True)
                self._end()
                return

    def _due(self) -> bool:
        return bool(self._queue) or bool(self._spill and time.monotonic() >= self._retry_at)

    def _pause(self) -> float | None:
        return max(0.0, self._retry_at - time.monotonic()) if self._spill else None

    def _end(self) -> None:
        with self._changed:
            lost = len(self._spill)
            for job in self._spill:
                job.fail(self._trouble or ClosedError("the Memory was closed"))
            self._spill.clear()
            self._busy = False
            self._changed.notify_all()
        if lost:
            log.error("%d writes could not be journaled before closing: %s", lost, self._trouble)

    def _work(self, jobs: Sequence[Job[Any]], *, last: bool) -> None:
        """Write the jobs, and before them what waits in the spill, when that is due."""
        if self._spill and not last and time.monotonic() < self._retry_at:
            # Order is kept: nothing overtakes what waits, nor makes it wait longer.
            self._put_off(jobs, self._trouble or StoreLockedError("another process holds the store"))
            return
        waiting, written = len(self._spill), self._written
        everything = [*self._spill, *jobs]
        self._working = tuple(everything)
        self._spill.clear()
        self._tries += 1
        error = self._commit(everything)
        if error is not None:
            self._retry_at = time.monotonic() + self._retry_s
            self.held = isinstance(error, StoreLockedError) and error.held
            if not isinstance(error, StoreLockedError):
                self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
            self._put_off([job for job in everything if not job.finished], error)
        elif waiting or self._written > written:
            self._retry_s = _FIRST_RETRY_S
            if self._trouble is not None:
                self._trouble = None
                self._on_healed(waiting)

    def _commit(self, jobs: Sequence[Job[Any]]) -> StoreError | None:
        """Plan and write until all are written; returns what kept the rest from it."""
        left = list(jobs)
        idle = 0
        while left:
            try:
                self._round(left)
            except StoreError as error:
                return error
            before, left = len(left), [job for job in left if not job.finished]
            idle = idle + 1 if len(left) == before else 0
            if idle > _CONFLICT_ROUNDS:
                return StoreLockedError("other processes keep changing the session")
        return None

    def _round(self, jobs: Sequence[Job[Any]]) -> None:
        """One transaction, with at most one job per session.

        Jobs of a session keep their order. One that has yet to find its session is planned when everything
        of its user's before it is written, and holds up what comes after it.
        """
        planned: list[tuple[Job[Any], Write]] = []
        taken: set[SessionRef] = set()
        users: set[str | None] = set()
        unsettled: set[str | None] = set()
        for job in jobs:
            ref = job.ref
            ready = job.user not in users if ref is None else ref not in taken and job.user not in unsettled
            write = self._planned(job) if ready else None
            if write is not None:
                planned.append((job, write))
                ref = write.ref
            if job.finished:
                continue
            users.add(job.user)
            if ref is None:
                unsettled.add(job.user)
            else:
                taken.add(ref)
        if planned:
            self._write(planned)

    def _planned(self, job: Job[Any]) -> Write | None:
        """What to write for a job; None when there is nothing, or not yet."""
        try:
            write = job.plan(self.forest)
        except NotYetError:
            return None
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 (one job's defect must not end the thread)
            self._defect(job, error)
            return None
        if write is None:
            job.finish(None)
        return write

    def _defect(self, job: Job[Any], error: Exception) -> None:
        """An unexpected error: the job is tried once more, plainer, or fails; loudly, as nobody may wait."""
        if not isinstance(error, ConvmemError):
            log.error("what is to be journaled cannot be written as it is", exc_info=error)
            try:
                if job.plainer():
                    return
            except Exception as again:  # noqa: BLE001 (one job's defect must not end the thread)
                error = again
        job.fail(error)

    def _write(self, planned: Sequence[tuple[Job[Any], Write]]) -> None:
        """Write what is planned, less the jobs whose session has moved on."""
        try:
            results = self.store.write([write for _, write in planned])
        except StoreUnavailableError:
            raise
        except Exception as error:
            if len(planned) > 1:  # which of them cannot be written?
                for pair in planned:
                    self._write([pair])
                return
            if isinstance(error, StoreError):
                raise
            self._defect(planned[0][0], error)
            return
        for (job, _), written in zip(planned, results, strict=True):
            if written.ids is not None:
                self._written += 1
                self.overdue = self.held = False
                job.finish(written)

    def _put_off(self, jobs: Sequence[Job[Any]], error: StoreError) -> None:
        """Keep jobs for later, or fail them when their caller would rather know or the spill is full.

        Whoever waits for another process goes on waiting; of other trouble they are told.
        """
        locked = isinstance(error, StoreLockedError)
        if not locked and self._trouble is None:
            self._trouble = error
            self._on_trouble(f"the journal cannot be written: {error}; turns wait and are tried again")
        for job in jobs:
            if job.patient:
                job.fail(error)
            elif len(self._spill) >= _SPILL_LIMIT:
                job.fail(JournalError(f"{_SPILL_LIMIT} writes are waiting already: {error}"))
            else:
                self._spill.append(job)
                if not locked:
                    job.refuse(error)
