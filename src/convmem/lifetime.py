"""What a process owes its open memories when it ends or forks."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import Protocol

__all__ = ["Open", "watch"]

_EXIT_WAIT_S = 2.0


class Open(Protocol):
    """Something that writes in the background."""

    def close_within(self, seconds: float) -> None:
        """Write what can be written in that time, and close."""
        ...

    def after_fork(self) -> None:
        """In a forked child: begin anew."""
        ...


_OPEN: weakref.WeakSet[Open] = weakref.WeakSet()


def watch(thing: Open) -> None:
    """Close it when the process ends, and tell it when it is forked, for as long as it lives."""
    _OPEN.add(thing)


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_WAIT_S
    for thing in list(_OPEN):
        thing.close_within(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    for thing in list(_OPEN):
        thing.after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
