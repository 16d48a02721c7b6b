"""The lock of this library: no child that is forked off inherits it held by a thread it does not have.

`fork` copies the locks of a process, but of its threads only the one that forks. A plain lock that another
thread held stays held in the child for ever, and whoever asks for it there hangs. So after a fork the child
makes every lock free that its one thread does not hold itself.

What such a lock guards may be half changed in the child, for its holder was stopped in the midst of it.
Where that can do harm, there are two ways: `after_fork` makes the state anew (`threads.lifetime`), or the
fork waits until the state is whole (`WholeLock`, `keep_whole`).
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from convmem.threads.living import Living

if TYPE_CHECKING:
    from types import TracebackType

    class _RLock:
        """What `threading.RLock()` makes, with the two private methods that the standard library uses too."""

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...  # noqa: FBT001, FBT002
        def release(self) -> None: ...
        def __enter__(self) -> bool: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...
        def _is_owned(self) -> bool: ...
        def _at_fork_reinit(self) -> None: ...

else:
    # Its own type, not a wrapper written in Python: taking it costs 40 ns instead of 300, and Ctrl-C cannot
    # arrive between taking it and the block that gives it back.
    _RLock = type(threading.RLock())

__all__ = ["Condition", "KeptWhole", "Lock", "Undisturbed", "WholeLock", "keep_whole", "reckoning"]


class Lock(_RLock):
    """A lock that its holder may take again; free in a forked child unless the forking thread holds it."""

    def __init__(self) -> None:
        _LOCKS.add(self)

    def renew(self) -> None:
        """Free the lock in a forked child, unless the one thread that exists there holds it."""
        if not self._is_owned():
            self._at_fork_reinit()


class Condition(threading.Condition):
    """A condition on a `Lock` of its own. In a forked child only `notify_all` is sure to wake a thread."""

    def __init__(self) -> None:
        super().__init__(Lock())  # type: ignore[arg-type]


_HOLDER_S = 1.0
"""Seconds that a fork waits for the holder of a `WholeLock`, which needs microseconds. A holder that takes
longer may wait for something that never comes, and would hang whoever forks."""


class KeptWhole(Protocol):
    """Something that must not be half changed when its process is forked."""

    def before_fork(self) -> None:
        """Wait until no other thread changes the state, and keep other threads out until `after_fork`."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """Let other threads in again; called in the parent and in the child."""
        ...


class WholeLock(Lock):
    """A `Lock` that a fork waits for, so that what it guards is not half changed in the child.

    Its holder should come to an end by itself. A fork does not wait for ever for one that does not: after
    `_HOLDER_S` the child gets the lock free, and the state as the holder had left it by then.
    """

    def __init__(self) -> None:
        super().__init__()
        keep_whole(self)

    def before_fork(self) -> None:
        """Wait for the holder, and hold the lock over the fork."""
        self.acquire(timeout=_HOLDER_S)

    def after_fork(self, *, child: bool) -> None:  # noqa: ARG002 (the same in both)
        """Release the lock, in the parent and in the child, if `before_fork` got it."""
        if self._is_owned():
            self.release()


class Undisturbed:
    """A context around work that must not be under way in another thread when the process is forked.

    Any number of threads may be inside at once. A fork waits until all others are out, and whoever wants in
    waits until the fork is done. The work inside must wait for no other thread and for nobody outside.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside: dict[int, int] = {}  # how often each thread has entered, by the thread's id
        self._forking = 0
        keep_whole(self)

    def __enter__(self) -> None:
        me = threading.get_ident()
        with self._changed:
            while self._forking and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        me = threading.get_ident()
        with self._changed:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
                if self._forking:
                    self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait until no other thread is inside, and keep other threads out."""
        self._changed.acquire()
        self._forking += 1
        while self._inside.keys() - {threading.get_ident()}:
            self._changed.wait()

    def after_fork(self, *, child: bool) -> None:
        """Let other threads in again."""
        self._forking = 0 if child else self._forking - 1
        self._changed.notify_all()
        self._changed.release()


def keep_whole(thing: KeptWhole) -> None:
    """Have forks wait for a thing, for as long as the thing lives."""
    _WHOLE.add(thing)


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()
_WHOLE: Living[KeptWhole] = Living()


reckoning = Undisturbed()
"""The context around every multiplication of matrices: numpy's library for it (OpenBLAS) has locks of its
own, and lets other threads run meanwhile. A child that was forked in the midst of a multiplication would wait
for ever at its own first one."""


class _Forking(threading.local):
    """What the forking thread holds between `before_fork` and `after_fork`, the last taken at the end."""

    def __init__(self) -> None:
        self.kept: list[KeptWhole] = []


_forking = _Forking()


def _before_fork() -> None:
    # In one order for all threads, so that two that fork at once do not wait for each other.
    for thing in sorted(_WHOLE.all(), key=id):
        thing.before_fork()
        _forking.kept.append(thing)


def _let_go(*, child: bool) -> None:
    while _forking.kept:
        _forking.kept.pop().after_fork(child=child)


def _after_fork_in_parent() -> None:
    _let_go(child=False)


def _after_fork_in_child() -> None:
    # Locks first: `after_fork` of what is kept whole takes some of them.
    for lock in list(_LOCKS):
        lock.renew()
    _let_go(child=True)


# Python calls these functions in the child in the order in which they were registered. This module registers
# its own when the first lock is imported, so locks are free before any other code in the child takes one.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
