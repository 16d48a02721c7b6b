"""Slows long background work down while calls are under way.

Python runs one thread of a process at a time, and lets one go on for 5 ms before another gets its turn. A
call changes threads some thirty times: beside one thread that only computes it takes ten times as long. So
long work stops every millisecond, and while calls are under way it rests for most of the time.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self

__all__ = ["Pace", "after_fork", "calling", "calls_under_way", "give_way"]

_SLICE_S = 0.001
"""Seconds of processor time that long work takes between two looks at who waits: a fifth of the 5 ms that
Python gives a thread. Longer slices delay calls, shorter ones spend the time on looking."""
_LULL_S = 0.05
"""Seconds after the end of a call during which long work goes on resting: the client library works between
what memory does before and after the provider, and who asks again mostly does so at once."""


class _Calls:
    """Counts the calls under way in the whole process, whose threads all share Python's one lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.last_s = 0.0


_calls = _Calls()
_working = threading.local()


def after_fork() -> None:
    """Set the count of calls to 0 in a forked child, where none is under way."""
    _calls.count = 0


@contextmanager
def calling() -> Generator[None]:
    """Count a call as under way within this context, so that long work makes way for it."""
    with _calls.lock:
        _calls.count += 1
    try:
        yield
    finally:
        with _calls.lock:
            _calls.count -= 1
            _calls.last_s = time.monotonic()


def calls_under_way() -> int:
    """Return how many calls are under way in this process."""
    return _calls.count


class Pace:
    """Limits the share of time that one piece of long work takes while calls are under way.

    Used as a context, the limit holds for all code that the thread runs inside and that calls `give_way`.

    Args:
        share: the part of the time in which the work may run, between 0 and 1: with .15 it works 1 ms and
            rests 5.7 ms.
        own: returns how many calls wait for this very work; the work does not make way for those.
    """

    def __init__(self, share: float, own: Callable[[], int] = lambda: 0) -> None:
        self._rest = 1 / share - 1
        self._own = own
        self._since = time.thread_time()
        self._before: Pace | None = None

    def give_way(self) -> None:
        """Sleep when a slice of work is used up; call this at every small step (well under a millisecond)."""
        worked = time.thread_time() - self._since  # processor time: waiting for others does not count as work
        if worked < _SLICE_S:
            return
        others = _calls.count > self._own() or time.monotonic() - _calls.last_s < _LULL_S
        time.sleep(worked * self._rest if others else 0)
        self._since = time.thread_time()

    def __enter__(self) -> Self:
        self._before = getattr(_working, "pace", None)
        _working.pace = self
        self._since = time.thread_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _working.pace = self._before


def give_way() -> None:
    """Mark a small step of what may be long work: sleep when that is due and the thread is in a `Pace`."""
    pace: Pace | None = getattr(_working, "pace", None)
    if pace is not None:
        pace.give_way()
