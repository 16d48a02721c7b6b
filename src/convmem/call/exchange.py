"""Leads one wrapped call from the request to the committed reply.

`call.opening` makes an `Exchange`. The wrapper that makes the call drives `before` ahead of the provider
call, sends `body`, drives `again` when the provider refuses the request, and then tells how the call ended,
once (`call.recipient`). Whatever goes wrong on memory's side, the call goes out.

A call has two clocks. It waits for its own conversation as long as the store may take (`store_timeout_s`);
recall has a deadline of its own (`deadline_ms`), which begins when the conversation is there. The steps are
generators of waits, which a blocking and an async loop drive alike (`threads.waiting`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from convmem.abilities import OwnerRef
from convmem.call.account import Account
from convmem.call.composing import composing
from convmem.call.recipient import Recipient
from convmem.call.remedy import remedy
from convmem.call.scope import missed
from convmem.context.compose import Composition
from convmem.errors import ClosedError, JournalError, noted
from convmem.hooks import (
    AnsweredEvent,
    AssembledEvent,
    CutEvent,
    DegradedEvent,
    FailedEvent,
    JournaledEvent,
    RecalledEvent,
    SentEvent,
)
from convmem.journal.begin import BeginJob, looked_up
from convmem.journal.end import EndJob
from convmem.retrieve.recaller import Asked
from convmem.threads.waiting import NotReadyError, Waits, seconds_until
from convmem.tokens.count import count_messages
from convmem.types import Receipt, Tokens
from convmem.wire.message import copies
from convmem.wire.values import Reply

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from concurrent.futures import Future

    from convmem.call.composing import Waited
    from convmem.call.shared import Shared
    from convmem.context.request import Composed
    from convmem.journal.job import Job
    from convmem.journal.placed import Call, Placement
    from convmem.policy import Policy
    from convmem.providers.refusal import Refusal
    from convmem.types import Message
    from convmem.wire.shape import Shape

__all__ = ["Exchange"]

T = TypeVar("T")

_LOOK_S = 0.1
"""Seconds between two looks of a call that waits for the writer, whether another process holds the store."""
_GLANCE_S = 1.0
"""Seconds for which a call waits for its conversation to be read where the journal is stuck, however long the
call has waited before."""

_WITHHELD = "the reply is not journaled: something that it answers was forgotten meanwhile"
_NO_TURNS = "the call has no turn besides the system text: nothing is added to it"
_NEW_SESSION = "no session was named, and a single message continues none: it begins a new session"
_AS_MADE = "the provider refused the request as memory had composed it: sent again as it was made"


class Exchange(Recipient):
    """One wrapped call as it happens, with memory; the steps are in call order below.

    Args:
        shared: what the calls of the Memory share.
        call: the call before anything is done for it.
        policy: says how much of the conversation is sent.
        shape: the shape of the call's body (Chat Completions, Responses).
        body: the body as it would be sent without memory.

    Attributes:
        messages: the messages to send instead of the caller's; None to send those.
    """

    def __init__(
        self, shared: Shared, call: Call, policy: Policy, *, shape: Shape, body: Mapping[str, Any]
    ) -> None:
        self._shared = shared
        self._call = call
        self._shape = shape
        self._body = body
        self._policy = policy
        self._asked = Asked()
        self._composition: Composition | None = None
        self._retried = False
        self._went_as_made = False  # because the provider refused what memory had made of it
        self._begun = BeginJob(call, shared.store, shared.seen, written=self._begin_written)
        self._end_written = False
        self._gave_up: set[str] = set()  # steps that were too late for their call
        self._sent_at = 0.0
        self.messages: list[Message] | None = None
        self._account = Account(
            shared,
            Receipt(
                call=call.id,
                at=call.at,
                user=call.user,
                session=call.session,
                mode=call.mode,
                model=call.request.model,
                host=call.host,
            ),
        )
        if not call.request.turns:
            self._account.note(_NO_TURNS)
        if call.session is None and len(call.request.turns) == 1 and call.mode != "read":
            self._account.note(_NEW_SESSION)
        if (lost := missed(shared, call.user, call.session, call.mode)) is not None:
            self._account.note(lost)

    @property
    def receipt(self) -> Receipt:
        """The receipt of the call so far."""
        return self._account.receipt

    @property
    def body(self) -> dict[str, Any] | None:
        """The body to send instead of the caller's; None where that goes out as it is, byte for byte."""
        if self.messages is None:
            return None
        return self._shape.rebuilt(self._body, self.messages, dropped=self.receipt.dropped)

    # Before the provider call.

    def before(self) -> Waits[None]:
        """Have the call's turns journaled, wait for that, and compose the request.

        Raises:
            JournalError: the call could not be journaled in time, and `on_error="raise"` asked to be told.
        """
        with self._shared.recaller.indexer.standing_back():
            started = time.monotonic()
            written = self._begin()
            try:
                error = yield from self.waits(written)
                placement, whole = self._has_begun(error, started), True
                if self._call.mode != "write" and self._call.request.turns:
                    if placement is None:
                        placement, whole = yield from self._glance()
                    if placement is not None:
                        yield from self._composing(placement)
                    if placement is None or not whole:
                        self._account.update(complete=False)
            except JournalError:
                raise
            except BaseException as stopped:
                self.stop_soon(Reply(complete=False), stopped)
                raise
            self._goes_out()

    def _begin(self) -> Future[Placement]:
        """Submit the journal step, and beside it the load of the partition and the embedding of the question.

        The latter first: the journal step is what the call waits for next, and they run meanwhile.
        """
        if self._call.mode != "write":
            owner = OwnerRef(self._call.user) if self._call.user is not None else None
            self._asked = self._shared.recaller.ask_soon(self._call.request.question, owner, as_held=True)
        return self._submit(self._begun)

    def waits(self, future: Future[Any]) -> Waits[BaseException | None]:
        """Wait for the writer, `patience_s` at most, and not for a process that keeps the store locked."""
        journal, began = self._shared.journal, time.monotonic()
        until = began + self.patience_s
        error = yield future, min(_LOOK_S, seconds_until(until))
        while isinstance(error, NotReadyError) and not journal.held and seconds_until(until):
            error = yield future, min(_LOOK_S, seconds_until(until))
        if not isinstance(error, NotReadyError):
            return error
        why = ", another process keeps the store locked" if journal.held else ""
        return NotReadyError(f"not ready within {(time.monotonic() - began) * 1_000:.0f} ms{why}")

    def _glance(self) -> Waits[tuple[Placement | None, bool]]:
        """Find the call's place by reading the store alone, where the journal cannot be written in time.

        Returns:
            The place, None when the store cannot be read either; and whether the store has all turns of the
            session, with none waiting for the writer.
        """
        shared, call = self._shared, self._call
        reading = shared.pool.submit(lambda: looked_up(call, shared.store, shared.seen))
        error = yield reading, _GLANCE_S
        if error is not None:
            self._degraded(noted(f"the conversation cannot be read: {error}", error), error, serious=False)
            return None, False
        placement = reading.result()
        return placement, not shared.journal.holds(placement.ref, besides=self._begun)

    def _composing(self, placement: Placement) -> Waits[None]:
        """Compose the request, and note how long each step took."""
        if not placement.known:
            detail = f"{self._call.request.held} is not known, so nothing is added to the call"
            self._degraded(detail, None, serious=False)
            return
        began = time.monotonic()
        try:
            composition = Composition(self._shared.resources, self._call, placement, self._policy)
        except Exception as error:  # noqa: BLE001 (such as a table that cannot be read for want of a descriptor)
            self._goes_as_made(error)
            return
        waited = yield from composing(self._shared, composition, self._asked)
        self._has_composed(composition, waited)
        if composition.ready.done() and composition.ready.exception() is None:
            ready, embed_s = composition.ready.result(), waited.embed_s
            took = {"compose": ready - began, "embed": embed_s, "recall": time.monotonic() - ready - embed_s}
            if self._asked.vectors is None:
                del took["embed"]
            ms = {step: 1_000 * max(0.0, seconds) for step, seconds in took.items()}
            self._account.change(
                lambda receipt: receipt.with_(
                    ms={**receipt.ms, **ms}, complete=receipt.complete and composition.complete
                )
            )
        self._composition = composition

    def _has_composed(self, composition: Composition, waited: Waited) -> None:
        """Take the request over, or what is there of it by now; else the call goes out as it was made."""
        error, composed = waited.error, None
        try:
            late = "" if error is None else _without(error)
            composed = waited.working.result() if error is None else composition.at_hand(self._asked, late)
        except Exception as failed:  # noqa: BLE001 (not even the window can be put together)
            error = failed
        if composed is None:
            self._goes_as_made(error)
            return
        self.messages = copies(composed.messages) if composed.messages is not None else None
        self._account.update(**composed.receipt_fields())
        self._tell(composed)
        for note in composed.notes:
            if note in composed.told:
                self._account.note(note)
            else:
                self._degraded(note, None, serious=False)

    def _goes_as_made(self, error: BaseException | None) -> None:
        """Send the caller's own messages, because nothing could be composed, and say why."""
        self.messages = None
        self._account.update(complete=False)
        self._degraded(noted(f"the call goes out as it was made: {error}", error), error, serious=False)

    def _tell(self, composed: Composed) -> None:
        """Tell the hooks what was composed: a cut, recalled turns, the messages that are sent."""
        if not self._shared.hooks:
            return
        emit, tokens, request = self._account.emit, composed.tokens, self._call.request
        if composed.cut:
            emit(CutEvent, rounds=composed.cut_rounds, summary_tokens=tokens.summary)
        if composed.recalled:
            emit(RecalledEvent, recalled=composed.recalled, tokens=tokens.recall)
        sent = composed.messages if composed.messages is not None else (*request.settings, *request.turns)
        emit(
            AssembledEvent,
            tokens=tokens,
            restored=composed.restored,
            dropped=composed.dropped,
            prefix_tokens=composed.prefix_tokens,
            changed=composed.messages is not None,
            messages=tuple(copies(sent)),
        )

    def _goes_out(self) -> None:
        """Tell that the request is sent now, and start the provider's clock."""
        if not self.receipt.tokens.total:  # nothing was composed
            self._account.update(tokens=self._as_made())
        receipt = self.receipt
        self._account.emit(
            SentEvent, model=receipt.model, host=self._call.host, mode=receipt.mode, ms=receipt.ms
        )
        self._sent_at = time.perf_counter()

    # When the provider refuses the request that memory had composed.

    def again(self, refusal: Refusal) -> Waits[bool]:
        """Change a refused request by what the refusal teaches, or undo what memory had changed.

        Returns:
            Whether to send the request again: only once, and only where memory had changed it.
        """
        composition = self._composition
        if self._retried or self.messages is None or composition is None:
            return False
        self._retried = True
        learned = remedy(self._shared, composition, refusal, tokens=self.receipt.tokens.total)
        if learned is not None:
            yield from self._composing(composition.placement)
            self._account.note(learned)
            return True
        if refusal.overflow or self._call.request.turns[0].get("role") == "tool":
            # As it was made the request is no shorter, or begins with a tool's result whose call was left
            # out: the first refusal tells more than a second one would.
            return False
        self._went_as_made = self.receipt.restored > 0 or self.receipt.dropped > 0
        self.messages = None
        self._account.update(
            restored=0,
            dropped=0,
            recalled=(),
            cut=False,
            tokens=self._as_made(),
            prefix_tokens=None,
            complete=not self._went_as_made,
        )
        self._account.note(_AS_MADE)
        return True

    def _as_made(self) -> Tokens:
        """The token counts of the call as the caller made it."""
        request, count = self._call.request, self._shared.ratios.counter(self._call.request.model)
        tools = count(request.tools) if request.tools else 0
        new = sum(self._shared.seen.of(turn).tokens(count) for turn in request.turns)
        return Tokens(system=count_messages(request.settings, count) + tools, new=new)

    # The journal step.

    def _submit(self, job: Job[T]) -> Future[T]:
        """Submit a job to the journal; where that is closed, the job's future fails instead of this call."""
        try:
            return self._shared.journal.submit(job)
        except (ClosedError, JournalError) as error:
            job.fail(error)
            return job.outcome

    def _begin_written(self, placement: Placement) -> None:
        """Note the call's session and turns; called on the writer thread, in time or late."""
        self._account.change(
            lambda receipt: receipt.with_(
                session=placement.ref.session,
                turns=(*placement.ids, *receipt.turns),
                journaled=self._call.mode != "read" and (not self.ended or self._end_written),
            )
        )
        if "begin" in self._gave_up:
            self._journaled(placement.ids, late=True)

    def _has_begun(self, error: BaseException | None, started: float) -> Placement | None:
        """The call's place once it is journaled; None, and a note, when that did not succeed in time.

        Args:
            error: the error of the journal step; None when it succeeded.
            started: the monotonic time at which the step began.
        """
        self._account.update(ms={"journal": (time.monotonic() - started) * 1_000})
        placement = self._begun.placement if error is None else None
        if placement is not None:
            self._journaled(placement.ids)
            return placement
        self._late("begin", error)
        try:
            goes = "does not go out" if self._shared.on_error == "raise" else "goes out unjournaled"
            self._degraded(noted(f"the call {goes}: {error}", error), error)
        except JournalError as raised:
            self.stop_soon(Reply(complete=False), raised)
            raise
        return None

    def _late(self, step: str, error: BaseException | None) -> None:
        """Remember that the call gave up waiting for a step: its event is told when the step is done."""
        self._gave_up.add(step)
        if isinstance(error, NotReadyError):
            self._shared.journal.overdue = True

    def _journaled(self, ids: tuple[str, ...], *, late: bool = False) -> None:
        """Tell that turns of the call are journaled."""
        if self._call.mode != "read":
            self._account.emit(JournaledEvent, turns=ids, late=late)

    def _degraded(
        self, detail: str, error: BaseException | None, *, serious: bool = True, raises: bool = True
    ) -> None:
        """Note trouble in the receipt, and tell of it.

        Args:
            detail: the note.
            error: the error behind it; None without one.
            serious: the journal is concerned: with `on_error="raise"` the call raises a `JournalError`.
            raises: whether an error may be raised here.
        """
        self._account.note(detail)
        # An event told of the journal's trouble when it began, once for all calls.
        if not serious or not self._shared.journal.in_trouble:
            self._account.emit(DegradedEvent, detail=detail)
        if serious and raises and self._shared.on_error == "raise":
            raise JournalError(detail) from error

    # After the provider call.

    def end(
        self, reply: Reply, error: BaseException | None = None, *, early: bool
    ) -> Future[tuple[str, ...]] | None:
        """Submit the job that journals the reply, once.

        Returns:
            The job's future; None when the call had ended already.
        """
        del early
        call, shared = self._call, self._shared
        cost = shared.prices.cost(reply.usage, host=call.host, model=call.request.model, at=call.at)

        first = False

        def ended(receipt: Receipt) -> Receipt:
            nonlocal first
            if self.ended:
                return receipt
            first = self.ended = True
            ms = {**receipt.ms}
            if self._sent_at:
                ms["provider"] = (time.perf_counter() - self._sent_at) * 1_000
            return receipt.with_(state=reply.state, usage=reply.usage, cost=cost, journaled=False, ms=ms)

        self._account.change(ended)
        if not first:
            return None
        self._learn(reply)
        name = type(error).__name__ if error is not None else None
        job = EndJob(
            self._begun,
            reply,
            at=shared.clock(),
            error=name,
            quoted=[turn.id for turn in self.receipt.recalled],
            receipt=self._receipt_kept,
            written=self._reply_written,
        )
        if not reply.waiting:
            self._has_stopped(reply, name or "")
        if self._went_as_made and reply.choices and self._composition is not None:
            # The provider took the call without memory's part: the older rounds are not sent as messages
            # again.
            shared.pool.submit(self._composition.cut_behind)
        return self._submit(job)

    def _learn(self, reply: Reply) -> None:
        """Learn from the provider's token count how far the count here is off, and what the model takes."""
        call, usage = self._call, reply.usage or {}
        counted = usage.get("prompt_tokens", usage.get("input_tokens"))
        if isinstance(counted, int) and call.request.held is None:
            limits = self._shared.resources.lessons.limits
            limits.answered(call.host or "", call.request.model or "", counted)
            sent = self.receipt.tokens.total
            self._shared.ratios.learn(call.request.model, sent=sent, counted=counted)

    def _has_stopped(self, reply: Reply, error: str) -> None:
        """Tell the hooks how the provider call ended: with an answer, or without."""
        receipt = self.receipt
        about = {"model": receipt.model, "host": self._call.host, "ms": receipt.ms, "error": error}
        if reply.choices:
            self._account.emit(AnsweredEvent, state=reply.state, usage=reply.usage, **about)
        else:
            self._account.emit(FailedEvent, **about)

    def kept(
        self, error: BaseException | None, reply: Reply, response: object, *, waited_s: float, raises: bool
    ) -> None:
        """Note how long the call waited for its reply to be journaled, and any trouble with that.

        Raises:
            JournalError: the reply is not journaled in time, and `on_error="raise"` asked to be told.
        """
        del reply
        ms = {"reply": waited_s * 1_000}
        self._account.change(lambda receipt: receipt.with_(ms={**receipt.ms, **ms}))
        if error is None:
            return
        self._late("end", error)
        try:
            self._degraded(noted(f"the reply is not journaled: {error}", error), error, raises=raises)
        except JournalError as raised:
            raised.response = response
            raise

    def _receipt_kept(self, withheld: bool) -> Receipt:  # noqa: FBT001 (a callback)
        """The receipt that is kept with the reply; called on the writer thread."""
        receipt = self.receipt
        if withheld:
            return receipt.with_(notes=(*receipt.notes, _WITHHELD))
        return receipt.with_(journaled=True)

    def _reply_written(self, ids: tuple[str, ...], withheld: bool) -> None:  # noqa: FBT001 (a callback)
        """Note the turns of the reply, and have views made; called on the writer thread, in time or late."""

        def written(receipt: Receipt) -> Receipt:
            self._end_written = not withheld
            journaled = self._end_written and self._call.mode != "read"
            return receipt.with_(turns=(*receipt.turns, *ids), journaled=journaled)

        receipt = self._account.change(written)
        self._shared.recaller.indexer.wake(new=[int(id_[1:]) for id_ in receipt.turns])
        if withheld:
            self._account.note(_WITHHELD)
        if ids:
            self._journaled(ids, late="end" in self._gave_up)

    def unquote(self, ids: Collection[str]) -> None:
        """Take the quoted words of forgotten turns out of the receipt."""
        self._account.unquote(ids)


def _without(error: BaseException) -> str:
    """The note that says why a call goes without recall."""
    late = isinstance(error, NotReadyError)
    why = f"recall was {error}" if late else f"recall failed ({type(error).__name__}: {error})"
    return noted(f"{why}: the call goes without it", error)
