"""Long work that gives way to calls.

Python runs one thread of a process at a time, and lets one go on for 5 ms before another gets its turn. A
call changes threads some thirty times: beside one thread that only reckons it takes ten times as long. So
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
"""Of work between two looks at who waits: a fifth of what Python gives a thread."""
_LULL_S = 0.05
"""After a call so long others are reckoned with: between what memory does before and after it the client
library works, and who asks again does so at once."""


class _Calls:
    """Calls under way in this process: the lock that they wait for, Python's own, is the process's too."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.last_s = 0.0


_calls = _Calls()
_working = threading.local()


def after_fork() -> None:
    """In a forked child no call is under way."""
    _calls.count = 0


@contextmanager
def calling() -> Generator[None]:
    """While somebody waits for memory, long work stands back."""
    with _calls.lock:
        _calls.count += 1
    try:
        yield
    finally:
        with _calls.lock:
            _calls.count -= 1
            _calls.last_s = time.monotonic()


def calls_under_way() -> int:
    """How many wait for memory now."""
    return _calls.count


class Pace:
    """How much of the time one piece of long work may take while calls are under way.

    As a context it holds for all that the thread does in it and that calls `give_way`.

    Args:
        share: of the time.
        own: how many calls wait for this very work; for those it need not make way.
    """

    def __init__(self, share: float, own: Callable[[], int] = lambda: 0) -> None:
        self._rest = 1 / share - 1
        self._own = own
        self._since = time.thread_time()
        self._before: Pace | None = None

    def give_way(self) -> None:
        """Rest when that is due; to be called at every small step."""
        worked = time.thread_time() - self._since  # what it waited for others is no work
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
    """One small step of what may be long work: rest when that is due, and this thread's work has a `Pace`."""
    pace: Pace | None = getattr(_working, "pace", None)
    if pace is not None:
        pace.give_way()
