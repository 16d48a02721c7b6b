"""Runs the one thread that writes to a store: it plans jobs, commits them in batches, and retries later.

Every change of a store is submitted here, by `call`, `direct`, `context` and `retrieve`. A job first plans
its write from the session's tree; the writes of all waiting jobs are committed together; a job whose session
another process changed in between is planned again. A job that the store cannot take now waits in a bounded
list, the spill, and is written, in order, once the store can: inserts are idempotent, so trying again never
doubles. Other changes (forgetting, pins, and the loose ones: epochs, views, learnt limits) have a transaction
each.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
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
from convmem.journal.job import Change, Job, NotYetError
from convmem.threads.locks import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from convmem.journal.job import Task
    from convmem.protocols import SessionRef, Store, Write

__all__ = ["Journal"]

log = logging.getLogger("convmem")

T = TypeVar("T")

_BATCH = 64
"""Jobs in one transaction, at most: 64 calls that wait for one commit are served together, in some 20 ms."""
_SPILL_LIMIT = 1_000
"""Jobs that may wait for a store that cannot be written; each may hold a whole conversation in memory."""
_FIRST_RETRY_S = 0.02
"""Seconds before the first retry: as long as a write takes, so another process that holds the store is mostly
done by then."""
_LAST_RETRY_S = 1.0
"""Seconds between two tries, at most, so that a disk with room again is noticed within a second."""
_PATIENCE_S = 5.0
"""Seconds for which `flush` and `close` wait for other processes, whose writes take milliseconds each."""
_CONFLICT_ROUNDS = 100
"""Rounds in a row that may write nothing because another process changed the sessions between plan and write.
Two processes that write in turns need one; a hundred means that something is wrong."""


@dataclass(frozen=True, slots=True)
class _Retry:
    """Whether the store can be written, as far as is known: one value, replaced under the journal's lock.

    Attributes:
        trouble: the error with which writing fails; None while it succeeds, or while a lock is all that is
            wrong.
        held: another process keeps the store's lock and writes nothing.
        at: the monotonic time before which the spill is not tried again.
        pause_s: seconds between the next try and the one after it.
        tries: how often writing was tried.
    """

    trouble: StoreError | None = None
    held: bool = False
    at: float = 0.0
    pause_s: float = _FIRST_RETRY_S
    tries: int = 0

    @property
    def due(self) -> bool:
        """Whether the spill may be tried again by now."""
        return time.monotonic() >= self.at

    @property
    def why(self) -> StoreError:
        """The error that tells why nothing can be written now."""
        return self.trouble or StoreLockedError("another process holds the store")

    def begun(self) -> _Retry:
        """The state when one more try begins."""
        return replace(self, tries=self.tries + 1)

    def failed(self, error: StoreError) -> _Retry:
        """The state after a failed try. For a lock the pause stays short: other processes' writes take ms."""
        at = time.monotonic() + self.pause_s
        if isinstance(error, StoreLockedError):
            return replace(self, held=error.held, at=at)
        pause_s = min(2 * self.pause_s, _LAST_RETRY_S)
        return replace(self, trouble=self.trouble or error, held=False, at=at, pause_s=pause_s)

    def succeeded(self) -> _Retry:
        """The state after a try that the store took."""
        return _Retry(tries=self.tries)

    def at_once(self) -> _Retry:
        """The state when somebody asks for the next try now."""
        return replace(self, at=0.0)


