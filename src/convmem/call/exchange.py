"""One wrapped call as it happens: what the wrap drives, and what its receipt tells.

The wrap calls `begin` before the provider call, `refused` when the provider refuses it, then one of
`answered`, `stopped` and `stop_soon`. Whatever goes wrong on memory's side, the call goes out.

A call has two clocks. Its own conversation is waited for as long as the store takes (`store_timeout_s`); what
is recalled has a deadline of its own (`deadline_ms`), which begins when the conversation is there. The steps
before the provider call are a generator of waits, which a blocking and an async loop drive alike.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from convmem.abilities import OwnerRef
from convmem.call.scope import missed
from convmem.context.compose import Composition
from convmem.errors import ClosedError, JournalError, noted
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
from convmem.journal.begin import BeginJob, looked_up
from convmem.journal.end import EndJob
from convmem.retrieve.recaller import Asked
from convmem.threads.locks import Lock
from convmem.threads.waiting import NotReadyError, Waits, adrive, drive, seconds_until
from convmem.tokens.count import count_messages
from convmem.types import Receipt, Tokens
from convmem.wire.message import copies
from convmem.wire.values import Reply

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Future

    from convmem.call.shared import Shared
    from convmem.context.request import Composed
    from convmem.journal.job import Job
    from convmem.journal.placed import Call, Placement
    from convmem.policy import Policy
    from convmem.providers.refusal import Refusal
    from convmem.types import Message

__all__ = ["Exchange"]

T = TypeVar("T")

_Working: TypeAlias = "Future[Composed] | Future[Composed | None]"

_EMBED_PATIENCE = 2.0
"""A question is waited for so many times as long as one takes by the running estimate; then words are ranked,
so that there is something to quote, and the rest of the deadline is its own."""
_RANK_RESERVE = 1.5
"""Ranking with vectors takes about as long as ranking by words took: so many times that is kept for it."""
_RANK_PATIENCE = 4.0
"""So many more deadlines a call waits while turns are ranked, which waits for nothing but a processor."""
_LOOK_S = 0.1
"""How often a call that waits for the writer looks whether that has a prospect."""
_THOUGHTS = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_GLANCE_S = 1.0
"""Seconds in which the conversation is read where the journal is stuck, however long that took before."""


_WITHHELD = "the reply is not journaled: something that it answers was forgotten meanwhile"
_NO_TURNS = "the call has no turn besides the system text: nothing is added to it"


class Exchange:
    """One wrapped call as it happens; see `convmem.call.exchange` for what is written.

    Attributes:
        receipt: the account so far; replaced as things happen.
        messages: what to send instead of the caller's messages, or None to send those.
    """

    def __init__(self, shared: Shared, call: Call, policy: Policy) -> None:
        self._shared = shared
        self._call = call
        self._policy = policy
        self._started = 0.0
        self._asked = Asked()
        self._composition: Composition | None = None
        self._retried = False
        self._went_as_made = False  # because the provider refused what memory had made of it
        self._begun = BeginJob(call, shared.store, shared.seen, written=self._begin_written)
        self._ended = False
        self._end_written = False
        self._gave_up: set[str] = set()  # steps that were too late for their call
        self._sent_at = 0.0
        self._lock = Lock()  # a stream that nobody reads any more may end within any other step
        self.messages: list[Message] | None = None
        self.receipt = Receipt(
            call=call.id,
            at=call.at,
            user=call.user,
            session=call.session,
            mode=call.mode,
            model=call.request.model,
            host=call.host,
        )
        if not call.request.turns:
            self._note(_NO_TURNS)
        if call.session is None and len(call.request.turns) == 1 and call.mode != "read":
            self._note("no session was named, and a single message continues none: it begins a new session")
        if (lost := missed(shared, call.user, call.session, call.mode)) is not None:
            self._note(lost)

    # Before the provider call.

    def begin(self) -> None:
        """Align and journal, then compose the request."""
        with self._shared.recaller.indexer.standing_back():
            drive(self._before())

    async def abegin(self) -> None:
        """`begin`, without blocking the event loop."""
        with self._shared.recaller.indexer.standing_back():
            await adrive(self._before())

    def _before(self) -> Waits[None]:
        """All that is done before the provider call."""
        self._started = time.monotonic()
        written = self._begin()
        try:
            error = yield from self._stored(written)
            placement, whole = self._has_begun(error), True
            if self._call.mode != "write" and self._call.request.turns:
                if placement is None:
                    placement, whole = yield from self._glance()
                if placement is not None:
                    yield from self._composing(placement)
                if placement is None or not whole:
                    self._update(complete=False)
        except JournalError:
            raise
        except BaseException as stopped:
            self._end(Reply(complete=False), error=type(stopped).__name__)
            raise
        self._goes_out()

    def _begin(self) -> Future[Placement]:
        """Submit what runs side by side: the journal step, and what recall will need."""
        if self._call.mode != "write":
            owner = OwnerRef(self._call.user) if self._call.user is not None else None
            self._asked = self._shared.recaller.ask_soon(self._call.request.question, owner, as_held=True)
        return self._submit(self._begun)

    def _stored(self, job: Future[Any]) -> Waits[BaseException | None]:
        """Wait for the writer: as long as the store may take, but for no process that keeps its lock."""
        began = time.monotonic()
        until = began + self._shared.patience_s
        error = yield job, min(_LOOK_S, seconds_until(until))
        while isinstance(error, NotReadyError) and not self._shared.journal.held and seconds_until(until):
            error = yield job, min(_LOOK_S, seconds_until(until))
        if not isinstance(error, NotReadyError):
            return error
        why = ", another process keeps the store locked" if self._shared.journal.held else ""
        return NotReadyError(f"not ready within {(time.monotonic() - began) * 1_000:.0f} ms{why}")

    def _glance(self) -> Waits[tuple[Placement | None, bool]]:
        """Find the call's place by reading alone, where the journal cannot be written in time.

        Returns:
            The place, None when not even that succeeds; and whether all that was said is in the store, and
            nothing of it waits for the writer.
        """
        shared, call = self._shared, self._call
        reading = shared.pool.submit(lambda: looked_up(call, shared.store, shared.seen))
        error = yield reading, _GLANCE_S
        if error is not None:
            self._degraded(noted(f"the conversation cannot be read: {error}", error), error, serious=False)
            return None, False
        placement = reading.result()
        return placement, not shared.journal.holds(placement.ref, besides=self._begun)

    def _ranking_s(self, until: float) -> float:
        """Seconds to wait for turns to be ranked and packed, once all that is needed for it is there.

        That is some milliseconds of work. Where it takes seconds the machine is short of processors:
        everything takes as much longer there, and a memory that gave up would be absent just then.
        """
        more = 0.0 if self._shared.recaller.overdue else _RANK_PATIENCE * self._shared.deadline_s
        return seconds_until(until) + more

    def _composing(self, placement: Placement) -> Waits[None]:
        """Put the request together: its window by the store's clock, what is recalled by a deadline."""
        if not placement.known:
            detail = f"{self._call.request.held} is not known, so nothing is added to the call"
            self._degraded(detail, None, serious=False)
            return
        shared, began = self._shared, time.monotonic()
        composition = Composition(shared.composer, self._call, placement, self._policy)
        patience_s = shared.compressor_s
        working: _Working = shared.pool.submit(lambda: composition.run(self._asked, patience_s=patience_s))
        error = yield working, shared.deadline_s  # one wait for both clocks where all is well
        if isinstance(error, NotReadyError):
            error = yield composition.ready, shared.patience_s
        waited = 0.0
        if error is None:
            working, error, waited = yield from self._recalling(composition, working)
        self._has_composed(composition, working, error)
        if composition.ready.done() and composition.ready.exception() is None:
            ready = composition.ready.result()
            ms = {"compose": ready - began, "embed": waited, "recall": time.monotonic() - ready - waited}
            if self._asked.vectors is None:
                del ms["embed"]
            self._update(
                ms={**self.receipt.ms, **{step: 1_000 * max(0.0, s) for step, s in ms.items()}},
                complete=self.receipt.complete and composition.complete,
            )
        self._composition = composition

    def _recalling(
        self, composition: Composition, working: _Working
    ) -> Waits[tuple[_Working, BaseException | None, float]]:
        """Wait for what is recalled, once the window is there.

        Returns:
            What made the request, what kept it from being ready, and the seconds that the question's vectors
            were waited for.
        """
        shared, asked = self._shared, self._asked
        until = composition.ready.result() + shared.deadline_s
        waited = 0.0
        error = yield working, self._ranking_s(until)
        if error is None and working.result() is None:  # recall needs something that is on its way
            began = time.monotonic()
            words = yield from self._meaning(composition, until)
            waited = time.monotonic() - began
            if not asked.loaded:
                error = NotReadyError(f"not ready within {shared.deadline_s * 1_000:.0f} ms")
            elif words is not None and (asked.vectors is None or not asked.vectors.done()):
                error = yield words, self._ranking_s(until)
                error = error or NotReadyError("without the question's vectors")
            else:
                working = shared.pool.submit(lambda: composition.recall(asked))
                error = yield working, self._ranking_s(until)
        shared.recaller.overdue = isinstance(error, NotReadyError) and asked.loaded and not composition.ranked
        return working, error, waited

    def _meaning(self, composition: Composition, until: float) -> Waits[Future[None] | None]:
        """Wait for what recall needs: the partition, then the question's vectors, words ranked meanwhile.

        Returns:
            The ranking by words, on its way, where that was begun.
        """
        asked, recaller = self._asked, self._shared.recaller
        if asked.loading is not None:
            yield asked.loading, seconds_until(until)
        if asked.vectors is None or asked.vectors.done() or not asked.loaded:
            return None
        expected = recaller.expected_s
        hopeless = expected > self._shared.deadline_s
        if not hopeless:
            yield asked.vectors, min(_EMBED_PATIENCE * expected, seconds_until(until) / 2)
            if asked.vectors.done():
                return None
        began = time.monotonic()
        words = self._shared.pool.submit(composition.words)
        yield words, seconds_until(until)
        reserve = _RANK_RESERVE * (time.monotonic() - began)
        if words.done() and not hopeless:
            yield asked.vectors, seconds_until(until - reserve)
        return words

    def _has_composed(
        self,
        composition: Composition,
        working: _Working,
        error: BaseException | None,
    ) -> None:
        composed: Composed | None = None
        try:
            late = "" if error is None else _without(error)
            composed = working.result() if error is None else composition.at_hand(self._asked, late)
        except Exception as failed:  # noqa: BLE001 (not even the window can be put together)
            error = failed
        if composed is None:
            self._update(complete=False)
            self._degraded(noted(f"the call goes out as it was made: {error}", error), error, serious=False)
            return
        self.messages = copies(composed.messages) if composed.messages is not None else None
        self._update(**composed.receipt_fields())
        self._tell(composed)
        for note in composed.notes:
            if note in composed.told:
                self._note(note)
            else:
                self._degraded(note, None, serious=False)

    def _tell(self, composed: Composed) -> None:
        """What composing did, as events."""
        if not self._shared.hooks:
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
            messages=tuple(copies(sent)),
        )

    def _goes_out(self) -> None:
        if not self.receipt.tokens.total:  # nothing was composed
            self._update(tokens=self._as_made())
        receipt = self.receipt
        self._emit(SentEvent, model=receipt.model, host=self._call.host, mode=receipt.mode, ms=receipt.ms)
        self._sent_at = time.perf_counter()

    # When the provider refuses what memory made of the call.

    def refused(self, refusal: Refusal) -> bool:
        """Change the request that was refused, so that it may be sent once more.

        Returns:
            Whether it is to be sent again: only once, and only where memory had changed it.
        """
        return drive(self._again(refusal))

    async def arefused(self, refusal: Refusal) -> bool:
        """`refused`, without blocking the event loop."""
        return await adrive(self._again(refusal))

    def _again(self, refusal: Refusal) -> Waits[bool]:
        composition = self._composition
        if self._retried or self.messages is None or composition is None:
            return False
        self._retried = True
        remedy = self._remedy(composition, refusal)
        if remedy is not None:
            yield from self._composing(composition.placement)
            self._note(remedy)
            return True
        if refusal.overflow or self._call.request.turns[0].get("role") == "tool":
            return False  # as it was made it is no shorter, or answers nobody: the first refusal tells more
        self._went_as_made = self.receipt.restored > 0 or self.receipt.dropped > 0
        self.messages = None
        self._update(
            restored=0,
            dropped=0,
            recalled=(),
            cut=False,
            tokens=self._as_made(),
            prefix_tokens=None,
            complete=not self._went_as_made,
        )
        self._note("the provider refused the request as memory had composed it: sent again as it was made")
        return True

    def _remedy(self, composition: Composition, refusal: Refusal) -> str | None:
        """Learn from a refusal how to compose the request; what to note, None when it does not tell."""
        composer, which = self._shared.composer, composition.which
        if refusal.overflow:
            limit, named = composition.limit_after(refusal.limit, self.receipt.tokens.total)
            if limit is None:
                return None  # the caller's own messages do not fit, whatever memory leaves out
            composer.lessons.learn_limit(which, limit, named=named)
            if named:
                self._shared.pool.submit(lambda: composer.lessons.limits.keep(which.host, which.model, limit))
            told = f"its limit is {limit} tokens, which is kept" if named else "without a number"
            return f"the provider refused the request for its length, {told}: sent again, shorter"
        if refusal.fields & _THOUGHTS and composer.lessons.learn_thoughts(which, composition.dialect):
            return "the provider refused how thoughts were put back: sent again the other way, from now on"
        turns = composition.turns_of(refusal.message) if refusal.message is not None else None
        if turns:
            composer.lessons.refuse(which, turns)
            return "the provider refused a message that memory had put back: sent again without its round"
        return None

    def _as_made(self) -> Tokens:
        """Tokens of the caller's own messages."""
        request, count = self._call.request, self._shared.ratios.counter(self._call.request.model)
        tools = count(request.tools) if request.tools else 0
        new = sum(self._shared.seen.of(turn).tokens(count) for turn in request.turns)
        return Tokens(system=count_messages(request.settings, count) + tools, new=new)

    def _submit(self, job: Job[T]) -> Future[T]:
        try:
            return self._shared.journal.submit(job)
        except (ClosedError, JournalError) as error:
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

    def _has_begun(self, error: BaseException | None) -> Placement | None:
        """The call's place, once it is journaled; None when it could not be in time."""
        self._update(ms={"journal": (time.monotonic() - self._started) * 1_000})
        with self._lock:
            placement = self._begun.placement if error is None else None
            if placement is None:
                self._gave_up.add("begin")
        if placement is not None:
            self._journaled(placement.ids)
            return placement
        if isinstance(error, NotReadyError):
            self._shared.journal.overdue = True
        try:
            goes = "does not go out" if self._shared.on_error == "raise" else "goes out unjournaled"
            self._degraded(noted(f"the call {goes}: {error}", error), error)
        except JournalError as raised:
            self.stop_soon(Reply(complete=False), raised)
            raise
        return None

    def _journaled(self, ids: tuple[str, ...], *, late: bool = False) -> None:
        if self._call.mode != "read":
            self._emit(JournaledEvent, turns=ids, late=late)

    def _degraded(
        self, detail: str, error: BaseException | None, *, serious: bool = True, raises: bool = True
    ) -> None:
        """Note trouble; a serious one is an error for those who asked for it, where one may be raised."""
        self._note(detail)
        if not serious or not self._shared.journal.in_trouble:  # that was told when it began, for all calls
            self._emit(DegradedEvent, detail=detail)
        if serious and raises and self._shared.on_error == "raise":
            raise JournalError(detail) from error

    # After it.

    def answered(self, reply: Reply, *, response: object = None) -> None:
        """Commit the reply; waits for the store as `begin` does."""
        drive(self._after(self._end(reply), response))

    async def aanswered(self, reply: Reply, *, response: object = None) -> None:
        """`answered`, without blocking the event loop."""
        await adrive(self._after(self._end(reply), response))

    def stopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """The call ended early: an error of the provider's, a stream broken off, cancelled or cut.

        What arrived is kept as partial; when nothing did, the turns that waited have failed. This waits for
        the commit like `answered`, but when the process is to end, for nobody. It never raises.
        """
        future = self._end(reply, error=type(error).__name__ if error is not None else None)
        if error is None or isinstance(error, Exception):
            drive(self._after(future, raises=False))

    async def astopped(self, reply: Reply) -> None:
        """`stopped` by the caller's own hand, without blocking the event loop."""
        await adrive(self._after(self._end(reply), raises=False))

    def _after(
        self, ending: Future[tuple[str, ...]] | None, response: object = None, *, raises: bool = True
    ) -> Waits[None]:
        """Wait for the commit of the reply; None where the call had ended already."""
        if ending is None:
            return
        started = time.monotonic()
        error = yield from self._stored(ending)
        self._update(ms={**self.receipt.ms, "reply": (time.monotonic() - started) * 1_000})
        if error is None:
            return
        with self._lock:
            self._gave_up.add("end")
        if isinstance(error, NotReadyError):
            self._shared.journal.overdue = True
        try:
            self._degraded(noted(f"the reply is not journaled: {error}", error), error, raises=raises)
        except JournalError as raised:
            raised.response = response
            raise

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
            cost = self._shared.prices.cost(
                reply.usage, host=self._call.host, model=self._call.request.model, at=self._call.at
            )
            self.receipt = self.receipt.with_(
                state=reply.state, usage=reply.usage, cost=cost, journaled=False, ms=ms
            )
        usage = reply.usage or {}
        counted = usage.get("prompt_tokens", usage.get("input_tokens"))
        if isinstance(counted, int) and self._call.request.held is None:
            self._shared.composer.lessons.limits.answered(
                self._call.host or "", self._call.request.model or "", counted
            )
            self._shared.ratios.learn(
                self._call.request.model, sent=self.receipt.tokens.total, counted=counted
            )
        job = EndJob(
            self._begun,
            reply,
            at=self._shared.clock(),
            error=error,
            quoted=[turn.id for turn in self.receipt.recalled],
            receipt=self._kept,
            written=self._reply_written,
        )
        if not reply.waiting:
            self._has_stopped(reply, error or "")
        if self._went_as_made and reply.choices and self._composition is not None:
            # It was memory's part that was refused: it is not sent again as it was.
            self._shared.pool.submit(self._composition.cut_behind)
        return self._submit(job)

    def _has_stopped(self, reply: Reply, error: str) -> None:
        """What became of the provider call, as an event."""
        receipt = self.receipt
        about = {"model": receipt.model, "host": self._call.host, "ms": receipt.ms, "error": error}
        if reply.choices:
            self._emit(AnsweredEvent, state=reply.state, usage=reply.usage, **about)
        else:
            self._emit(FailedEvent, **about)

    def _kept(self, withheld: bool) -> Receipt:  # noqa: FBT001 (a callback)
        """The receipt as it is kept with the reply; on the writer thread."""
        with self._lock:
            if withheld:
                return self.receipt.with_(notes=(*self.receipt.notes, _WITHHELD))
            return self.receipt.with_(journaled=True)

    def _reply_written(self, ids: tuple[str, ...], withheld: bool) -> None:  # noqa: FBT001 (a callback)
        """On the writer thread, in time or late."""
        with self._lock:
            self._end_written = not withheld
            turns = (*self.receipt.turns, *ids)
            self._shared.recaller.indexer.wake(new=[int(id_[1:]) for id_ in turns])
            journaled = self._end_written and self._call.mode != "read"
            self.receipt = self.receipt.with_(turns=turns, journaled=journaled)
        if withheld:
            self._note(_WITHHELD)
        if ids:
            self._journaled(ids, late="end" in self._gave_up)

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
        if self._shared.hooks or kind is DegradedEvent:
            event = kind(call=receipt.call, user=receipt.user, session=receipt.session, **payload)
            emit(self._shared.hooks, event)


def _without(error: BaseException) -> str:
    """Why a call goes without recall."""
    late = isinstance(error, NotReadyError)
    why = f"recall was {error}" if late else f"recall failed ({type(error).__name__}: {error})"
    return noted(f"{why}: the call goes without it", error)
