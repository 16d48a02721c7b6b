"""Threads that work in the background and never keep the process from ending."""

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
"""A thread that had nothing to do for so long ends; the next job starts another in .1 ms."""


class Share:
    """How many threads of a pool some of its lanes may have together.

    Args:
        most: so many.
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
        """Whether a job waits that takes precedence and shares a limit with this lane."""
        for lane in self.pool.lanes:
            if lane is self:
                return False
            if lane.queue and not set(lane.shares).isdisjoint(self.shares):
                return True
        return False

    @property
    def free(self) -> bool:
        """Whether its next job may begin."""
        return all(share.running < share.most for share in self.shares)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do this soon. It must not wait for another job of the pool, but for a time of its own choosing."""
        return self.pool.submit(self, work)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Do this after some time, unless the pool is closed before."""
        self.pool.later(self, seconds, work)


class Pool:
    """A few daemon threads that do the jobs of several lanes.

    The standard library's executor joins its threads at exit: an embedder that hangs would hang the process.

    Args:
        name: what its threads are called, before the name of the lane.
        threads: the most of them; they start when they are needed, and end when they are not.
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
        """Begin anew in a forked child, where the threads are gone."""
        self._begin()
        for lane in self.lanes:
            lane.queue.clear()
            for share in lane.shares:
                share.running = 0

    def lane(self, name: str, *shares: Share) -> Lane:
        """A lane whose jobs take precedence over those of the lanes that are made after it.

        Args:
            name: what its threads are called meanwhile.
            shares: limits of how many threads its jobs have, which it may have in common with others.
        """
        lane = Lane(self, name, shares)
        self.lanes.append(lane)
        return lane

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Do this soon."""
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
        """Do this after some time, unless the pool is closed before."""
        with self._changed:
            if self._closing:
                return
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), lane, work))
            try:
                self._start()
            except RuntimeError:  # as soon as a thread is there, it is found
                return
            self._changed.notify()

    def _start(self) -> None:
        """Start a thread when there are more jobs than threads that wait for one; the lock is held."""
        waiting = sum(len(lane.queue) for lane in self.lanes) or (1 if self._later else 0)
        if waiting > self._idle and self._threads < self._most:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._threads += 1

    def close(self) -> None:
        """End the threads once they have nothing left to do; waits for none."""
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
            del taken, lane, future, work  # a thread that waits holds nothing

    def _give_back(self, lane: Lane) -> None:
        with self._changed:
            for share in lane.shares:
                share.running -= 1
            self._changed.notify()  # a job that waited for the share may begin on a thread that waits for one

    def _next(self) -> tuple[Lane, _Job] | None:
        """The next job; None when the thread is to end."""
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
