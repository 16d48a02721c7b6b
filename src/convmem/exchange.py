"""One wrapped call as it happens: what the wrap drives, and what its receipt tells.

The wrap calls `begin` before the provider call, then one of `answered`, `stopped` and `stop_soon`. Whatever
goes wrong on memory's side, the call goes out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from convmem.abilities import OwnerRef
from convmem.composition import Composition
from convmem.context.tokens import count_messages
from convmem.errors import ClosedError, JournalError
from convmem.hooks import (
    AnsweredEvent,
    AssembledEvent,
    CutEvent,
    DegradedEvent,
    Event,
    FailedEvent,
    JournaledEvent,
    RecalledEvent,
    SentEvent,
    emit,
)
from convmem.jobs import BeginJob, EndJob
from convmem.scope import missed
from convmem.types import Receipt, Tokens
from convmem.wire.chat import Reply
from convmem.wire.message import plain, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from convmem.composer import Composed
    from convmem.engine import Engine
    from convmem.jobs import Call, Placement
    from convmem.journal import Job
    from convmem.policy import Policy
    from convmem.types import Message

__all__ = ["Exchange", "aoutcome", "outcome"]

T = TypeVar("T")


_WITHHELD = "the reply is not journaled: something that it answers was forgotten meanwhile"


class Exchange:
    """One wrapped call as it happens; see `convmem.exchange` for what is written.

    Attributes:
        receipt: the account so far; replaced as things happen.
        messages: what to send instead of the caller's messages, or None to send those.
    """

    def __init__(self, engine: Engine, call: Call, policy: Policy) -> None:
        self._engine = engine
        self._call = call
        self._policy = policy
        self._started = self._until = 0.0
        self._waited_s = 0.0
        self._begun = BeginJob(call, engine.store, engine.seen, written=self._begin_written)
        self._ended = False
        self._end_written = False
        self._gave_up: set[str] = set()  # steps that were too late for their call
        self._sent_at = 0.0
        self._lock = threading.RLock()  # a stream that nobody reads any more may end within any other step
        self.messages: list[Message] | None = None
        self.receipt = Receipt(
            call=call.id, user=call.user, session=call.session, mode=call.mode, model=call.request.model
        )
        if call.session is None and len(call.request.turns) == 1 and call.mode != "read":
            self._note("no session was named, and a single message continues none: it begins a new session")
        if (lost := missed(engine, call.user, call.session, call.mode)) is not None:
            self._note(lost)

    # Before the provider call.

    def begin(self) -> None:
        """Align and journal, then compose the request; at most for its part of the deadline."""
        started, future, embedding = self._begin()
        try:
            self._has_begun(started, outcome(future, self._left(), self._engine.deadline_s))
            if (composition := self._composition()) is not None:
                composing = self._compose(composition, embedding)
                self._has_composed(
                    composition, composing, outcome(composing, self._left(), self._engine.deadline_s)
                )
        except JournalError:
            raise
        except BaseException as stopped:
            self._end(Reply(complete=False), error=type(stopped).__name__)
            raise
        self._goes_out()

    async def abegin(self) -> None:
        """`begin`, without blocking the event loop."""
        started, future, embedding = self._begin()
        try:
            self._has_begun(started, await aoutcome(future, self._left(), self._engine.deadline_s))
            if (composition := self._composition()) is not None:
                composing = self._compose(composition, embedding)
                self._has_composed(
                    composition, composing, await aoutcome(composing, self._left(), self._engine.deadline_s)
                )
        except JournalError:
            raise
        except BaseException as stopped:
            self._end(Reply(complete=False), error=type(stopped).__name__)
            raise
        self._goes_out()

    def _begin(self) -> tuple[float, Future[Placement], Future[NDArray[np.float32]] | None]:
        """Submit what runs side by side: the journal step, and the embedding of the question."""
        started = time.perf_counter()
        self._started = time.monotonic()
        self._until = self._started + self._engine.deadline_s - self._engine.reply_s
        embedding = None
        if self._call.mode != "write":
            asked = next((t for t in reversed(self._call.request.turns) if t.get("role") == "user"), None)
            text = text_of(asked) if asked is not None else ""
            owner = OwnerRef(self._call.user) if self._call.user is not None else None
            embedding = self._engine.recaller.embed_soon(text, owner) if text.strip() else None
        return started, self._submit(self._begun), embedding

    def _left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def _composition(self) -> Composition | None:
        """What composes the request; None when it goes out as the caller made it."""
        placement = self._begun.placement
        if placement is None or self._call.mode == "write":
            return None
        if not placement.known:
            detail = f"{self._call.request.held} is not known, so nothing is added to the call"
            self._degraded(detail, None, serious=False)
            return None
        return Composition(self._engine.composer, self._call, placement, self._policy)

    def _compose(
        self, composition: Composition, embedding: Future[NDArray[np.float32]] | None
    ) -> Future[Composed]:
        """Begin to compose; words alone have their time when the embedding takes all of its own."""
        until, engine = self._until, self._engine
        embed_until = min(self._started + engine.embed_s, time.monotonic() + 0.8 * self._left())
        return engine.pool.submit(lambda: composition.run(embedding, embed_until=embed_until, until=until))

    def _has_composed(
        self, composition: Composition, composing: Future[Composed], error: BaseException | None
    ) -> None:
        composed: Composed | None = None
        try:
            composed = composing.result() if error is None else composition.at_hand(_without(error))
        except Exception as failed:  # noqa: BLE001 (not even the window can be put together)
            error = failed
        if composed is None:
            self._degraded(f"the call goes out as it was made: {error}", error, serious=False)
            return
        if composed.messages is not None:
            self.messages = _copies(composed.messages)
        self._update(**composed.receipt_fields(), ms={**self.receipt.ms, **composed.ms})
        self._tell(composed)
        for note in composed.notes:
            if note in composed.told:
                self._note(note)
            else:
                self._degraded(note, None, serious=False)

    def _tell(self, composed: Composed) -> None:
        """What composing did, as events."""
        if not self._engine.hooks:
            return
        tokens = composed.tokens
        if composed.cut:
            self._emit(CutEvent, rounds=composed.cut_rounds, summary_tokens=tokens.summary)
        if composed.recalled:
            self._emit(RecalledEvent, recalled=composed.recalled, tokens=tokens.recall)
        changed = composed.messages is not None
        request = self._call.request
        sent = composed.messages if composed.messages is not None else (*request.settings, *request.turns)
        self._emit(
            AssembledEvent,
            tokens=tokens,
            restored=composed.restored,
            dropped=composed.dropped,
            prefix_tokens=composed.prefix_tokens,
            changed=changed,
            messages=tuple(_copies(sent)),
        )

    def _goes_out(self) -> None:
        if not self.receipt.tokens.total:  # nothing was composed
            self._update(tokens=self._as_made())
        self._waited_s = time.monotonic() - self._started
        receipt = self.receipt
        self._emit(SentEvent, model=receipt.model, host=self._call.host, mode=receipt.mode, ms=receipt.ms)
        self._sent_at = time.perf_counter()

    def _as_made(self) -> Tokens:
        """Tokens of the caller's own messages."""
        request, count = self._call.request, self._engine.ratios.counter(self._call.request.model)
        tools = count(request.tools) if request.tools else 0
        new = sum(self._engine.seen.of(turn).tokens(count) for turn in request.turns)
        return Tokens(system=count_messages(request.settings, count) + tools, new=new)

    def _submit(self, job: Job[T]) -> Future[T]:
        try:
            return self._engine.journal.submit(job)
        except ClosedError as error:
            job.fail(error)
            return job.outcome

    def _begin_written(self, placement: Placement) -> None:
        """On the writer thread, in time or late."""
        with self._lock:
            self.receipt = self.receipt.with_(
                session=placement.ref.session,
                turns=(*placement.ids, *self.receipt.turns),
                journaled=self._call.mode != "read" and (not self._ended or self._end_written),
            )
            late = "begin" in self._gave_up
        if late:
            self._journaled(placement.ids, late=True)

    def _has_begun(self, started: float, error: BaseException | None) -> None:
        self._update(ms={"journal": (time.perf_counter() - started) * 1_000})
        with self._lock:
            placement = self._begun.placement if error is None else None
            if placement is None:
                self._gave_up.add("begin")
        if placement is not None:
            self._journaled(placement.ids)
            return
        try:
            self._degraded(f"the call goes out unjournaled: {error}", error)
        except JournalError as raised:
            self.stop_soon(Reply(complete=False), raised)
            raise

    def _journaled(self, ids: tuple[str, ...], *, late: bool = False) -> None:
        if self._call.mode != "read":
            self._emit(JournaledEvent, turns=ids, late=late)

    def _degraded(
        self, detail: str, error: BaseException | None, *, serious: bool = True, raises: bool = True
    ) -> None:
        """Note trouble; a serious one is an error for those who asked for it, where one may be raised."""
        self._note(detail)
        if not serious or not self._engine.journal.in_trouble:  # that was told when it began, for all calls
            self._emit(DegradedEvent, detail=detail)
        if serious and raises and self._engine.on_error == "raise":
            raise JournalError(detail) from error

    # After it.

    def _rest(self) -> float:
        """What is left of the deadline for the reply; something was kept for it."""
        return max(self._engine.deadline_s - self._waited_s, self._engine.reply_s)

    def answered(self, reply: Reply, *, response: object = None) -> None:
        """Commit the reply, at most for the rest of the deadline."""
        started = time.perf_counter()
        if (future := self._end(reply)) is not None:
            self._has_ended(started, outcome(future, self._rest(), self._engine.deadline_s), response)

    async def aanswered(self, reply: Reply, *, response: object = None) -> None:
        """`answered`, without blocking the event loop."""
        started = time.perf_counter()
        if (future := self._end(reply)) is not None:
            self._has_ended(started, await aoutcome(future, self._rest(), self._engine.deadline_s), response)

    def stopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """The call ended early: an error of the provider's, a stream broken off, cancelled or cut.

        What arrived is kept as partial; when nothing did, the turns that waited have failed. This waits for
        the commit like `answered`, but when the process is to end, for nobody. It never raises.
        """
        started = time.perf_counter()
        future = self._end(reply, error=type(error).__name__ if error is not None else None)
        if future is not None and (error is None or isinstance(error, Exception)):
            self._has_ended(
                started, outcome(future, self._rest(), self._engine.deadline_s), None, raises=False
            )

    async def astopped(self, reply: Reply) -> None:
        """`stopped` by the caller's own hand, without blocking the event loop."""
        started = time.perf_counter()
        if (future := self._end(reply)) is not None:
            self._has_ended(
                started, await aoutcome(future, self._rest(), self._engine.deadline_s), None, raises=False
            )

    def stop_soon(self, reply: Reply, error: BaseException | None = None) -> None:
        """`stopped`, waiting for nobody: for event loops and finalizers."""
        self._end(reply, error=type(error).__name__ if error is not None else None)

    def abandon(self) -> None:
        """The call belongs to the process this one was forked from, which journals its end."""
        self._ended = True

    def _end(self, reply: Reply, *, error: str | None = None) -> Future[tuple[str, ...]] | None:
        """Submit the end of the call, once; None when it has ended already."""
        with self._lock:
            if self._ended:
                return None
            self._ended = True
            ms = {**self.receipt.ms}
            if self._sent_at:
                ms["provider"] = (time.perf_counter() - self._sent_at) * 1_000
            cost = self._engine.prices.cost(
                reply.usage, host=self._call.host, model=self._call.request.model, at=self._call.at
            )
            self.receipt = self.receipt.with_(
                state=reply.state, usage=reply.usage, cost=cost, journaled=False, ms=ms
            )
        usage = reply.usage or {}
        counted = usage.get("prompt_tokens", usage.get("input_tokens"))
        if isinstance(counted, int) and self._call.request.held is None:
            self._engine.ratios.learn(
                self._call.request.model, sent=self.receipt.tokens.total, counted=counted
            )
        job = EndJob(
            self._begun,
            reply,
            at=self._engine.clock(),
            error=error,
            quoted=[turn.id for turn in self.receipt.recalled],
            written=self._reply_written,
        )
        if not reply.waiting:
            self._has_stopped(reply, error or "")
        return self._submit(job)

    def _has_stopped(self, reply: Reply, error: str) -> None:
        """What became of the provider call, as an event."""
        receipt = self.receipt
        about = {"model": receipt.model, "host": self._call.host, "ms": receipt.ms, "error": error}
        if reply.choices:
            self._emit(AnsweredEvent, state=reply.state, usage=reply.usage, **about)
        else:
            self._emit(FailedEvent, **about)

    def _reply_written(self, ids: tuple[str, ...], withheld: bool) -> None:  # noqa: FBT001 (a callback)
        """On the writer thread, in time or late."""
        with self._lock:
            self._end_written = not withheld
            self._engine.recaller.indexer.wake()
            turns = (*self.receipt.turns, *ids)
            journaled = self._end_written and self._call.mode != "read"
            self.receipt = self.receipt.with_(turns=turns, journaled=journaled)
        if withheld:
            self._note(_WITHHELD)
        if ids:
            self._journaled(ids, late="end" in self._gave_up)

    def _has_ended(
        self, started: float, error: BaseException | None, response: object, *, raises: bool = True
    ) -> None:
        self._update(ms={**self.receipt.ms, "reply": (time.perf_counter() - started) * 1_000})
        if error is None:
            return
        with self._lock:
            self._gave_up.add("end")
        try:
            self._degraded(f"the reply is not journaled: {error}", error, raises=raises)
        except JournalError as raised:
            raised.response = response
            raise

    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten: the receipt no longer tells what was quoted of them."""
        with self._lock:
            recalled = (replace(r, text="") if r.id in ids else r for r in self.receipt.recalled)
            self.receipt = self.receipt.with_(recalled=tuple(recalled))

    def _update(self, **changes: Any) -> None:  # noqa: ANN401 (dataclasses.replace checks the names)
        with self._lock:
            self.receipt = self.receipt.with_(**changes)

    def _note(self, note: str) -> None:
        self._update(notes=(*self.receipt.notes, note))

    def _emit(self, kind: type[Event], **payload: Any) -> None:  # noqa: ANN401 (each event checks its own fields)
        receipt = self.receipt
        if self._engine.hooks or kind is DegradedEvent:
            event = kind(call=receipt.call, user=receipt.user, session=receipt.session, **payload)
            emit(self._engine.hooks, event)


def _copies(messages: Iterable[Message]) -> list[Message]:
    """For hands that are not ours: what they change must not come back with the next call."""
    return [plain(message) for message in messages]


def _without(error: BaseException) -> str:
    """Why a call goes without recall."""
    late = isinstance(error, TimeoutError)
    why = f"recall was {error}" if late else f"recall failed ({type(error).__name__}: {error})"
    return f"{why}: the call goes without it"


def outcome(future: Future[Any], seconds: float, deadline_s: float) -> BaseException | None:
    """What went wrong, waiting at most for what is left of the deadline; None when all is well."""
    wait((future,), timeout=seconds)
    return _said(future, deadline_s)


def _said(future: Future[Any], deadline_s: float) -> BaseException | None:
    if future.done():
        return future.exception()
    return TimeoutError(f"not ready within {deadline_s * 1_000:.0f} ms")


async def aoutcome(future: Future[Any], seconds: float, deadline_s: float) -> BaseException | None:
    """`outcome` on whatever event loop is running."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from anyio.to_thread import run_sync  # noqa: PLC0415 (comes with the async SDKs; only Trio needs it here)

        return await run_sync(outcome, future, seconds, deadline_s)
    watched = asyncio.wrap_future(future, loop=loop)
    watched.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is asked for below
    await asyncio.wait((watched,), timeout=seconds)
    return _said(future, deadline_s)
