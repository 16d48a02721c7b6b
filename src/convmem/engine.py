"""Builds the parts of a Memory (journal, recaller, resources, threads), closes them, renews them in forks."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from convmem.call.receipts import Receipts
from convmem.call.shared import Shared, utc_now
from convmem.context.resources import Resources
from convmem.errors import JournalError
from convmem.hooks import DegradedEvent, HealedEvent, emit
from convmem.journal.digests import SeenMessages
from convmem.journal.writer import Journal
from convmem.retrieve.recaller import Recaller
from convmem.threads import lifetime
from convmem.threads.lanes import Lanes
from convmem.tokens.count import LearnedRatios

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, tzinfo

    from convmem.call.shared import OnError
    from convmem.compress.protocol import Compressor
    from convmem.embed.protocol import Embedder
    from convmem.hooks import Guarded
    from convmem.policy import Policy
    from convmem.protocols import Store
    from convmem.providers.dialects import Dialects
    from convmem.providers.prices import Prices
    from convmem.recall import Settings

__all__ = ["Engine"]

_STREAMS_WAIT_S = 0.5
"""What closing waits for a writer that cannot write just then, of the two seconds that the exit of a process
may take; one that can takes milliseconds for what open streams brought."""
_DROPPED_WAIT_S = 10.0
"""Seconds that closing a Memory may take that nobody holds any more. One thread closes all such memories, so
a store that hangs for longer would keep the others open."""


class _Parts(NamedTuple):
    """The parts of an engine that are closed with it, or once nobody holds the engine any more.

    None of them refers to the engine, which could otherwise never be dropped.
    """

    lanes: Lanes
    journal: Journal
    recaller: Recaller
    own_store: Store | None

    def close(self, timeout: float | None) -> None:
        """Write what is queued, end the threads, and close the store if the Memory opened it."""
        until = None if timeout is None else time.monotonic() + timeout
        self.recaller.finish(timeout)  # while there are threads to do it and a writer to take it
        # The store last: until the journal and the recaller have ended, their threads read and write it.
        self.lanes.pool.close()
        ended = self.journal.close(None if until is None else max(0.0, until - time.monotonic()))
        ended = self.recaller.close(None if until is None else max(0.0, until - time.monotonic())) and ended
        if self.own_store is not None and ended:  # closing a store in which a thread hangs would hang too
            self.own_store.close()


class Engine(Shared):
    """The parts that the calls of one Memory share, built once; closes them, and carries them over a fork.

    Calls take it as `Shared` and know nothing of how it was built or is closed.

    Args:
        store: the store that keeps the journal.
        owns_store: close the store with the engine.
        on_error: what to do when a call cannot be journaled in time.
        deadline_ms: milliseconds that a call waits for recalled turns, once its own conversation was read.
        store_timeout_s: seconds that a call waits for the store, before the provider and again after it.
        hooks: functions that are told of every event.
        clock: returns the time as an aware datetime.
        policy: how requests are composed, unless a wrap names another policy.
        embedder: makes vectors; None for recall by words alone.
        compressor: writes the summaries that stand for rounds that left the window.
        settings: weights of the ranking; None for those shipped.
        dialects: what each provider demands of messages that are put back.
        prices: the providers' prices.
        tz: the zone in which dates are shown and meant.
    """

    def __init__(
        self,
        store: Store,
        *,
        owns_store: bool = False,
        on_error: OnError = "pass_through",
        deadline_ms: float = 1_000,
        store_timeout_s: float = 10,
        hooks: tuple[Guarded, ...] = (),
        clock: Callable[[], datetime] = utc_now,
        policy: Policy,
        embedder: Embedder | None = None,
        compressor: Compressor,
        settings: Settings | None = None,
        dialects: Dialects,
        prices: Prices,
        tz: tzinfo = UTC,
    ) -> None:
        self._closed = False
        ratios = LearnedRatios()
        ratios.warm()
        lanes = Lanes()
        journal = Journal(
            store,
            on_trouble=lambda detail: emit(hooks, DegradedEvent(detail=detail)),
            on_healed=lambda n: emit(
                hooks,
                HealedEvent(detail=f"the journal can be written again; {n} waiting writes are journaled"),
            ),
        )
        recaller = Recaller(
            store,
            embedder,
            lanes,
            settings=settings,
            deadline_s=deadline_ms / 1_000,
            tell=lambda event: emit(hooks, event),
            journal=journal,
        )
        seen = SeenMessages(store.key)
        resources = Resources(
            store,
            recaller,
            compressor,
            ratios,
            seen,
            pool=lanes.cut,
            dialects=dialects,
            tz=tz,
            journal=journal,
        )
        receipts = Receipts()
        super().__init__(
            store=store,
            journal=journal,
            recaller=recaller,
            resources=resources,
            pool=lanes.compose,
            seen=seen,
            receipts=receipts,
            hooks=hooks,
            clock=clock,
            policy=policy,
            prices=prices,
            ratios=ratios,
            on_error=on_error,
            deadline_s=deadline_ms / 1_000,
            store_timeout_s=store_timeout_s,
        )
        lifetime.watch(self)
        parts = _Parts(lanes, journal, recaller, store if owns_store else None)
        self._parts = parts
        self._dropped = lifetime.when_dropped(
            self, lambda: parts.close(_DROPPED_WAIT_S), lambda: f"Memory on {parts.journal.store!r}"
        )

    def close(self, timeout: float | None) -> None:
        """Journal what open streams brought, write what is queued, end the threads, close an own store.

        Args:
            timeout: seconds that closing may take; None for as long as it takes.
        """
        if self._closed:
            return
        self._closed = True
        self._dropped.detach()
        streams = list(self.streams)
        for stream in streams:
            stream.stop_soon()
        if streams:  # written before the threads end that make the words of it
            with suppress(JournalError):
                self.journal.flush(_STREAMS_WAIT_S)
        self._parts.close(timeout)

    def close_within(self, seconds: float) -> None:
        """Close within so many seconds; called when the process ends."""
        self.close(seconds)

    def after_fork(self) -> None:
        """Drop in a forked child what was under way: the parent finishes it. New work starts from nothing."""
        for stream in list(self.streams):
            stream.abandon()
        self.streams.clear()
        self._parts.lanes.pool.after_fork()
        self.journal.after_fork()
        self.recaller.after_fork()
        self.resources.after_fork()
