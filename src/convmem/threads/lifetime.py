"""What a process owes its open memories when it ends or forks, and when nobody holds one any more."""

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


class Open(Protocol):
    """Something that writes in the background."""

    def close_within(self, seconds: float) -> None:
        """Write what can be written in that time, and close."""
        ...

    def after_fork(self) -> None:
        """In a forked child: begin anew."""
        ...


_OPEN: Living[Open] = Living()


def watch(thing: Open) -> None:
    """Close it when the process ends, and tell it when it is forked, for as long as it lives."""
    _OPEN.add(thing)


# What was dropped waits here for the one thread that closes it. The garbage collector may call at any moment,
# in any thread and with any lock held: it puts something into this queue, which is made for that, no more.
_dropped: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_closing = threading.Lock()


def when_dropped(
    thing: object, close: Callable[[], None], name: Callable[[], str]
) -> weakref.finalize[[Callable[[], None], Callable[[], str]], object]:
    """Close what belongs to a thing once nobody holds the thing any more, with a `ResourceWarning`.

    Python shows it like that of a file which nobody closed: with `-X dev`, `-W default` or in pytest.

    Args:
        thing: what is held.
        close: closes what belongs to it; must not refer to it.
        name: what the warning calls it; must not refer to it either.

    Returns:
        What to `detach` when it is closed by hand.
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
    """Close what was dropped, one after the other; the thread that does it ends with the queue."""
    while True:
        try:
            while True:
                close = _dropped.get_nowait()
                try:
                    close()
                except Exception:
                    log.exception("a Memory that was dropped without close() could not be closed")
                del close  # it holds a store
        except queue.Empty:
            _closing.release()
        if _dropped.empty() or not _closing.acquire(blocking=False):
            return


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_WAIT_S
    for thing in _OPEN.all():
        thing.close_within(max(0.0, until - time.monotonic()))
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
