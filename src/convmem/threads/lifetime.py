"""Closes open memories when the process ends or drops them, and makes them usable in a forked child."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Protocol

from convmem.threads import pace  # which imports `locks`: in a child their hook must run before the one below
from convmem.threads.living import Living

__all__ = ["Open", "watch", "when_dropped"]

log = logging.getLogger("convmem")

_EXIT_WAIT_S = 2.0
"""Seconds that all open memories together may take to write what is queued when the process ends: with less,
a slow disk loses queued writes; with more, Ctrl-C seems to hang."""


class Open(Protocol):
    """Something that writes in the background and must be closed before the process ends."""

    def close_within(self, seconds: float) -> None:
        """Write what can be written in so many seconds, and close."""
        ...

    def after_fork(self) -> None:
        """Make new threads and queues in a forked child, where the parent's threads do not exist."""
        ...


_OPEN: Living[Open] = Living()


def watch(thing: Open) -> None:
    """Have a thing closed when the process ends and told when it is forked, as long as the thing lives."""
    _OPEN.add(thing)


# Closing functions of things that were dropped, waiting for the one thread that calls them. The garbage
# collector may call at any moment, in any thread and with any lock held, so all it does is put a function
# into this queue: `SimpleQueue.put` is made to be called from there.
_dropped: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_closing = threading.Lock()


def when_dropped(
    thing: object, close: Callable[[], None], name: Callable[[], str]
) -> weakref.finalize[[Callable[[], None], Callable[[], str]], object]:
    """Close what belongs to a thing once nobody holds the thing any more, with a `ResourceWarning`.

    Python shows the warning as it does for a file that nobody closed: with `-X dev`, `-W default`, in pytest.

    Args:
        thing: the object whose end is awaited.
        close: closes what belongs to the thing; must not refer to the thing, or it would never be dropped.
        name: returns what the warning calls the thing; must not refer to the thing either.

    Returns:
        The finalizer; call its `detach` when the thing is closed by hand.
    """
    finalizer = weakref.finalize(thing, _dropped_unclosed, close, name)
    finalizer.atexit = False  # at the end of the process, what is open is closed by `watch`
    return finalizer


def _dropped_unclosed(close: Callable[[], None], name: Callable[[], str]) -> None:
    _close_soon(close)
    warnings.warn(f"unclosed {name()}: call close(), or use `with`", ResourceWarning, stacklevel=2)


def _close_soon(close: Callable[[], None]) -> None:
    _dropped.put(close)
    if _closing.acquire(blocking=False):
        threading.Thread(target=_close_dropped, name="convmem-close", daemon=True).start()


def _close_dropped() -> None:
    """Call the queued closing functions one after the other, until the queue is empty."""
    while True:
        try:
            while True:
                close = _dropped.get_nowait()
                try:
                    close()
                except Exception:
                    log.exception("a Memory that was dropped without close() could not be closed")
                del close  # the function holds a store, which this thread would keep open while it waits
        except queue.Empty:
            _closing.release()
        # Looked at once more after the lock is free: something put in just before found the lock taken.
        if _dropped.empty() or not _closing.acquire(blocking=False):
            return


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_WAIT_S
    for thing in _OPEN.all():
        thing.close_within(max(0.0, until - time.monotonic()))
    # The thread that closes what was dropped holds this lock: taking it is waiting for the thread.
    _closing.acquire(timeout=max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    global _dropped, _closing  # noqa: PLW0603 (there is one of each in a process)
    _dropped = queue.SimpleQueue[Callable[[], None]]()  # the thread that used the others is the parent's
    _closing = threading.Lock()
    pace.after_fork()
    for thing in _OPEN.all():
        thing.after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
