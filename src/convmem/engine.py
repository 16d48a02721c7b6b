"""The engine behind a Memory: one writer, one rule for trouble, and the calls that run through it."""

from __future__ import annotations

import time
import uuid
import weakref
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from convmem.abilities import OwnerRef
from convmem.composer import Composer
from convmem.errors import JournalError, StoreLockedError
from convmem.exchange import Exchange
from convmem.hooks import DegradedEvent, HealedEvent, emit
from convmem.journal.digests import SeenMessages
from convmem.journal.placed import Call
from convmem.journal.writer import Journal
from convmem.passage import Passage
from convmem.recaller import Recaller
from convmem.receipts import Receipts
from convmem.retrieval import Retrieval
from convmem.scope import UNSET, entered, resolve
from convmem.threads import lifetime
from convmem.threads.pool import Pool
from convmem.tokens.count import LearnedRatios

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from datetime import tzinfo

    from convmem.compress.protocol import Compressor
    from convmem.embed.protocol import Embedder
    from convmem.hooks import Guarded
    from convmem.journal.job import Job
    from convmem.policy import Policy
    from convmem.protocols import Store
    from convmem.providers.dialects import Dialects
    from convmem.providers.prices import Prices
    from convmem.recall import Settings
    from convmem.scope import Scope
    from convmem.wire.values import ChatRequest, Held

__all__ = ["Engine", "Exchange", "OnError"]

T = TypeVar("T")

_COMPOSE_THREADS = 4
_COMPRESSOR_SHARE = 0.5
"""Of recall's deadline, how long the call that comes upon a cut waits for a compressor."""
_OVERDUE_S = 0.3
"""Seconds a call waits for the writer while an earlier call waited for it in vain: the whole time is lost
once, not by every call."""
_PATIENCE_S = 5.0
_PAUSE_S = 0.01
_SILENCE_S = 30.0
_DROPPED_WAIT_S = 10.0
"""What closing a Memory that nobody holds may take, for others wait behind it."""
_FRESH_CONVERSATIONS = 10_000

OnError = Literal["pass_through", "raise"]


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


class _Parts(NamedTuple):
    """What is closed with an engine, and when nobody holds the engine any more; the parts do not hold it."""

    pool: Pool
    composer: Composer
    journal: Journal
    recaller: Recaller
    own_store: Store | None

    def close(self, timeout: float | None) -> None:
        """Write what is queued, end the threads, let go of an own store."""
        until = None if timeout is None else time.monotonic() + timeout
        self.pool.close()
        self.composer.close()
        ended = self.journal.close(timeout)
        ended = self.recaller.close(None if until is None else max(0.0, until - time.monotonic())) and ended
        if self.own_store is not None and ended:  # a store that hangs would keep whoever closes it
            self.own_store.close()


