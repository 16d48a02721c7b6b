"""A pool of background threads that never keep the process from ending."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from concurrent.futures import Future
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from convmem.threads.locks import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Lane", "Pool", "Share"]

T = TypeVar("T")

_Job: TypeAlias = "tuple[Future[Any], Callable[[], Any]]"

_IDLE_S = 10.0
"""Seconds without a job after which a thread ends. Starting another takes .1 ms, so a longer wait would save
little, and a much shorter one would start a thread for nearly every call."""


class Share:
    """A limit of how many threads of a pool some of its lanes may use at once.

    Args:
        most: the number of threads.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0


class Lane:
    """A queue of jobs of one kind; made by `Pool.lane`."""

    def __init__(self, pool: Pool, name: str, shares: Iterable[Share]) -> None:
        self.pool = pool
        self.name = name
        self.shares = tuple(shares)
        self.queue: deque[_Job] = deque()

    @property
    def contended(self) -> bool:
        """Whether a job waits in a more urgent lane that shares a limit with this one."""
        for lane in self.pool.lanes:
            if lane is self:
                return False
            if lane.queue and not set(lane.shares).isdisjoint(self.shares):
                return True
        return False

    @property
    def free(self) -> bool:
        """Whether the lane's limits let its next job begin."""
        return all(share.running < share.most for share in self.shares)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a job. The job must not wait without a limit of time for another job of the same pool."""
        return self.pool.submit(self, work)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Queue a job after so many seconds, unless the pool is closed before."""
        self.pool.later(self, seconds, work)


class Pool:
    """Runs the jobs of several lanes on a few daemon threads.

    The standard library's executor joins its threads at exit: an embedder that hangs would hang the process.

    Args:
        name: the first part of its threads' names; the second is the name of the lane.
        threads: the most threads at once; they start when they are needed, and end when they are not.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self.lanes: list[Lane] = []
        self._numbers = count()
        self._begin()

    def _begin(self) -> None:
        self._changed = Condition()
        self._later: list[tuple[float, int, Lane, Callable[[], object]]] = []
        self._threads = self._idle = 0
        self._closing = False

    def after_fork(self) -> None:
        """Forget threads and queued jobs in a forked child, where the threads are gone."""
        self._begin()
        for lane in self.lanes:
            lane.queue.clear()
            for share in lane.shares:
                share.running = 0

    def lane(self, name: str, *shares: Share) -> Lane:
        """Make a lane whose jobs take precedence over those of the lanes that are made after it.

        Args:
            name: the second part of a thread's name while the thread does a job of this lane.
            shares: limits of how many threads its jobs use; other lanes may have the same limits.
        """
        lane = Lane(self, name, shares)
        self.lanes.append(lane)
        return lane

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Queue a job of a lane; the future has its result."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            lane.queue.append((future, work))
            try:
                self._start()
            except RuntimeError as error:  # the machine gives no more threads, or Python is ending
                if not self._threads:
                    lane.queue.pop()
                    future.set_exception(error)
                    return future
            self._changed.notify()
        return future

    def later(self, lane: Lane, seconds: float, work: Callable[[], object]) -> None:
        """Queue a job of a lane after so many seconds, unless the pool is closed before."""
        with self._changed:
            if self._closing:
                return
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), lane, work))
            try:
                self._start()
            except RuntimeError:  # no thread can be started now; the next one that is finds the job
                return
            self._changed.notify()

    def _start(self) -> None:
        """Start a thread when there are more jobs than threads that wait for one; the lock is held."""
        waiting = sum(len(lane.queue) for lane in self.lanes) or (1 if self._later else 0)
        if waiting > self._idle and self._threads < self._most:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._threads += 1

    def close(self) -> None:
        """End the threads once they have nothing left to do; does not wait for that."""
        with self._changed:
            self._closing = True
            self._later.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        thread = threading.current_thread()
        while (taken := self._next()) is not None:
            lane, (future, work) = taken
            thread.name = f"{self._name}-{lane.name}"
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
                self._give_back(lane)
                future.set_exception(error)
            else:
                self._give_back(lane)
                future.set_result(result)
                del result
            thread.name = self._name
            del taken, lane, future, work  # a thread that waits for a job keeps nothing of the last one alive

    def _give_back(self, lane: Lane) -> None:
        with self._changed:
            for share in lane.shares:
                share.running -= 1
            self._changed.notify()  # a job that waited for the share may begin on a thread that waits for one

    def _next(self) -> tuple[Lane, _Job] | None:
        """Wait for the next job and take it; None when the thread is to end."""
        with self._changed:
            until = time.monotonic() + _IDLE_S
            while True:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    _, _, lane, work = heapq.heappop(self._later)
                    lane.queue.append((Future(), work))
                for lane in self.lanes:
                    if lane.queue and lane.free:
                        for share in lane.shares:
                            share.running += 1
                        return lane, lane.queue.popleft()
                if self._closing or (now >= until and not self._later):
                    self._threads -= 1
                    return None
                next_s = self._later[0][0] if self._later else until
                self._idle += 1
                self._changed.wait(max(0.0, next_s - now))
                self._idle -= 1
