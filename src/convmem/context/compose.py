"""Composes one request: gathers what it needs, decides its window, cuts it when full, recalls, and assembles.

`call.composing` runs a `Composition` on a thread of the pool: `run`, and `recall` when recall has to wait for
something. The window and the recalled turns are two results: when recall is late, the call goes out with the
window alone (`at_hand`). The block that was chosen for a round stays in all calls of the round, so the block
of a late recall is dropped. After a refusal, `call.remedy` asks it what to change.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from convmem.abilities import EpochRef
from convmem.compress.extractive import Extractive
from convmem.context.assemble import assemble, block_tokens, question_of, riding_pins, sealed
from convmem.context.cut import Cut, summarized
from convmem.context.frame import frame_of
from convmem.context.gather import gather
from convmem.context.render import recall_block, recall_fence, speaks_chinese
from convmem.context.request import Block, Composed
from convmem.context.window import decide, leaving_behind
from convmem.errors import ConvmemError, StoreError, noted
from convmem.threads.locks import Lock
from convmem.types import Recalled
from convmem.wire.message import text_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convmem.compress.protocol import Compressor
    from convmem.context.cut import Leaving, Summary
    from convmem.context.frame import Item
    from convmem.context.gather import Gathered
    from convmem.context.resources import Resources
    from convmem.context.window import Window
    from convmem.journal.placed import Call, Placement
    from convmem.policy import Policy
    from convmem.providers.dialect import Dialect
    from convmem.recall import Packed, Ranking
    from convmem.retrieve.recaller import Asked
    from convmem.types import Message

__all__ = ["Composition"]

_DAMAGED = "the views of {} of the turns are damaged: they are not recalled until made again"
_SHRINK = 0.75
"""Share of a refused request's tokens that the next one may have, when the provider named no limit. Tokens
are counted some 20 % too high rather than too low, so the request was not much too long; with a greater share
the second request might be refused as well, and there is no third."""
_LEAST_GUESS = 3_000
"""Tokens of a request that no model in use finds too many: a guess goes no lower."""
_LEAST_LIMIT = 512
"""Tokens below which a number in a provider's error is not the context length: no chat model takes fewer."""
_NOTHING = Block("", (), 0, None)
"""The block of a request in front of which nothing is put."""


