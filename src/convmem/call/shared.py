"""What the calls of one Memory share: store and writer, recall and resources, hooks, receipts, clocks."""

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
"""Of the deadline, how much a call that comes upon a cut waits for the compressor; the rest is recall's."""

_OVERDUE_S = 0.3
"""Seconds a call waits for the writer while an earlier call waited for it in vain: the whole time is lost
once, not by every call."""

_PATIENCE_S = 5.0
"""Seconds that the direct API waits while other processes hold the store."""

_PAUSE_S = 0.01
"""Between two tries of the direct API."""

_SILENCE_S = 30.0
"""Seconds after which a store that says nothing is given up by the direct API: it hangs."""

_FRESH_CONVERSATIONS = 10_000
"""Conversations known to be empty so far: an app creates one and asks in it a moment later."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class OpenStream(Protocol):
    """A streamed reply on its way."""

    def stop_soon(self) -> None:
        """Keep what arrived so far, waiting for nobody."""
        ...

    def abandon(self) -> None:
        """It belongs to another process."""
        ...


@dataclass(kw_only=True, eq=False)
class Shared:
    """What every call of one Memory uses; built by `Engine`, which alone closes it.

    Attributes:
        store: where the journal is.
        journal: the writer thread: every change of the store is submitted to it.
        recaller: embeds, ranks and packs what is recalled.
        resources: what requests share from call to call: epochs, cuts, blocks.
        pool: threads on which requests are composed.
        seen: digests and token counts of messages seen lately.
        receipts: which call a response came from.
        hooks: told of every event.
        clock: the time as an aware datetime.
        policy: what to send, unless the wrap says otherwise.
        prices: what calls cost.
        ratios: tokens as providers count them against the estimate, learned from their usage.
        on_error: what to do when a call cannot be journaled in time.
        deadline_s: seconds that a call waits for what is recalled, once its own conversation is there.
        store_timeout_s: seconds that a call waits for the store, before the provider and again after it.
        streams: streamed replies on their way; who closes the Memory keeps what they brought so far.
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
        """Seconds that a call waits for the store now."""
        return min(_OVERDUE_S, self.store_timeout_s) if self.journal.overdue else self.store_timeout_s

    @property
    def compressor_s(self) -> float:
        """Seconds that the call which comes upon a cut waits for a compressor."""
        return _COMPRESSOR_SHARE * self.deadline_s

    def expect(self, user: str | None) -> None:
        """A user's calls will come: load what the first of them needs, off the call."""
        self.recaller.warm(OwnerRef(user) if user is not None else None)

    def conversation_begins(self, conversation: str) -> None:
        """The provider was asked to keep a conversation, which is empty so far."""
        self._fresh_conversations[conversation] = None
        if len(self._fresh_conversations) > _FRESH_CONVERSATIONS:
            del self._fresh_conversations[next(iter(self._fresh_conversations))]

    def is_fresh(self, held: Held | None) -> bool:
        """Whether the conversation is known to begin with this call; said once."""
        if held is None or held.conversation not in self._fresh_conversations:
            return False
        del self._fresh_conversations[held.conversation]
        return True

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """While something is forgotten: nothing derived from it may be used again."""
        with self.resources.forgetting():
            try:
                yield
            finally:
                self.seen.clear()
                self.recaller.forget()

    def run(self, make: Callable[[], Task[T]]) -> T:
        """Do a job for the direct API: wait out other processes, and raise what goes wrong.

        Args:
            make: makes the job; called again when another process held the store.

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
