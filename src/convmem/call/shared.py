"""Holds what the calls of one Memory share: store and writer, recall, resources, hooks, receipts, clocks.

`engine` builds and closes it; `call` and `direct` are handed it. `run` does a job for the direct API.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar
from weakref import WeakSet

from convmem.abilities import OwnerRef
from convmem.errors import JournalError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from convmem.call.receipts import Receipts
    from convmem.context.resources import Resources
    from convmem.hooks import Guarded
    from convmem.journal.digests import SeenMessages
    from convmem.journal.job import Task
    from convmem.journal.writer import Journal
    from convmem.policy import Policy
    from convmem.protocols import Store
    from convmem.providers.prices import Prices
    from convmem.retrieve.recaller import Recaller
    from convmem.threads.pool import Lane
    from convmem.tokens.count import LearnedRatios
    from convmem.wire.values import Held

__all__ = ["OnError", "OpenStream", "Shared", "utc_now"]

T = TypeVar("T")

OnError = Literal["pass_through", "raise"]


_COMPRESSOR_SHARE = 0.5
"""Share of recall's deadline for which a call whose window is cut waits for the compressor. A compressor that
calls a model rarely makes it; then extracted sentences take its place."""

_OVERDUE_S = 0.3
"""Seconds for which a call waits for the writer after an earlier call waited in vain: `store_timeout_s` is
lost once, not by every call."""

_PATIENCE_S = 5.0
"""Seconds for which the direct API tries again while other processes hold the store."""

_PAUSE_S = 0.01
"""Seconds between two tries of the direct API."""

_SILENCE_S = 30.0
"""Seconds without an answer after which the direct API gives up the store, which hangs then."""

_FRESH_CONVERSATIONS = 10_000
"""Conversations, kept by the provider, that are remembered as empty so far: an app creates one and asks in it
a moment later."""


def utc_now() -> datetime:
    """The current time as an aware datetime in UTC."""
    return datetime.now(UTC)


class OpenStream(Protocol):
    """A streamed reply that is still being read."""

    def stop_soon(self) -> None:
        """Have what arrived so far journaled, without waiting."""
        ...

    def abandon(self) -> None:
        """Leave the reply to the parent process."""
        ...


@dataclass(kw_only=True, eq=False)
class Shared:
    """What every call of one Memory uses; built by `Engine`, which alone closes it.

    Attributes:
        store: holds turns, views and everything else.
        journal: the writer thread: every change of the store is submitted to it.
        recaller: embeds questions, and ranks and packs turns.
        resources: what all requests are composed with: epochs, cuts, blocks, lessons.
        pool: threads on which requests are composed.
        seen: digests and token counts of messages seen lately.
        receipts: finds the call that a response came from.
        hooks: told of every event.
        clock: gives the time as an aware datetime.
        policy: says how much of a conversation is sent, unless the wrap has a policy of its own.
        prices: the table of what calls cost.
        ratios: how many tokens providers count for one that is estimated here, learned from their usage.
        on_error: "pass_through" or "raise": what to do when a call cannot be journaled in time.
        deadline_s: seconds for which a call waits for recall, once its own conversation is there.
        store_timeout_s: seconds for which a call waits for the store, before the provider and again after it.
        streams: streamed replies that are being read; closing the Memory journals what they brought so far.
        owner: the Memory: a wrapped client keeps it alive, to be closed at exit.
    """

    store: Store
    journal: Journal
    recaller: Recaller
    resources: Resources
    pool: Lane
    seen: SeenMessages
    receipts: Receipts
    hooks: tuple[Guarded, ...]
    clock: Callable[[], datetime]
    policy: Policy
    prices: Prices
    ratios: LearnedRatios
    on_error: OnError
    deadline_s: float
    store_timeout_s: float
    streams: WeakSet[OpenStream] = field(default_factory=WeakSet["OpenStream"])
    owner: object = None
    _fresh_conversations: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def patience_s(self) -> float:
        """Seconds for which a call waits for the store now: less after a call that waited in vain."""
        return min(_OVERDUE_S, self.store_timeout_s) if self.journal.overdue else self.store_timeout_s

    @property
    def compressor_s(self) -> float:
        """Seconds for which a call whose window is cut waits for the compressor."""
        return _COMPRESSOR_SHARE * self.deadline_s

    def expect(self, user: str | None) -> None:
        """Load in the background what a user's first call will need."""
        self.recaller.warm(OwnerRef(user) if user is not None else None)

    def conversation_begins(self, conversation: str) -> None:
        """Remember a conversation that the provider was asked to create, as empty so far."""
        self._fresh_conversations[conversation] = None
        if len(self._fresh_conversations) > _FRESH_CONVERSATIONS:
            del self._fresh_conversations[next(iter(self._fresh_conversations))]

    def is_fresh(self, held: Held | None) -> bool:
        """Whether the conversation that the provider keeps begins with this call; True once for each."""
        if held is None or held.conversation not in self._fresh_conversations:
            return False
        del self._fresh_conversations[held.conversation]
        return True

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """Surround a forgetting: afterwards nothing in memory that was derived from turns is used again."""
        with self.resources.forgetting():
            try:
                yield
            finally:
                # After the block: calls that run meanwhile would fill these again with what is being
                # forgotten.
                self.seen.clear()
                self.recaller.forget()

    def run(self, make: Callable[[], Task[T]]) -> T:
        """Do a job for the direct API: try again while other processes hold the store, raise other errors.

        Args:
            make: makes the job; called again for each try.

        Raises:
            StoreError: the store cannot do it; the caller still holds the data.
            JournalError: the store does not answer.
        """
        until = time.monotonic() + _PATIENCE_S
        while True:
            job = make()
            job.patient = True
            future = self.journal.submit(job)
            try:
                return future.result(timeout=_SILENCE_S)
            except StoreLockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_S)
            except TimeoutError as error:
                raise JournalError(f"the store has not answered for {_SILENCE_S:.0f} s") from error