class Composition:
    """One request while it is composed.

    Args:
        resources: what all requests of the Memory share.
        call: the call.
        placement: the place of the call in the journal.
        policy: says how much of the conversation is sent.
        budget: the most tokens that recall may add, instead of the policy's number.

    Attributes:
        placement: the place of the call in the journal.
        which: the session, host and model of the request, which name its epoch and what was sent before.
        ready: resolved when the window is there.
    """

    def __init__(
        self,
        resources: Resources,
        call: Call,
        placement: Placement,
        policy: Policy,
        *,
        budget: int | None = None,
    ) -> None:
        self._resources = resources
        self.placement = placement
        self.which = EpochRef(placement.ref, call.host or "", call.request.model or "")
        self._frame = frame_of(
            call.request,
            placement,
            policy=policy,
            which=self.which,
            dialect=resources.lessons.dialect(self.which, call.at),
            count=resources.ratios.counter(call.request.model),
            seen=resources.seen,
            limit=resources.lessons.limit(self.which),
            now=call.at.astimezone(resources.tz),
            budget=budget,
        )
        self._decided: tuple[Gathered, Window] | None = None
        self._words: Block | None = None
        self._placed: list[tuple[Message, bool]] = []
        self._chosen: Composed | None = None
        self._lock = Lock()
        self._ms: dict[str, float] = {}
        self._notes: list[str] = []
        self._told: list[str] = []
        self.ready: Future[float] = Future()
        """Resolved with the time, by the monotonic clock in seconds, at which the window is there: recall's
        own deadline begins then. Where there is no window, it fails with the error."""

    def run(self, asked: Asked, *, patience_s: float | None = None) -> Composed | None:
        """Decide the window, cut it when it is full, recall, and put the request together.

        Args:
            asked: the load of the partition and the embedding of the question, begun before.
            patience_s: seconds to wait for a compressor; None waits as long as it takes.

        Returns:
            The request; None when recall has to wait for the partition or the question's vectors. Then
            `ready` is resolved, and `recall` makes the request.
        """
        if self.placement.sealed:
            self.ready.set_result(time.monotonic())
            return sealed(self._frame)
        started = time.perf_counter()
        try:
            gathered, window = self._decide(patience_s)
        except BaseException as error:
            self.ready.set_exception(error)
            raise
        self._decided = gathered, window
        self._ms["compose"] = (time.perf_counter() - started) * 1_000
        self._notes += window.notes
        self.ready.set_result(time.monotonic())
        return None if self._awaits(gathered, window, asked) else self.recall(asked)

    def _decide(self, patience_s: float | None) -> tuple[Gathered, Window]:
        """Read what the request needs, decide its window, and cut the window when it is full."""
        frame = self._frame
        gathered = gather(frame, self._resources)
        decision = decide(frame, gathered)
        leaving = decision.leaving
        if leaving is None:
            return gathered, decision.window(frame, gathered)

        def cutting(compressor: Compressor) -> Cut:
            return self._cut(leaving, gathered, compressor)

        summary, notes = self._resources.cuts.leave(self.which, cutting, patience_s)
        return gathered, decision.window(frame, gathered, summary, notes)

    def _cut(self, leaving: Leaving, gathered: Gathered, compressor: Compressor) -> Cut:
        """The cut by which rounds leave the window, with this compressor to write their summary."""
        count, pins, reader = self._frame.count, gathered.pins, self._resources.reader

        def make() -> tuple[Summary, tuple[str, ...]]:
            return summarized(
                leaving, lambda turns: reader.journaled(self.which, turns), pins, compressor, count
            )

        return Cut(leaving.start, self.placement.redaction, make)

    def _awaits(self, gathered: Gathered, window: Window, asked: Asked) -> bool:
        """Whether recall has to wait for partition or vectors; not where nothing new would be quoted."""
        newest = window.newest
        if asked.ready or newest is None or not self._room(window):
            return False
        if self._resources.memo.block(self.which, newest.identity) is not None:
            return False  # what was chosen for the round stays
        partitions, owner = self._resources.recaller.partitions, self._frame.owner
        if partitions.peek(owner) is None:
            return True
        question = question_of(self._frame, gathered, window, newest)
        try:  # not as it is held: what this call read of the views may be all there is to quote
            return partitions.get(owner, gathered.changed).holds_more_than(question.exclude)
        except StoreError:
            return True  # recall meets it again, and tells

    def recall(self, asked: Asked) -> Composed:
        """Recall with the vectors if they are there by now, and put the request together; after `run`."""
        return self._choose(self._recall(asked))

    def words(self) -> None:
        """Recall by words alone, for `at_hand`, while the question is still being embedded."""
        self._words = self._recall(None)

    def at_hand(self, asked: Asked, late: str) -> Composed | None:
        """The request that can be sent now, while recall may still be at work; None when there is no window.

        Args:
            asked: the load and the embedding that recall was waiting for.
            late: the note for the receipt when nothing can be quoted.
        """
        if self._decided is None:
            return None
        words, newest = self._words, self._window.newest
        if words is None or newest is None:
            return self._choose(_NOTHING, late)
        if note := self._vectors(newest, asked)[1]:
            self._told.append(note)
        return self._choose(words)

    # After the provider refused the request.

    @property
    def dialect(self) -> Dialect:
        """The dialect in which messages were put back: what the provider asks of them."""
        return self._frame.dialect

    def limit_after(self, named: int | None, sent: int) -> tuple[int | None, bool]:
        """The context length that the model seems to have, after it refused the request for its length.

        Args:
            named: the limit that the provider named, in tokens; None where it named none.
            sent: tokens of the request, as counted here.

        Returns:
            The limit in tokens, None where not even the newest round would fit; and whether the provider
            named it.
        """
        frame, window = self._frame, self._window
        took = self._resources.lessons.limits.took(self.which.host, self.which.model)
        # A number below any model's length, or below what this model took before, is another number of the
        # text.
        least = max(_LEAST_LIMIT, took + 1)
        told = named is not None and named >= least and (frame.limit is None or named < frame.limit)
        guess = frame.limit_for(max(_LEAST_GUESS, int(_SHRINK * sent)))
        limit = named if told and named is not None else guess
        needed = frame.system + sum(item.tokens for item in window.items[window.at or 0 :])
        return (limit if needed < limit else None), told

    def turns_of(self, message: int) -> frozenset[bytes]:
        """The identity of the turn at an index of the request's messages; empty where the caller sent it."""
        place = message - len(self._frame.request.settings)
        for n, (_, own) in enumerate(self._placed):
            if len(self.dialect.arranged(self._placed[: n + 1])) > place >= 0:
                return frozenset() if own else frozenset({self._window.items[n].identity})
        return frozenset()

    def cut_behind(self) -> None:
        """Begin a new epoch with the newest round, so that no earlier round is sent as messages again."""
        if (newest := self._window.newest) is None:
            return
        gathered = gather(self._frame, self._resources)
        leaving = leaving_behind(self._frame, gathered, newest.identity)
        if leaving is not None:
            self._resources.cuts.cut(self.which, self._cut(leaving, gathered, Extractive()))

    @property
    def ranked(self) -> bool:
        """Whether turns were ranked by words alone, while the question was being embedded."""
        return self._words is not None

    @property
    def complete(self) -> bool:
        """Whether all of the conversation that the policy wants is sent, and nothing of it was missing."""
        return self.placement.sealed or (self._decided is not None and self._window.complete)

    @property
    def _window(self) -> Window:
        if self._decided is None:
            raise ConvmemError("recall was asked for before there was a window")
        return self._decided[1]

    def _choose(self, block: Block, note: str = "") -> Composed:
        """The request with this block, unless one was chosen before: what was ready first is sent."""
        with self._lock:
            if self._chosen is None:
                if note:
                    self._notes.append(note)
                self._chosen = self._assembled(self._window, block)
            return self._chosen

    def _assembled(self, window: Window, block: Block) -> Composed:
        """Put the request together, and remember its block and forms for the calls after it."""
        frame, memo = self._frame, self._resources.memo
        if window.newest is not None and frame.budget is None:
            memo.keep_block(self.which, window.newest.identity, block)
        memo.keep_forms(frame, [item for item in window.items if item.own])
        made = assemble(frame, window, block, notes=self._notes, told=self._told, ms=dict(self._ms))
        self._placed = made.placed
        if made.sent is not None and (before := memo.sent(self.which, made.sent)) is not None:
            made.composed.prefix_tokens = made.sent.shared(before, frame.count)
        return made.composed

    # Recalling.

    def _recall(self, asked: Asked | None) -> Block:
        """The block in front of the newest user turn; an empty one, and a note, when recall fails.

        Args:
            asked: the load and the embedding; None ranks by words alone.
        """
        window = self._window
        if window.newest is None:
            return _NOTHING
        started = time.perf_counter()
        try:
            return self._recalled(window, window.newest, asked)
        except Exception as error:  # noqa: BLE001 (trouble with recall never breaks the chat)
            note = f"recall failed ({type(error).__name__}: {error}); the call goes without it"
            self._notes.append(noted(note, error))
            return _NOTHING
        finally:
            self._ms["recall"] = (time.perf_counter() - started) * 1_000

    def _recalled(self, window: Window, newest: Item, asked: Asked | None) -> Block:
        """The block in front of the newest user turn: the round's own where it has one, else a new one."""
        frame, recaller = self._frame, self._resources.recaller
        known = self._resources.memo.block(self.which, newest.identity)
        if known is not None and known.redaction is None and newest is not window.items[-1]:
            return known
        gathered = self._gathered
        loaded, damaged = recaller.load_sound(frame.owner, gathered.changed)
        fits = known is not None and known.tokens <= window.recall  # another policy may allow less
        if known is not None and fits and known.redaction == loaded.redaction and frame.budget is None:
            return known
        if damaged:
            self._notes.append(_DAMAGED.format(damaged))
        budget = self._room(window)
        chinese, today = speaks_chinese(text_of(newest.message)), frame.now.date()
        pins, left_out = riding_pins(frame, gathered.pins, window, today=today, chinese=chinese)
        quoted: str = ""
        recalled: tuple[Recalled, ...] = ()
        if budget and loaded.partition is not None:
            question = question_of(frame, gathered, window, newest)
            if loaded.holds_more_than(question.exclude):
                vectors, note = self._vectors(newest, asked)
                if note and asked is not None:
                    self._told.append(note)
                ranking = recaller.rank(loaded, question, vectors)
                fence = recall_fence(frame.count, pins, today=today, chinese=chinese)
                packed = recaller.pack(
                    frame.owner, ranking, budget, frame.count, fence=fence, tz=self._resources.tz
                )
                quoted, recalled = packed.text, _excerpts(ranking, packed)
        text = recall_block(quoted, pins, today=today, chinese=chinese)
        tokens = block_tokens(text, frame.count)
        pinned = 0
        if pins:
            unpinned = recall_block(quoted, (), today=today, chinese=chinese)
            pinned = tokens - block_tokens(unpinned, frame.count)
        return Block(text, recalled, tokens, loaded.redaction, pinned, left_out)

    @property
    def _gathered(self) -> Gathered:
        if self._decided is None:
            raise ConvmemError("recall was asked for before there was a window")
        return self._decided[0]

    def _room(self, window: Window) -> int:
        """The most tokens that the recall block may take."""
        return window.recall if self._frame.budget is None else self._frame.budget

    def _vectors(self, newest: Item, asked: Asked | None) -> tuple[NDArray[np.float32] | None, str]:
        """The question's vectors if they are there, and a note where they should be and are not."""
        if asked is None:
            return None, ""
        wanted = bool(text_of(newest.message).strip())
        return self._resources.recaller.vectors_of(asked.vectors, wanted=wanted)


def _excerpts(ranking: Ranking, packed: Packed) -> tuple[Recalled, ...]:
    """The quoted turns, as receipts list them."""
    speakers = {hit.id: hit.speaker or hit.role for hit in (*ranking.standing, *ranking.hits)}
    return tuple(
        Recalled(
            id=e.id,
            speaker=speakers[e.id],
            score=e.score,
            why=e.why,
            tokens=e.tokens,
            text=e.text,
            trimmed=e.trimmed,
            session=e.session,
            date=e.date,
        )
        for e in packed.excerpts
    )
