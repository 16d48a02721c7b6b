"""Long work rests while calls are under way, and not otherwise."""

from __future__ import annotations

import threading
import time

import pytest

from convmem.threads import pace
from convmem.threads.pace import Pace, calling, calls_under_way, give_way


@pytest.fixture
def rests(monkeypatch):
    """The seconds that were slept, on a clock that only work moves."""
    slept, now = [], [100.0]
    monkeypatch.setattr(pace.time, "sleep", slept.append)
    monkeypatch.setattr(pace.time, "thread_time", lambda: now[0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pace, "_calls", pace._Calls())

    def work(seconds):
        now[0] += seconds
        return slept

    return work


def test_it_rests_for_its_share_while_calls_are_under_way(rests):
    work = Pace(0.2)
    with calling():
        assert calls_under_way() == 1
        rests(0.002)
        work.give_way()
    assert rests(0) == [pytest.approx(0.008)]


def test_small_steps_are_taken_together(rests):
    work = Pace(0.5)
    with calling():
        for _ in range(9):
            rests(0.0002)
            work.give_way()
    assert rests(0) == [pytest.approx(0.001)]


def test_without_calls_it_only_lets_others_run(rests):
    work = Pace(0.2)
    rests(0.002)
    work.give_way()
    assert rests(0) == [0]


def test_a_moment_after_a_call_it_still_rests(rests):
    with calling():
        pass
    work = Pace(0.5)
    for _ in range(2):
        rests(0.04)
        work.give_way()
    assert rests(0) == [pytest.approx(0.04), 0]


def test_calls_that_wait_for_it_do_not_slow_it(rests):
    work = Pace(0.5, own=lambda: 1)
    with calling():
        rests(0.002)
        work.give_way()
        with calling():
            rests(0.002)
            work.give_way()
    assert rests(0) == [0, pytest.approx(0.002)]


def test_it_holds_for_what_its_thread_calls_and_for_no_other(rests):
    def elsewhere():
        rests(0.002)
        give_way()

    with calling(), Pace(0.25):
        rests(0.002)
        give_way()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    rests(0.002)
    give_way()
    assert rests(0) == [pytest.approx(0.006)]


def test_a_real_clock_counts_work_and_no_waiting():
    work = Pace(0.01)
    with calling():
        began = time.monotonic()
        threading.Event().wait(0.02)
        work.give_way()
    assert time.monotonic() - began < 1, "what it waited for others it need not rest for"