class Engine:
    """What all wraps of one Memory share.

    Args:
        store: where the journal is.
        owns_store: close it in the end.
        on_error: what to do when a call cannot be journaled in time.
        deadline_ms: how long a call waits for what is recalled, once its own conversation is there.
        store_timeout_s: how long a call waits for the store, before the provider and again after it.
        hooks: told of every event.
        clock: the time as an aware datetime.
        policy: what to send, unless the wrap says otherwise.
        embedder: makes vectors; None for recall by words alone.
        compressor: writes what stands for rounds that left the window.
        settings: weights of the ranking; None for those shipped.
        dialects: what providers ask of messages that are put back.
        prices: what calls cost.
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
        self.store = store
        self._closed = False
        self.policy = policy
        self.ratios = LearnedRatios()
        self.ratios.warm()
        self.recaller = Recaller(
            store,
            embedder,
            settings=settings,
            deadline_s=deadline_ms / 1_000,
            tell=lambda event: emit(hooks, event),
        )
        self.seen = SeenMessages(store.key)
        self.composer = Composer(
            store, self.recaller, compressor, self.ratios, self.seen, dialects=dialects, tz=tz
        )
        self.prices = prices
        self.pool = Pool("convmem-compose", _COMPOSE_THREADS)
        self.on_error: OnError = on_error
        self.deadline_s = deadline_ms / 1_000
        self.store_timeout_s = store_timeout_s
        self.hooks = hooks
        self.clock = clock
        self.owner: object = None  # the Memory: a wrapped client keeps it alive, to be closed at exit
        self.receipts = Receipts()
        self.streams: weakref.WeakSet[OpenStream] = weakref.WeakSet()
        self._fresh_conversations: dict[str, None] = {}
        self.journal = Journal(
            store,
            on_trouble=lambda detail: emit(hooks, DegradedEvent(detail=detail)),
            on_healed=lambda n: emit(
                hooks,
                HealedEvent(detail=f"the journal can be written again; {n} waiting writes are journaled"),
            ),
        )
        lifetime.watch(self)
        parts = _Parts(self.pool, self.composer, self.journal, self.recaller, store if owns_store else None)
        self._parts = parts
        self._dropped = lifetime.when_dropped(self, lambda: parts.close(_DROPPED_WAIT_S))

    def resolve(
        self, headers: Mapping[str, object] | None, wrapped: Scope
    ) -> tuple[Scope, dict[str, object] | None]:
        """The scope of a call, and its headers without ours; see `convmem.scope.resolve`."""
        return resolve(headers, entered(self), wrapped)

    def exchange(
        self, request: ChatRequest, scope: Scope, host: str | None, policy: Policy | None = None
    ) -> Exchange:
        """A call about to be made in this context."""
        call = Call(
            id=uuid.uuid4().hex,
            at=self.clock(),
            user=None if scope.user is UNSET else scope.user,
            session=None if scope.session is UNSET else scope.session,
            fresh_session=f"session-{uuid.uuid4().hex[:12]}",
            mode="on" if scope.mode is UNSET else scope.mode,
            host=host,
            request=request,
            fresh_conversation=self._is_fresh(request.held),
        )
        exchange = Exchange(self, call, policy or self.policy)
        self.receipts.begin(exchange)
        return exchange

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

    def passage(self, scope: Scope, *, model: str | None, host: str | None, why: str) -> Passage:
        """A call about to go straight through in this context.

        Args:
            scope: whose it is, and what memory may do.
            model: the model asked, as far as that can be read.
            host: where it goes.
            why: why it goes straight through, for its receipt.
        """
        passage = Passage(
            self,
            call=uuid.uuid4().hex,
            at=self.clock(),
            user=None if scope.user is UNSET else scope.user,
            session=None if scope.session is UNSET else scope.session,
            fresh_session=f"session-{uuid.uuid4().hex[:12]}",
            mode="on" if scope.mode is UNSET else scope.mode,
            model=model,
            host=host,
            why=why,
        )
        self.receipts.begin(passage)
        return passage

    def retrieval(self, response_id: str, scope: Scope) -> Retrieval:
        """A response about to be asked for again."""
        return Retrieval(
            self,
            response_id,
            user=None if scope.user is UNSET else scope.user,
            session=None if scope.session is UNSET else scope.session,
            mode="on" if scope.mode is UNSET else scope.mode,
        )

    def conversation_begins(self, conversation: str) -> None:
        """The provider was asked to keep a conversation, which is empty so far."""
        self._fresh_conversations[conversation] = None
        if len(self._fresh_conversations) > _FRESH_CONVERSATIONS:
            del self._fresh_conversations[next(iter(self._fresh_conversations))]

    def _is_fresh(self, held: Held | None) -> bool:
        if held is None or held.conversation not in self._fresh_conversations:
            return False
        del self._fresh_conversations[held.conversation]
        return True

    def close(self, timeout: float | None) -> None:
        """Keep what open streams brought, write what is queued, end the threads, let go of an own store.

        Args:
            timeout: seconds it may take; None for as long as it takes.
        """
        if self._closed:
            return
        self._closed = True
        self._dropped.detach()
        for stream in list(self.streams):
            stream.stop_soon()
        self._parts.close(timeout)

    def close_within(self, seconds: float) -> None:
        """`close`, when the process ends."""
        self.close(seconds)

    def after_fork(self) -> None:
        """In a forked child: what was under way is the parent's to finish."""
        for stream in list(self.streams):
            stream.abandon()
        self.streams.clear()
        self.journal.after_fork()
        self.recaller.after_fork()
        self.composer.after_fork()
        self.pool.after_fork()

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """While something is forgotten: nothing derived from it may be used again."""
        with self.composer.forgetting():
            try:
                yield
            finally:
                self.seen.clear()
                self.recaller.forget()

    def run(self, make: Callable[[], Job[T]]) -> T:
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
