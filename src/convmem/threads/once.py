"""Loading once: at first use, with threads racing for it, and with the process forking meanwhile."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["ForkSafeLock", "Once"]

T = TypeVar("T")


class ForkSafeLock:
    """A lock of which every process has its own.

    A child forked while another thread held a plain lock would wait for it for ever.
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}

    def __enter__(self) -> None:
        self._locks.setdefault(os.getpid(), threading.Lock()).acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks[os.getpid()].release()


class Once(Generic[T]):
    """A value made at first use and kept. When making it fails, the next use tries again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = ForkSafeLock()
        self._made: tuple[T, int] | None = None

    def __call__(self) -> T:
        """The object, made by the first who asks."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make(), os.getpid()
        return self._made[0]

    @property
    def inherited(self) -> bool:
        """Whether the value was made before this process was forked off."""
        return self._made is not None and self._made[1] != os.getpid()
