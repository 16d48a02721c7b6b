"""Waits for a call's request: for its window as long as the store may take, for recall until a deadline.

`call.exchange` drives `composing`, once for each request that it sends; the work itself is done by a
`context.compose.Composition` on the Memory's threads.
"""

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
"""How many times the estimated time of an embedding a call waits before it ranks by words, so that there is
something to quote; the rest of the deadline the embedding has as well. A smaller factor ranks twice for
nothing when an embedding is slow by chance; a greater one leaves no time for words."""
_RANK_RESERVE = 1.5
"""How many times the time that ranking by words took is kept before the deadline for ranking with vectors,
which takes about as long."""
_RANK_PATIENCE = 4.0
"""How many more deadlines a call waits while turns are ranked: that waits for nothing but a processor."""


class Waited(NamedTuple):
    """The outcome of waiting for a request.

    Attributes:
        working: the future of the request.
        error: the error that kept the request from being ready; None when it is ready.
        embed_s: seconds for which the question's vectors were waited for.
    """

    working: _Working
    error: BaseException | None
    embed_s: float


def composing(shared: Shared, composition: Composition, asked: Asked) -> Waits[Waited]:
    """Compose a request on a thread of the pool, and wait for it.

    Args:
        shared: what the calls of the Memory share.
        composition: the request.
        asked: the load of the partition and the embedding of the question, begun before.
    """
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
    """Seconds to wait for turns to be ranked and packed, once partition and vectors are there.

    Ranking is some milliseconds of work. Where it takes seconds the machine is short of processors:
    everything takes as much longer there, and a memory that gave up would be absent just then. After a call
    that waited in vain the extra time is left out.
    """
    more = 0.0 if shared.recaller.overdue else _RANK_PATIENCE * shared.deadline_s
    return seconds_until(until) + more


def _meaning(
    shared: Shared, composition: Composition, asked: Asked, until: float
) -> Waits[Future[None] | None]:
    """Wait for the partition, then for the question's vectors, and rank by words when those are slow.

    Args:
        shared: what the calls of the Memory share.
        composition: the request, whose window is there.
        asked: the load of the partition and the embedding of the question.
        until: the monotonic time of recall's deadline.

    Returns:
        The ranking by words, which may still be at work; None where it was not begun.
    """
    if asked.loading is not None:
        yield asked.loading, seconds_until(until)
    if asked.vectors is None or asked.vectors.done() or not asked.loaded:
        return None
    expected = shared.recaller.expected_s
    hopeless = expected > shared.deadline_s
    if not hopeless:
        # At most half of the time left, whatever the estimate says: words are ranked in the other half.
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
