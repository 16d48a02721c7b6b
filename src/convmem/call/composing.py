"""How long a call waits for its request: its window by the store's clock, what is recalled by a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from convmem.threads.waiting import NotReadyError, Waits, seconds_until

if TYPE_CHECKING:
    from concurrent.futures import Future

    from convmem.call.shared import Shared
    from convmem.context.compose import Composition
    from convmem.context.request import Composed
    from convmem.retrieve.recaller import Asked

__all__ = ["Waited", "composing"]

_Working: TypeAlias = "Future[Composed] | Future[Composed | None]"

_EMBED_PATIENCE = 2.0
"""A question is waited for so many times as long as one takes by the running estimate; then words are ranked,
so that there is something to quote, and the rest of the deadline is its own."""
_RANK_RESERVE = 1.5
"""Ranking with vectors takes about as long as ranking by words took: so many times that is kept for it."""
_RANK_PATIENCE = 4.0
"""So many more deadlines a call waits while turns are ranked, which waits for nothing but a processor."""


class Waited(NamedTuple):
    """A request that was waited for.

    Attributes:
        working: what makes it.
        error: what kept it from being ready; None when it is.
        embed_s: seconds that the question's vectors were waited for.
    """

    working: _Working
    error: BaseException | None
    embed_s: float


def composing(shared: Shared, composition: Composition, asked: Asked) -> Waits[Waited]:
    """Compose a request on another thread, and wait for it."""
    patience_s = shared.compressor_s
    working: _Working = shared.pool.submit(lambda: composition.run(asked, patience_s=patience_s))
    error = yield working, shared.deadline_s  # one wait for both clocks where all is well
    if isinstance(error, NotReadyError):
        error = yield composition.ready, shared.patience_s
    if error is not None:
        return Waited(working, error, 0.0)
    until = composition.ready.result() + shared.deadline_s
    waited = 0.0
    error = yield working, _ranking_s(shared, until)
    if error is None and working.result() is None:  # recall needs something that is on its way
        began = time.monotonic()
        words = yield from _meaning(shared, composition, asked, until)
        waited = time.monotonic() - began
        if not asked.loaded:
            error = NotReadyError(f"not ready within {shared.deadline_s * 1_000:.0f} ms")
        elif words is not None and (asked.vectors is None or not asked.vectors.done()):
            error = yield words, _ranking_s(shared, until)
            error = error or NotReadyError("without the question's vectors")
        else:
            working = shared.pool.submit(lambda: composition.recall(asked))
            error = yield working, _ranking_s(shared, until)
    shared.recaller.overdue = isinstance(error, NotReadyError) and asked.loaded and not composition.ranked
    return Waited(working, error, waited)


def _ranking_s(shared: Shared, until: float) -> float:
    """Seconds to wait for turns to be ranked and packed, once all that is needed for it is there.

    That is some milliseconds of work. Where it takes seconds the machine is short of processors: everything
    takes as much longer there, and a memory that gave up would be absent just then.
    """
    more = 0.0 if shared.recaller.overdue else _RANK_PATIENCE * shared.deadline_s
    return seconds_until(until) + more


def _meaning(
    shared: Shared, composition: Composition, asked: Asked, until: float
) -> Waits[Future[None] | None]:
    """Wait for what recall needs: the partition, then the question's vectors, words ranked meanwhile.

    Returns:
        The ranking by words, on its way, where that was begun.
    """
    if asked.loading is not None:
        yield asked.loading, seconds_until(until)
    if asked.vectors is None or asked.vectors.done() or not asked.loaded:
        return None
    expected = shared.recaller.expected_s
    hopeless = expected > shared.deadline_s
    if not hopeless:
        # Half of what is left at most, whatever the estimate says: the words are ranked in the other half.
        yield asked.vectors, min(_EMBED_PATIENCE * expected, seconds_until(until) / 2)
        if asked.vectors.done():
            return None
    began = time.monotonic()
    words = shared.pool.submit(composition.words)
    yield words, seconds_until(until)
    reserve = _RANK_RESERVE * (time.monotonic() - began)
    if words.done() and not hopeless:
        yield asked.vectors, seconds_until(until - reserve)
    return words
