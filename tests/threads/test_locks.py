"""Locks and forks: a child finds free what another thread of its parent held."""

from __future__ import annotations

import os
import threading

import pytest

from convmem.threads.locks import Condition, Lock, Undisturbed, WholeLock
from convmem.threads.once import Once, lazy

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


class Holder:
    """A thread that holds a lock until it is let go."""

    def __init__(self, lock):
        self._inside, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(lock,))

    def _hold(self, lock):
        with lock:
            self._inside.set()
            self._leave.wait()

    def __enter__(self):
        self._thread.start()
        self._inside.wait()
        return self

    def __exit__(self, *error):
        self.let_go()
        self._thread.join()

    def let_go(self):
        self._leave.set()


def in_child(check):
    """What `check` returns in a forked child, as a number."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = int(check())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
def test_a_child_finds_free_what_another_thread_held():
    lock = Lock()
    with Holder(lock):
        assert in_child(lambda: lock.acquire(blocking=False)) == 1
        assert not lock.acquire(blocking=False), "in the parent it is still held"


@needs_fork
def test_the_forking_thread_goes_on_holding_what_it_held():
    lock, others = Lock(), []

    def check():
        thread = threading.Thread(target=lambda: others.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        lock.release()
        lock.release()
        return others == [False] and lock.acquire(blocking=False)

    with lock, lock:
        assert in_child(check) == 1


@needs_fork
def test_a_child_of_a_child():
    lock = Lock()

    def child():
        with Holder(lock):
            return in_child(lambda: lock.acquire(blocking=False))

    with Holder(lock):
        assert in_child(child) == 1


@needs_fork
def test_a_condition_that_another_thread_waited_on_works_in_a_child():
    changed, waiting = Condition(), threading.Event()

    def wait():
        with changed:
            waiting.set()
            changed.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()

    def check():
        woken = threading.Event()

        def sleep():
            with changed:
                woken.set()
                changed.wait()

        other = threading.Thread(target=sleep, daemon=True)
        other.start()
        woken.wait()
        with changed:
            changed.notify_all()
        other.join(30)
        return not other.is_alive()

    assert in_child(check) == 1
    with changed:
        changed.notify_all()
    thread.join()


@needs_fork
def test_a_fork_waits_until_what_is_kept_whole_is_whole():
    lock, pair, begun, go_on = WholeLock(), [0, 0], threading.Event(), threading.Event()

    def change():
        with lock:
            pair[0] = 1
            begun.set()
            go_on.wait()
            pair[1] = 1

    thread = threading.Thread(target=change)
    thread.start()
    begun.wait()
    timer = threading.Timer(0.05, go_on.set)
    timer.start()
    assert in_child(lambda: pair == [1, 1] and lock.acquire(blocking=False)) == 1
    thread.join()
    assert lock.acquire(blocking=False), "the fork gave it back"


@needs_fork
def test_a_fork_waits_for_work_that_must_not_be_disturbed():
    work, steps, begun, go_on = Undisturbed(), [], [threading.Event() for _ in range(2)], threading.Event()

    def do(n):
        with work, work:
            begun[n].set()
            go_on.wait()
            steps.append(n)

    threads = [threading.Thread(target=do, args=(n,)) for n in range(2)]
    for thread, event in zip(threads, begun, strict=True):
        thread.start()
        assert event.wait(60), "threads do not wait for each other"
    timer = threading.Timer(0.05, go_on.set)
    timer.start()

    def check():
        with work:
            return sorted(steps) == [0, 1]

    assert in_child(check) == 1
    for thread in threads:
        thread.join()
    with work:
        assert in_child(check) == 1, "the forking thread may be at it"


@needs_fork
def test_what_another_thread_was_making_is_made_by_the_child():
    making, go_on = threading.Event(), threading.Event()
    here = os.getpid()

    def make():
        making.set()
        if os.getpid() == here:
            go_on.wait()
        return 7

    once = Once(make)
    thread = threading.Thread(target=once)
    thread.start()
    making.wait()
    assert in_child(lambda: once() == 7 and not once.inherited) == 1
    go_on.set()
    thread.join()
    assert in_child(lambda: once.inherited) == 1


class Sums:
    """Something worked out at first use."""

    worked = 0

    @lazy
    def total(self):
        """The sum."""
        self.worked += 1
        return sum(range(10))


def test_a_lazy_property_is_worked_out_once():
    sums = Sums()
    assert (sums.total, sums.total, sums.worked) == (45, 45, 1)
    assert Sums.total.__doc__ == "The sum."


def test_a_lazy_property_that_fails_is_tried_again():
    class Late:
        ready = False

        @lazy
        def value(self):
            if not self.ready:
                raise LookupError("not yet")
            return 3

    late = Late()
    with pytest.raises(LookupError):
        _ = late.value
    late.ready = True
    assert late.value == 3


@needs_fork
def test_a_holder_that_does_not_let_go_hangs_neither_the_fork_nor_the_child():
    lock = WholeLock()
    with Holder(lock):
        assert in_child(lambda: lock.acquire(timeout=30)) == 1
    assert lock.acquire(timeout=30), "and the parent has it again"
    lock.release()
