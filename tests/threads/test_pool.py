"""Threads that work in the background: how many, what becomes of an error, what closing waits for."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from convmem.threads.pool import Pool


@pytest.fixture
def pool():
    made = Pool("test-pool", 2)
    yield made
    made.close()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "test-pool"]


def test_results_and_errors_are_handed_to_who_waits(pool):
    assert pool.submit(lambda: 7).result(60) == 7
    for error in (ValueError("no"), SystemExit(3)):

        def fail(error=error):
            raise error

        assert pool.submit(fail).exception(60) is error
    assert pool.submit(lambda: "goes on").result(60) == "goes on"


def test_threads_begin_when_they_are_needed_and_are_few(pool):
    before = set(threads())
    inside, leave = threading.Semaphore(0), threading.Event()

    def work():
        inside.release()
        leave.wait()
        return threading.current_thread()

    futures = [pool.submit(work) for _ in range(5)]
    for _ in range(2):
        assert inside.acquire(timeout=60)
    assert not inside.acquire(blocking=False), "the third waits for a thread"
    assert len(set(threads()) - before) == 2
    leave.set()
    workers = {future.result(60) for future in futures}
    assert len(workers) == 2
    assert all(worker.daemon for worker in workers)


def test_one_thread_works_in_the_order_in_which_it_was_asked():
    pool = Pool("test-pool", 1)
    done = []
    futures = [pool.submit(lambda n=n: done.append(n)) for n in range(50)]
    futures[-1].result(60)
    assert done == list(range(50))
    pool.close()


def test_closing_ends_the_threads_behind_what_was_asked_before():
    pool = Pool("test-pool", 1)
    leave = threading.Event()
    first = pool.submit(leave.wait)
    last = pool.submit(threading.current_thread)
    pool.close()
    pool.close()
    assert not first.done(), "closing waits for nothing"
    leave.set()
    worker = last.result(60)
    worker.join(60)
    assert not worker.is_alive()
    assert pool.submit(lambda: "again").result(60) == "again"
    pool.close()


def test_what_waits_its_turn_cannot_be_taken_back(pool):
    """Nobody cancels the write of a turn."""
    leave = threading.Event()
    futures = [pool.submit(leave.wait) for _ in range(4)]
    assert not any(future.cancel() for future in futures)
    leave.set()
    assert all(future.result(60) for future in futures)


def test_a_thread_that_waits_holds_nothing(pool):
    class Held:
        def __call__(self):
            return None

    held = Held()
    gone = weakref.ref(held)
    pool.submit(held).result(60)
    del held
    pool.submit(lambda: None).result(60)
    pool.submit(lambda: None).result(60)
    gc.collect()
    assert gone() is None


def test_without_more_threads_the_work_waits_for_those_there_are(pool, monkeypatch):
    leave = threading.Event()
    first = pool.submit(leave.wait)

    def no_more(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    second = pool.submit(lambda: "by the first")
    leave.set()
    assert first.result(60)
    assert second.result(60) == "by the first"
    assert isinstance(Pool("test-pool", 1).submit(lambda: None).exception(60), RuntimeError)


def test_after_a_fork_it_begins_anew(pool):
    pool.submit(lambda: None).result(60)
    old = list(pool._threads)
    queue = pool._queue
    pool.after_fork()
    assert pool.submit(threading.current_thread).result(60) not in old, "its threads are the parent's"
    for _ in old:
        queue.put(None)  # here the threads are not gone
