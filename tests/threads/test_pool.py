"""The threads of a Memory: started when needed, shared by lanes, ended when idle."""

from __future__ import annotations

import os
import threading

import pytest

from convmem.threads import pool as pool_module
from convmem.threads.lanes import Lanes
from convmem.threads.pool import Pool, Share


class Gate:
    """A job that begins, and ends when it is let."""

    def __init__(self):
        self.begun, self._leave = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self._leave.wait(60)
        return threading.current_thread().name

    def leave(self):
        self._leave.set()


def ours(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def gone(name):
    pause = threading.Event()
    return any(not ours(name) or pause.wait(0.01) for _ in range(2_000))


def test_jobs_are_done_and_their_errors_handed_over():
    pool = Pool("jobs", 2)
    lane = pool.lane("some")
    assert lane.submit(lambda: 7).result(60) == 7
    with pytest.raises(KeyError):
        lane.submit(lambda: {}["none"]).result(60)
    assert lane.submit(lambda: threading.current_thread().name).result(60) == "jobs-some"
    pool.close()
    assert gone("jobs")


def test_no_more_threads_than_allowed_and_none_before_they_are_needed():
    pool = Pool("few", 2)
    lane = pool.lane("some")
    assert not ours("few")
    gates = [Gate() for _ in range(4)]
    futures = [lane.submit(gate) for gate in gates]
    for gate in gates[:2]:
        assert gate.begun.wait(60)
    assert len(ours("few")) == 2
    assert not gates[2].begun.is_set()
    for gate in gates:
        gate.leave()
    for future in futures:
        future.result(60)
    pool.close()
    assert gone("few")


def test_the_most_urgent_lane_is_first_and_shares_are_kept():
    pool = Pool("urgent", 2)
    urgent = pool.lane("urgent")
    slow = pool.lane("slow", Share(1))
    gates = [Gate() for _ in range(2)]
    futures = [slow.submit(gate) for gate in gates]
    assert gates[0].begun.wait(60)
    assert urgent.submit(lambda: "at once").result(60) == "at once"
    assert not gates[1].begun.is_set(), "one of the lane at a time, though a thread is free"
    gates[0].leave()
    assert gates[1].begun.wait(60)
    gates[1].leave()
    assert [future.result(60) for future in futures] == ["urgent-slow"] * 2
    pool.close()


def test_who_stands_back_knows_when():
    pool = Pool("back", 1)
    share = Share(1)
    other, first, last = pool.lane("other"), pool.lane("first", share), pool.lane("last", share)
    gate = Gate()
    working = last.submit(gate)
    assert gate.begun.wait(60)
    assert not last.contended
    other.submit(int)
    assert not last.contended, "it has nothing in common with that one"
    waiting = first.submit(int)
    assert last.contended
    gate.leave()
    assert (working.result(60), waiting.result(60)) == ("back-last", 0)
    pool.close()


def test_later_and_not_after_closing():
    pool = Pool("later", 1)
    lane = pool.lane("some")
    done = [threading.Event() for _ in range(3)]
    lane.later(0.05, done[0].set)
    lane.later(0.01, done[1].set)
    assert all(event.wait(60) for event in done[:2])
    lane.later(3_600, done[2].set)
    pool.close()
    assert gone("later")
    assert not done[2].is_set()
    assert lane.submit(lambda: "still").result(60) == "still", "who has not heard of it is served"
    assert gone("later")


def test_idle_threads_end_and_others_come(monkeypatch):
    monkeypatch.setattr(pool_module, "_IDLE_S", 0.05)
    pool = Pool("idle", 3)
    lane = pool.lane("some")
    for _ in range(2):
        assert lane.submit(lambda: 1).result(60) == 1
        assert gone("idle")


def test_a_pool_without_threads_says_so(monkeypatch):
    pool = Pool("none", 1)
    lane = pool.lane("some")

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            lane.submit(int).result(60)
        lane.later(0.01, int)
    assert lane.submit(int).result(60) == 0
    pool.close()


def test_whatever_hangs_requests_are_composed_and_memories_loaded():
    lanes = Lanes()
    hanging = [Gate() for _ in range(6)]
    lanes.vectors.submit(hanging[0])
    assert hanging[0].begun.wait(60), "it was alone: what is more urgent would come before it"
    for gate, lane in zip(hanging[1:5], (lanes.vectors, lanes.cut, lanes.cut, lanes.embed), strict=True):
        lane.submit(gate)
    assert lanes.compose.submit(lambda: 1).result(60) == 1
    assert lanes.load.submit(lambda: 2).result(60) == 2
    assert lanes.index.submit(lambda: 3).result(60) == 3
    lanes.compose.submit(hanging[5])
    assert lanes.load.submit(lambda: 4).result(60) == 4
    for gate in hanging:
        gate.leave()
    lanes.pool.close()


def test_compositions_leave_a_thread_for_what_they_wait_for():
    lanes = Lanes()
    gates = [Gate() for _ in range(8)]
    for gate in gates:
        lanes.compose.submit(gate)
    assert lanes.cut.submit(lambda: "summary").result(60) == "summary"
    for gate in gates:
        gate.leave()
    lanes.pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_begins_anew():
    lanes = Lanes()
    gates = [Gate() for _ in range(4)]
    for gate in gates:
        lanes.vectors.submit(gate)
    assert gates[0].begun.wait(60)
    if (pid := os.fork()) == 0:
        lanes.pool.after_fork()
        os._exit(lanes.vectors.submit(lambda: 5).result(60))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    for gate in gates:
        gate.leave()
    lanes.pool.close()
