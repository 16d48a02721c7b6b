"""Waiting for other threads: one generator of waits, driven by a caller that blocks or by one that awaits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from concurrent.futures import Future, wait
from typing import Any, TypeAlias, TypeVar, cast

__all__ = ["NotReadyError", "Waits", "adrive", "aoutcome", "drive", "outcome", "seconds_until"]

T = TypeVar("T")

Waits: TypeAlias = Generator[tuple[Future[Any], float], BaseException | None, T]
"""Steps of a call: each yields what it waits for and for how many seconds at most, and is told what went
wrong: None when nothing did, a `NotReadyError` when it was not ready."""


class NotReadyError(TimeoutError):
    """What was waited for is not ready yet; a store may raise a `TimeoutError` of its own."""


def seconds_until(until: float) -> float:
    """How long it is until a time of the monotonic clock, in seconds; 0 when it is over."""
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
            steps.throw(stopped)  # the steps see to what has begun, and raise it again
            raise


async def adrive(steps: Waits[T]) -> T:
    """`drive`, without blocking the event loop."""
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
    """What went wrong, waiting for so many seconds at most; None when all is well."""
    wait((future,), timeout=seconds)
    return _said(future, seconds)


def _said(future: Future[Any], seconds: float) -> BaseException | None:
    if future.done():
        return future.exception()
    return NotReadyError(f"not ready within {seconds * 1_000:.0f} ms")


async def aoutcome(future: Future[Any], seconds: float) -> BaseException | None:
    """`outcome` on whatever event loop is running."""
    if future.done():
        return future.exception()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from anyio.to_thread import run_sync  # noqa: PLC0415 (comes with the async SDKs; only Trio needs it here)

        return await run_sync(outcome, future, seconds)
    watched = asyncio.wrap_future(future, loop=loop)
    watched.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is asked for below
    await asyncio.wait((watched,), timeout=seconds)
    return _said(future, seconds)
