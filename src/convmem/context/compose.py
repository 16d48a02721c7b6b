"""One request on its way through the room: gathered, decided, cut when it is time, recalled for, assembled.

Its window and what is recalled for it are two results: when the second is late, the call goes out with the
first. Whatever was chosen for a round stays in all its calls, so a late second one is dropped.
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
    from convmem.context.kept import Composer
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
"""Of a request that was too long by nobody knows how much, what the next one may have: tokens are counted
some 20 % too high rather than too low, so it was not much too long."""
_LEAST_GUESS = 3_000
"""Tokens of a request that are not too many for any model in use: a guess goes no lower."""
_LEAST_LIMIT = 512
"""Tokens: no model that chats takes fewer."""
_NOTHING = Block("", (), 0, None)


class Composition:
    """One request being composed.

    Args:
        composer: what it shares with others.
        call: the call.
        placement: where it stands in the journal.
        policy: what to send.
        budget: the most tokens recall may add, instead of the policy's.
    """

    def __init__(
        self,
        composer: Composer,
        call: Call,
        placement: Placement,
        policy: Policy,
        *,
        budget: int | None = None,
    ) -> None:
        self._composer = composer
        self.placement = placement
        self.which = EpochRef(placement.ref, call.host or "", call.request.model or "")
        self._frame = frame_of(
            call.request,
            placement,
            policy=policy,
            which=self.which,
            dialect=composer.lessons.dialect(self.which, call.at),
            count=composer.ratios.counter(call.request.model),
            seen=composer.seen,
            limit=composer.lessons.limit(self.which),
            now=call.at.astimezone(composer.tz),
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
        """Resolved with the moment, by the monotonic clock, at which the window is there: recall's own
        deadline begins then. With what went wrong, where there is no window."""

    def run(self, asked: Asked, *, patience_s: float | None = None) -> Composed | None:
        """Decide what is sent, cut when it is time, recall, and put it together.

        Args:
            asked: what recall needs.
            patience_s: seconds to wait for a compressor; None waits as long as it takes.

        Returns:
            The request; None when recall has to wait for something, be it on its way. Then `ready` is
            resolved, and `recall` goes on.
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
        """Gather what there is, decide the window, and cut it when it is time."""
        frame = self._frame
        gathered = gather(frame, self._composer)
        decision = decide(frame, gathered)
        leaving = decision.leaving
        if leaving is None:
            return gathered, decision.window(frame, gathered)

        def cutting(compressor: Compressor) -> Cut:
            return self._cut(leaving, gathered, compressor)

        summary, notes = self._composer.cuts.leave(self.which, cutting, patience_s)
        return gathered, decision.window(frame, gathered, summary, notes)

    def _cut(self, leaving: Leaving, gathered: Gathered, compressor: Compressor) -> Cut:
        count, pins, reader = self._frame.count, gathered.pins, self._composer.reader

        def make() -> tuple[Summary, tuple[str, ...]]:
            return summarized(
                leaving, lambda turns: reader.journaled(self.which, turns), pins, compressor, count
            )

        return Cut(leaving.start, self.placement.redaction, make)

    def _awaits(self, gathered: Gathered, window: Window, asked: Asked) -> bool:
        """Whether recall would be better for something that is still on its way."""
        newest = window.newest
        if asked.ready or newest is None or not self._room(window):
            return False
        if self._composer.memo.block(self.which, newest.identity) is not None:
            return False  # what was chosen for the round stays
        partitions, owner = self._composer.recaller.partitions, self._frame.owner
        if partitions.peek(owner) is None:
            return True
        question = question_of(self._frame, gathered, window, newest)
        try:  # not as it is held: what this call read of the views may be all there is to quote
            return partitions.get(owner, gathered.changed).holds_more_than(question.exclude)
        except StoreError:
            return True  # recall meets it again, and tells

    def recall(self, asked: Asked) -> Composed:
        """Recall with what is there by now, and put the request together; after `run`."""
        return self._choose(self._recall(asked))

    def words(self) -> None:
        """Recall by words alone, for `at_hand`, while the question is still being embedded."""
        self._words = self._recall(None)

    def at_hand(self, asked: Asked, late: str) -> Composed | None:
        """What can be sent now, while recall may still be at work; None when there is not even a window.

        Args:
            asked: what recall was waiting for.
            late: what to say when nothing can be quoted.
        """
        if self._decided is None:
            return None
        words, newest = self._words, self._window.newest
        if words is None or newest is None:
            return self._choose(_NOTHING, late)
        if note := self._vectors(newest, asked)[1]:
            self._told.append(note)
        return self._choose(words)

    # When the provider refuses it.

    @property
    def dialect(self) -> Dialect:
        """In which its messages were put back."""
        return self._frame.dialect

    def limit_after(self, named: int | None, sent: int) -> tuple[int | None, bool]:
        """What the model seems to take, after it refused the request for its length.

        Args:
            named: the limit that the provider told, in tokens.
            sent: tokens of the request, as counted here.

        Returns:
            The limit, None where not even the newest round would fit; and whether it is the provider's own.
        """
        frame, window = self._frame, self._window
        took = self._composer.lessons.limits.took(self.which.host, self.which.model)
        # A number below what is ever sold, or below what this model took already, is another one of the text.
        least = max(_LEAST_LIMIT, took + 1)
        told = named is not None and named >= least and (frame.limit is None or named < frame.limit)
        guess = frame.limit_for(max(_LEAST_GUESS, int(_SHRINK * sent)))
        limit = named if told and named is not None else guess
        needed = frame.system + sum(item.tokens for item in window.items[window.at or 0 :])
        return (limit if needed < limit else None), told

    def turns_of(self, message: int) -> frozenset[bytes]:
        """The turn that stands at a place of the request's messages; none where the caller sent it."""
        place = message - len(self._frame.request.settings)
        for n, (_, own) in enumerate(self._placed):
            if len(self.dialect.arranged(self._placed[: n + 1])) > place >= 0:
                return frozenset() if own else frozenset({self._window.items[n].identity})
        return frozenset()

    def cut_behind(self) -> None:
        """Send what is before the newest round as messages no more: a new epoch begins with that round."""
        if (newest := self._window.newest) is None:
            return
        gathered = gather(self._frame, self._composer)
        leaving = leaving_behind(self._frame, gathered, newest.identity)
        if leaving is not None:
            self._composer.cuts.cut(self.which, self._cut(leaving, gathered, Extractive()))

    @property
    def ranked(self) -> bool:
        """Whether turns were ranked for it, be it by words alone."""
        return self._words is not None

    @property
    def complete(self) -> bool:
        """Whether the whole of the call's own conversation is sent, as the policy would have it."""
        return self.placement.sealed or (self._decided is not None and self._window.complete)

    @property
    def _window(self) -> Window:
        if self._decided is None:
            raise ConvmemError("recall was asked for before there was a window")
        return self._decided[1]

    def _choose(self, block: Block, note: str = "") -> Composed:
        """What is sent: what was ready first."""
        with self._lock:
            if self._chosen is None:
                if note:
                    self._notes.append(note)
                self._chosen = self._assembled(self._window, block)
            return self._chosen

    def _assembled(self, window: Window, block: Block) -> Composed:
        frame, memo = self._frame, self._composer.memo
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
        """What goes in front of the newest user turn; once per round. Without `asked` by words alone."""
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
        frame, recaller = self._frame, self._composer.recaller
        known = self._composer.memo.block(self.which, newest.identity)
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
                    frame.owner, ranking, budget, frame.count, fence=fence, tz=self._composer.tz
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
        """Tokens that recall may take."""
        return window.recall if self._frame.budget is None else self._frame.budget

    def _vectors(self, newest: Item, asked: Asked | None) -> tuple[NDArray[np.float32] | None, str]:
        if asked is None:
            return None, ""
        wanted = bool(text_of(newest.message).strip())
        return self._composer.recaller.vectors_of(asked.vectors, wanted=wanted)


def _excerpts(ranking: Ranking, packed: Packed) -> tuple[Recalled, ...]:
    """What was quoted, as receipts tell it."""
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
