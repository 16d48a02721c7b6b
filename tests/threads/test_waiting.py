"""A generator of waits: what its steps are told, what becomes of what they raise, and what they return."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from convmem.threads.waiting import NotReadyError, adrive, drive, outcome, seconds_until


def driven(steps):
    return drive(steps)


def awaited(steps):
    return asyncio.run(adrive(steps))


BOTH = pytest.mark.parametrize("run", [driven, awaited])


def done(value=None, error=None):
    future = Future()
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


@BOTH
def test_what_the_steps_return_is_what_the_call_returns(run):
    def none():
        return "at once"
        yield

    def three():
        made = []
        for n in range(3):
            future = done(n)
            made.append((yield future, 1.0))
            made.append(future.result())
        return made

    assert run(none()) == "at once"
    assert run(three()) == [None, 0, None, 1, None, 2]


@BOTH
def test_what_went_wrong_is_told_and_not_raised(run):
    error = ValueError("no")

    def steps():
        return (yield done(error=error), 1.0)

    assert run(steps()) is error


@BOTH
def test_what_is_not_ready_is_told_with_how_long_it_was_waited_for(run):
    def steps():
        return (yield Future(), 0.012)

    late = run(steps())
    assert isinstance(late, NotReadyError)
    assert str(late) == "not ready within 12 ms"


@BOTH
def test_what_is_ready_needs_no_time(run):
    def steps():
        return (yield done(), 0.0)

    assert run(steps()) is None


@BOTH
def test_what_the_steps_raise_comes_out(run):
    def steps():
        yield done(), 1.0
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(steps())


@BOTH
def test_a_timeout_of_what_was_waited_for_is_its_own_error(run):
    """A store's `TimeoutError` is no word of ours."""

    def steps():
        return (yield done(error=TimeoutError("the store's")), 1.0)

    told = run(steps())
    assert not isinstance(told, NotReadyError)
    assert str(told) == "the store's"


@BOTH
def test_what_was_made_meanwhile_is_waited_for(run):
    def steps():
        future = Future()
        threading.Timer(0, future.set_result, ["made"]).start()
        assert (yield future, 60.0) is None
        return future.result()

    assert run(steps()) == "made"


class Stopped(BaseException):
    """Like Ctrl-C."""


def test_who_stops_the_waiting_is_told_to_the_steps_and_comes_out(monkeypatch):
    seen = []

    def steps():
        try:
            yield Future(), 60.0
        except Stopped:
            seen.append("ended what had begun")
            raise

    def stopped(*_, **__):
        raise Stopped

    monkeypatch.setattr("convmem.threads.waiting.wait", stopped)
    with pytest.raises(Stopped):
        drive(steps())
    assert seen == ["ended what had begun"]


def test_a_task_that_is_cancelled_ends_what_had_begun_and_leaves_the_future_alone():
    seen = []
    future = Future()

    async def main():
        waiting = asyncio.Event()

        def steps():
            try:
                waiting.set()
                yield future, 60.0
            except asyncio.CancelledError:
                seen.append("ended what had begun")
                raise

        task = asyncio.create_task(adrive(steps()))
        await waiting.wait()
        await asyncio.sleep(0)  # until it waits
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == ["ended what had begun"]
    assert not future.cancelled(), "others may wait for it"
    future.set_result("later")


def test_other_tasks_run_while_one_waits():
    future = Future()

    async def main():
        def steps():
            assert (yield future, 60.0) is None
            return future.result()

        async def other():
            future.set_result("from beside")

        waiting = asyncio.create_task(adrive(steps()))
        await asyncio.sleep(0)
        await other()
        return await waiting

    assert asyncio.run(main()) == "from beside"


def test_on_another_event_loop_than_asyncios_it_waits_in_a_thread(monkeypatch):
    def none():
        raise RuntimeError("no running event loop")

    monkeypatch.setattr("convmem.threads.waiting.asyncio", SimpleNamespace(get_running_loop=none))

    def steps():
        return (yield Future(), 0.001)

    assert isinstance(awaited(steps()), NotReadyError)


def test_times():
    assert outcome(done(), 0.0) is None
    assert seconds_until(float("-inf")) == 0.0
    assert seconds_until(float("inf")) == float("inf")
