"""What is dropped is closed, by a thread of its own; what is open is closed when the process ends."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading

import pytest

from convmem.threads import lifetime

pytestmark = pytest.mark.filterwarnings("ignore:unclosed thing:ResourceWarning")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed thing:ResourceWarning")


def name():
    return "thing"


class Thing:
    """Something that owns what is to be closed."""


def when_dropped(thing, close):
    return lifetime.when_dropped(thing, close, lambda: "thing")


@pytest.mark.filterwarnings("default:unclosed thing:ResourceWarning")
def test_it_is_told_like_a_file_that_nobody_closed():
    held, closed = [Thing()], threading.Event()
    when_dropped(held[0], closed.set)
    with pytest.warns(ResourceWarning, match="unclosed thing: call close"):
        held.clear()
    assert closed.wait(60)


def test_what_is_dropped_is_closed_once_by_another_thread():
    closed, by = threading.Event(), []

    def close():
        by.append(threading.current_thread().name)
        closed.set()

    thing = Thing()
    when_dropped(thing, close, name)
    assert not closed.is_set()
    del thing
    gc.collect()
    assert closed.wait(60)
    assert by == ["convmem-close"]


def test_what_is_dropped_is_named_in_a_warning():
    closed = threading.Event()
    held = [Thing()]
    when_dropped(held[0], closed.set, name)
    with pytest.warns(ResourceWarning, match="unclosed thing: call close"):
        held.clear()
    assert closed.wait(60)


def test_what_was_closed_by_hand_is_not_closed_again():
    other = threading.Event()
    thing, later = Thing(), Thing()
    when_dropped(thing, lambda: pytest.fail("closed twice"), name).detach()
    when_dropped(later, other.set, name)
    del thing
    del later
    gc.collect()
    assert other.wait(60), "and by then the first would have been closed"


def test_one_that_cannot_be_closed_is_logged_and_keeps_no_other_open(caplog):
    closed = threading.Event()

    def fail():
        raise OSError("the disk is gone")

    with caplog.at_level(logging.ERROR, "convmem"):
        for close in (fail, closed.set):
            thing = Thing()
            when_dropped(thing, close, name)
            del thing
        gc.collect()
        assert closed.wait(60)
    assert [record.message for record in caplog.records] == [
        "a Memory that was dropped without close() could not be closed"
    ]


def test_whatever_is_held_while_the_collector_runs_nothing_waits():
    """A hundred are dropped by threads that hold a lock which closing them needs."""
    lock, closed = threading.Lock(), threading.Semaphore(0)

    def close():
        with lock:
            closed.release()

    def drop():
        with lock:
            thing = Thing()
            when_dropped(thing, close, name)
            del thing

    dropping = [threading.Thread(target=drop) for _ in range(100)]
    for thread in dropping:
        thread.start()
    for thread in dropping:
        thread.join()
    for _ in dropping:
        assert closed.acquire(timeout=60)


PROGRAM = """
import os, sys
from convmem.threads.lifetime import watch

class Open:
    def close_within(self, seconds):
        print("closed", 0 < seconds <= 2, flush=True)
    def after_fork(self):
        print("begun anew", flush=True)

held, dropped = Open(), Open()
watch(held)
watch(dropped)
del dropped
if "fork" in sys.argv and not os.fork():
    os._exit(0)
if "fork" in sys.argv:
    os.wait()
"""


@pytest.mark.parametrize(
    ("args", "said"), [((), ["closed True"]), (("fork",), ["begun anew", "closed True"])]
)
def test_what_is_open_is_told_of_the_end_of_the_process_and_of_forks(args, said):
    if args and not hasattr(os, "fork"):
        pytest.skip("no fork on this platform")
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *args], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout.splitlines() == said
