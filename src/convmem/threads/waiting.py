"""Drives one generator of waits for other threads, by a caller that blocks or by one that awaits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, wait
from typing import Any, TypeAlias, TypeVar, cast

__all__ = ["NotReadyError", "Waits", "adrive", "aoutcome", "drive", "outcome", "seconds_until"]

T = TypeVar("T")

Waits: TypeAlias = Generator[tuple[Future[Any], float], BaseException | None, T]
"""The steps of a call as a generator. Each step yields the future that it waits for and the most seconds to
wait; what the step gets back is the error: None when there was none, a `NotReadyError` when time ran out."""


class NotReadyError(TimeoutError):
    """The awaited result was not ready in time; a type of its own, as a store may raise `TimeoutError`."""


def seconds_until(until: float) -> float:
    """Return the seconds left until a time of the monotonic clock; 0 when that time is over."""
    return max(0.0, until - time.monotonic())


def drive(steps: Generator[Any, Any, T], perform: Callable[[Any], Any] | None = None) -> T:
    """Go through the steps of a call on this thread, and return what they return.

    Args:
        steps: the steps; an error of performing one is raised in them, so that they end what they have begun.
        perform: performs one step, and returns what the steps get back; None waits for futures (`Waits`).
    """
    answer: Any = None
    failed: BaseException | None = None
    try:
        while True:
            try:
                step = steps.throw(failed) if failed is not None else steps.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            except RuntimeError as error:
                if isinstance(failed, StopIteration) and error.__cause__ is failed:
                    raise failed from None  # no generator lets that out, but a mocked SDK may raise it
                raise
            failed = None
            try:
                answer = perform(step) if perform is not None else outcome(*step)
            except BaseException as error:  # noqa: BLE001 (the steps see to what has begun, and raise it again)
                failed = error
    finally:
        answer = failed = None  # an error holds this frame, which would hold the error for ever


async def adrive(steps: Generator[Any, Any, T], perform: Callable[[Any], Awaitable[Any]] | None = None) -> T:
    """Go through the steps of a call as `drive` does, without blocking the event loop."""
    answer: Any = None
    failed: BaseException | None = None
    try:
        while True:
            try:
                step = steps.throw(failed) if failed is not None else steps.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            except RuntimeError as error:
                if isinstance(failed, StopIteration) and error.__cause__ is failed:
                    raise failed from None  # no generator lets that out, but a mocked SDK may raise it
                raise
            failed = None
            try:
                answer = await (perform(step) if perform is not None else aoutcome(*step))
            except BaseException as error:  # noqa: BLE001 (the steps see to what has begun, and raise it again)
                failed = error
    finally:
        answer = failed = None  # an error holds this frame, which would hold the error for ever


def outcome(future: Future[Any], seconds: float) -> BaseException | None:
    """Wait for a future, at most so many seconds, and return its error; None when it has a result."""
    wait((future,), timeout=seconds)
    return _said(future, seconds)


def _said(future: Future[Any], seconds: float) -> BaseException | None:
    if future.done():
        return future.exception()
    return NotReadyError(f"not ready within {seconds * 1_000:.0f} ms")


async def aoutcome(future: Future[Any], seconds: float) -> BaseException | None:
    """Wait for a future as `outcome` does, on whatever event loop is running (asyncio's or Trio's)."""
    if future.done():
        return future.exception()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from anyio.to_thread import run_sync  # noqa: PLC0415 (comes with the async SDKs; only Trio needs it here)

        return await run_sync(outcome, future, seconds)
    watched = asyncio.wrap_future(future, loop=loop)
    # Asked for its error here too: else asyncio logs "exception was never retrieved" when time runs out.
    watched.add_done_callback(lambda done: done.cancelled() or done.exception())

    await asyncio.wait((watched,), timeout=seconds)
    return _said(future, seconds)
