"""Drives one generator of waits for other threads, by a caller that blocks or by one that awaits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
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


def drive(steps: Waits[T]) -> T:
    """Go through the steps of a call, waiting on this thread."""
    error: BaseException | None = None
    while True:
        try:
            future, seconds = steps.send(error)
        except StopIteration as end:
            return cast("T", end.value)
        try:
            error = outcome(future, seconds)
        except BaseException as stopped:
            steps.throw(stopped)  # the steps end what they have begun, and raise the error again
            raise


async def adrive(steps: Waits[T]) -> T:
    """Go through the steps of a call as `drive` does, without blocking the event loop."""
    error: BaseException | None = None
    while True:
        try:
            future, seconds = steps.send(error)
        except StopIteration as end:
            return cast("T", end.value)
        try:
            error = await aoutcome(future, seconds)
        except BaseException as stopped:
            steps.throw(stopped)
            raise


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