class Journal:
    """The writer thread of one Memory and its queue; the thread starts with the first task.

    Args:
        store: where to write.
        on_trouble: told once, with a text, when writing begins to fail.
        on_healed: told, with the number of jobs that had waited, when those are written.

    Attributes:
        overdue: a call waited for the writer in vain, and nothing was written since: the next calls wait
            less.
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
        self._queue: deque[Task[Any]] = deque()
        self._loose: deque[Change[Any]] = deque()
        self._again: list[Change[Any]] = []  # loose changes that wait until the store has taken a write
        self._spill: deque[Task[Any]] = deque()
        self._working: tuple[Task[Any], ...] = ()
        self._retry = _Retry()
        self._give_up_at: float | None = None  # set when the journal is closed
        self.overdue = False
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked child: the thread is gone, and the parent writes the queued tasks."""
        self.forest.clear()
        self._reset()

    @property
    def in_trouble(self) -> bool:
        """Whether writing fails, and `on_trouble` has been told so."""
        return self._retry.trouble is not None

    @property
    def held(self) -> bool:
        """Whether another process keeps the store's lock and writes nothing: waiting is of no use then."""
        return self._retry.held

    @property
    def waiting(self) -> int:
        """How many jobs wait in the spill."""
        return len(self._spill)

    def holds(self, ref: SessionRef, *, besides: Job[Any]) -> bool:
        """Whether turns that may belong to a session wait to be written.

        Args:
            ref: the session.
            besides: a job that does not count: the one on whose behalf this is asked.
        """
        with self._changed:
            waiting = [*self._queue, *self._spill, *self._working]
        return any(
            job is not besides
            and isinstance(job, Job)
            and not job.finished
            and (job.ref == ref or (job.ref is None and job.user == ref.user))
            for job in waiting
        )

    def submit(self, task: Task[T]) -> Future[T]:
        """Queue a job or a change, and start the thread if it does not run.

        A change that the writer thread itself submits (a hook that pins something) is done at once, since the
        thread cannot wait for itself.

        Raises:
            ClosedError: the journal was closed.
            JournalError: its thread cannot be started; the next job tries again.
        """
        if isinstance(task, Change) and threading.current_thread() is self._thread:
            self._change(task)
            return task.outcome
        with self._changed:
            if self._give_up_at is not None:
                raise ClosedError("this Memory is closed; open another one on the same store")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="convmem-journal", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise JournalError(
                        f"the thread that writes the journal cannot be started: {error}"
                    ) from error
                self._thread = thread
            if isinstance(task, Change) and task.loose:
                self._loose.append(task)
            else:
                self._queue.append(task)
            self._changed.notify_all()
        return task.outcome

    def flush(self, timeout: float | None = None) -> None:
        """Wait until nothing is queued and the spill is empty; loose changes are not waited for.

        Raises:
            JournalError: the spill cannot be written, or `timeout` seconds were not enough.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._retry = self._retry.at_once()
            tried, patience = self._retry.tries, time.monotonic() + _PATIENCE_S
            self._changed.notify_all()
            while self._queue or self._working or self._spill:
                trouble = self._retry.trouble
                hopeless = trouble is not None or time.monotonic() > patience
                idle = not self._queue and not self._working
                if hopeless and self._spill and idle and self._retry.tries > tried:
                    raise JournalError(
                        f"{len(self._spill)} writes are waiting: {self._retry.why}; they are tried again"
                    ) from trouble
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise JournalError(f"the queued writes were not done within {timeout} s")
                self._changed.wait(left)

    def close(self, timeout: float | None = None) -> bool:
        """Write what is queued, try the spill once more, and end the thread; twice is fine.

        When all that is wrong is that another process holds the store, the spill is tried for most of
        `timeout` seconds, or a few without one.

        Returns:
            Whether the thread has ended; else the store is still in use after `timeout` seconds.
        """
        with self._changed:
            if self._give_up_at is None:
                # A quarter of the time is left to the threads and the store, which are closed after the
                # journal.
                self._give_up_at = time.monotonic() + (_PATIENCE_S if timeout is None else 0.75 * timeout)
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            return not thread.is_alive()
        return True

    # The writer thread's own methods. A step keeps no task in a variable that outlives it: jobs hold calls,
    # and calls hold the Memory, which must be free to be collected when nobody else holds it any more.

    def _run(self) -> None:
        while self._step():
            pass
        while self._spill and not self.in_trouble and time.monotonic() < (self._give_up_at or 0.0):
            time.sleep(_FIRST_RETRY_S)
            self._work(*self._taken(last=True))
        self._end()

    def _step(self) -> bool:
        """Wait for work and do one batch of it; False when the journal was closed and nothing is queued."""
        with self._changed:
            while not (self._queue or self._loose or (self._spill and self._retry.due)):
                if self._give_up_at is not None:
                    break
                self._changed.wait(max(0.0, self._retry.at - time.monotonic()) if self._spill else None)
            last = self._give_up_at is not None and len(self._queue) <= _BATCH
        self._work(*self._taken(last=last))
        # One loose change after each batch of jobs, so that a call waits for one at most.
        self._work_loose()
        return not last

    def _taken(self, *, last: bool) -> tuple[Sequence[Task[Any]], int | None]:
        """Take the jobs to write now: the spill, when it is due or this is the last time, and a batch.

        Returns:
            The jobs, and how many of them come from the spill: None when the spill is not due. Then the batch
            must go behind the spill, so that no job overtakes an earlier one of its session.
        """
        with self._changed:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            if self._spill and not last and not self._retry.due:
                self._working = tuple(batch)
                return batch, None
            everything, waited = (*self._spill, *batch), len(self._spill)
            self._spill.clear()
            self._working = everything
            if everything:
                self._retry = self._retry.begun()
            return everything, waited

    def _work(self, jobs: Sequence[Task[Any]], waited: int | None) -> None:
        """Write the jobs; those that the store does not take go into the spill.

        Args:
            jobs: the jobs, those of the spill first.
            waited: how many of them come from the spill; None when the spill is not due.
        """
        if waited is None:
            self._put_off(jobs, self._retry.why)
        elif (error := self._commit(jobs)) is not None:
            told = self.in_trouble
            with self._changed:
                self._retry = self._retry.failed(error)
            if self.in_trouble and not told:
                detail = f"the journal cannot be written: {error}; turns wait and are tried again"
                self._on_trouble(detail)
            self._put_off([job for job in jobs if not job.finished], error)
        elif waited or any(job.written for job in jobs):
            healed = self.in_trouble
            with self._changed:
                self._retry = self._retry.succeeded()
                self._loose.extend(self._again)
                self._again.clear()
            if healed:
                self._on_healed(waited)
        with self._changed:
            self._working = ()
            self._changed.notify_all()

    def _work_loose(self) -> None:
        """Carry out one loose change, unless it is known that the store cannot be written."""
        with self._changed:
            if not self._loose:
                return
            change = self._loose.popleft()
            error = self._retry.why if self._spill else None
        if error is None:
            self._change(change)
        else:
            self._not_now(change, error)

    def _change(self, change: Change[Any]) -> None:
        """Carry out one change, and give its result or its error to whoever waits."""
        try:
            result = change.apply(self.forest)
        except Exception as error:  # noqa: BLE001 (handed to whoever waits)
            self._not_now(change, error)
        else:
            change.finished = change.written = True
            change.resolve(result)

    def _not_now(self, change: Change[Any], error: Exception) -> None:
        """Keep a failed change for later where it asks for that, else give its error to who submitted it."""
        if change.tried_again and isinstance(error, StoreUnavailableError):
            with self._changed:
                self._again.append(change)
        else:
            change.fail(error)

    def _end(self) -> None:
        """Try the loose changes a last time when the journal is closed, and give up what is left."""
        with self._changed:
            self._loose.extend(self._again)
            self._again.clear()
        while self._loose and time.monotonic() < (self._give_up_at or 0.0):
            self._work_loose()
        with self._changed:
            left = (*self._spill, *self._loose, *self._again)
            lost, trouble = len(self._spill), self._retry.trouble
            for waiting in (self._spill, self._loose, self._again):
                waiting.clear()
            self._working = ()
            self._changed.notify_all()
        for task in left:
            task.fail(trouble or ClosedError("the Memory was closed"))
        if lost:
            log.error("%d writes could not be journaled before closing: %s", lost, trouble)

    def _commit(self, jobs: Sequence[Task[Any]]) -> StoreError | None:
        """Plan and write jobs until all are written; returns the error that kept some from it, or None."""
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

    def _round(self, jobs: Sequence[Task[Any]]) -> None:
        """Write one transaction, with at most one job per session; then carry out the changes that are next.

        Jobs of a session keep their order. A change, and a job that has yet to find its session, wait until
        everything of their user before them is written, and hold up what comes after them.
        """
        planned: list[tuple[Job[Any], Write]] = []
        changes: list[Change[Any]] = []
        taken: set[SessionRef] = set()
        users: set[str | None] = set()
        unsettled: set[str | None] = set()
        for job in jobs:
            ref = job.ref
            ready = job.user not in users if ref is None else ref not in taken and job.user not in unsettled
            if ready and isinstance(job, Change):
                changes.append(job)
            elif ready and isinstance(job, Job) and (write := self._planned(job)) is not None:
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
        for change in changes:
            self._change(change)
            if change.written:
                change.hand_over()

    def _planned(self, job: Job[Any]) -> Write | None:
        """The write of a job; None when there is nothing to write, or not yet."""
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
        """Handle an unexpected error of a job: have it tried again with plainer messages, or fail it.

        The error is logged, as nobody may be waiting for the job any more.
        """
        if not isinstance(error, ConvmemError):
            log.error("a turn cannot be journaled as it is; its text is tried instead", exc_info=error)
            try:
                if job.plainer():
                    return
            except Exception as again:  # noqa: BLE001 (one job's defect must not end the thread)
                error = again
        job.fail(error)

    def _write(self, planned: Sequence[tuple[Job[Any], Write]]) -> None:
        """Commit what is planned; a job whose session another process changed stays unfinished."""
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
        for (job, write), written in zip(planned, results, strict=True):
            if written.ids is not None:
                self.overdue = False
                job.finish(written)  # before `wrote`: it looks at the tree that the job was planned from
            self.forest.wrote(write, written)

    def _put_off(self, jobs: Sequence[Task[Any]], error: StoreError) -> None:
        """Put jobs into the spill, or fail them when their caller would rather know or the spill is full.

        Where another process holds the store, whoever waits for a job goes on waiting; any other error is
        given to them, while the job stays in the spill.
        """
        for job in jobs:
            if job.patient:
                job.fail(error)
            elif len(self._spill) >= _SPILL_LIMIT:
                job.fail(JournalError(f"{_SPILL_LIMIT} writes are waiting already: {error}"))
            else:
                with self._changed:
                    self._spill.append(job)
                if not isinstance(error, StoreLockedError):
                    job.refuse(error)
