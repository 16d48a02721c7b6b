"""One request being composed; see `convmem.context.kept`.

Its window and what is recalled for it are two results: when the second is late, the call goes out with the
first. Whatever was chosen for a round stays in all its calls, so a late second one is dropped.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from convmem.context.prefix import Sent
from convmem.context.render import SEPARATOR, in_front, recall_block, recall_fence, speaks_chinese
from convmem.context.request import Block, Composed
from convmem.context.window import Windowing
from convmem.errors import ConvmemError, noted
from convmem.retrieve.recaller import Question
from convmem.threads.locks import Lock
from convmem.tokens.count import count_message
from convmem.types import Recalled, Tokens
from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from convmem.abilities import EpochRef
    from convmem.context.kept import Composer
    from convmem.context.window import Item, Window
    from convmem.journal.placed import Call, Placement
    from convmem.policy import Policy
    from convmem.providers.dialect import Dialect
    from convmem.recall import Packed, Ranking
    from convmem.retrieve.recaller import Asked
    from convmem.types import Message

__all__ = ["Composition"]

_CONTEXT_TURNS = 2
_DAMAGED = "the views of {} of the turns are damaged: they are not recalled until made again"
_LEFT_OUT = "pins left out: {}; the newest go first, as many as fit (memory.unpin takes one away)"
_SHRINK = 0.75
"""Of a request that was too long by nobody knows how much, what the next one may have: tokens are counted
some 20 % too high rather than too low, so it was not much too long."""
_LEAST_GUESS = 3_000
"""Tokens of a request that are not too many for any model in use: a guess goes no lower."""
_LEAST_LIMIT = 512
"""Tokens: no model that chats takes fewer."""
_NOTHING = Block("", (), 0, None)
_SEALED = (
    "neither a user nor a session was named, and the history came back without some of its words:"
    " nothing is added to the call"
)


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
        self._budget = budget
        self._request = call.request
        self._windowing = Windowing(composer, call, placement, policy)
        self._recaller = composer.recaller
        self._count = self._windowing.count
        self._now = call.at.astimezone(composer.tz)
        self._window: Window | None = None
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
            return self._sealed()
        started = time.perf_counter()
        try:
            self._window = self._windowing.decide(patience_s=patience_s)
        except BaseException as error:
            self.ready.set_exception(error)
            raise
        self._ms["compose"] = (time.perf_counter() - started) * 1_000
        self._notes += self._window.notes
        self.ready.set_result(time.monotonic())
        return None if self._awaits(self._window, asked) else self.recall(asked)

    def _awaits(self, window: Window, asked: Asked) -> bool:
        """Whether recall would be better for something that is still on its way."""
        if asked.ready or window.newest is None or not self._room(window):
            return False
        if self._composer.block(self._windowing.which, window.newest.identity) is not None:
            return False  # what was chosen for the round stays
        loaded = self._recaller.partitions.peek(self._windowing.owner)
        return loaded is None or loaded.holds_more_than(self._question(window, window.newest).exclude)

    def recall(self, asked: Asked) -> Composed:
        """Recall with what is there by now, and put the request together; after `run`."""
        window = self._decided()
        return self._choose(window, self._recall(window, asked))

    def words(self) -> None:
        """Recall by words alone, for `at_hand`, while the question is still being embedded."""
        window = self._decided()
        self._words = self._recall(window, None)

    def at_hand(self, asked: Asked, late: str) -> Composed | None:
        """What can be sent now, while recall may still be at work; None when there is not even a window.

        Args:
            asked: what recall was waiting for.
            late: what to say when nothing can be quoted.
        """
        window, words = self._window, self._words
        if window is None:
            return None
        if words is None or window.newest is None:
            return self._choose(window, _NOTHING, late)
        if note := self._vectors(window.newest, asked)[1]:
            self._told.append(note)
        return self._choose(window, words)

    # When the provider refuses it.

    @property
    def which(self) -> EpochRef:
        """The session, host and model it goes to."""
        return self._windowing.which

    @property
    def dialect(self) -> Dialect:
        """In which its messages were put back."""
        return self._windowing.dialect

    def limit_after(self, named: int | None, sent: int) -> tuple[int | None, bool]:
        """What the model seems to take, after it refused the request for its length.

        Args:
            named: the limit that the provider told, in tokens.
            sent: tokens of the request, as counted here.

        Returns:
            The limit, None where not even the newest round would fit; and whether it is the provider's own.
        """
        windowing, window = self._windowing, self._decided()
        # A number below what is ever sold, or below what this model took already, is another one of the text.
        least = max(_LEAST_LIMIT, self._composer.limits.took(self.which.host, self.which.model) + 1)
        told = named is not None and named >= least and (windowing.limit is None or named < windowing.limit)
        guess = windowing.limit_for(max(_LEAST_GUESS, int(_SHRINK * sent)))
        limit = named if told and named is not None else guess
        newest = window.items.index(window.newest) if window.newest is not None else 0
        needed = windowing.system + sum(item.tokens for item in window.items[newest:])
        return (limit if needed < limit else None), told

    def turns_of(self, message: int) -> frozenset[bytes]:
        """The turn that stands at a place of the request's messages; none where the caller sent it."""
        place = message - len(self._request.settings)
        for n, (_, own) in enumerate(self._placed):
            if len(self._windowing.dialect.arranged(self._placed[: n + 1])) > place >= 0:
                return frozenset() if own else frozenset({self._decided().items[n].identity})
        return frozenset()

    def cut_behind(self) -> None:
        """Send what is before the newest round as messages no more."""
        newest = self._decided().newest
        if newest is not None:
            self._windowing.cut_behind(newest.identity)

    @property
    def ranked(self) -> bool:
        """Whether turns were ranked for it, be it by words alone."""
        return self._words is not None

    @property
    def complete(self) -> bool:
        """Whether the whole of the call's own conversation is sent, as the policy would have it."""
        return self.placement.sealed or (self._window is not None and self._window.complete)

    def _decided(self) -> Window:
        if self._window is None:
            raise ConvmemError("recall was asked for before there was a window")
        return self._window

    def _choose(self, window: Window, block: Block, note: str = "") -> Composed:
        """What is sent: what was ready first."""
        with self._lock:
            if self._chosen is None:
                if note:
                    self._notes.append(note)
                if window.newest is not None and self._budget is None:
                    self._composer.keep_block(self._windowing.which, window.newest.identity, block)
                self._chosen = self._assembled(window, block)
            return self._chosen

    # Recalling.

    def _recall(self, window: Window, asked: Asked | None) -> Block:
        """What goes in front of the newest user turn; once per round. Without `asked` by words alone."""
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
        owner = self._windowing.owner
        known = self._composer.block(self._windowing.which, newest.identity)
        if known is not None and known.redaction is None and newest is not window.items[-1]:
            return known
        loaded, damaged = self._recaller.load_sound(owner)
        fits = known is not None and known.tokens <= window.recall  # another policy may allow less
        if known is not None and fits and known.redaction == loaded.redaction and self._budget is None:
            return known
        if damaged:
            self._notes.append(_DAMAGED.format(damaged))
        budget = self._room(window)
        chinese, today = speaks_chinese(text_of(newest.message)), self._now.date()
        pins, left_out = self._windowing.riding(window, today=today, chinese=chinese)
        question = self._question(window, newest)
        quoted: str = ""
        recalled: tuple[Recalled, ...] = ()
        if budget and loaded.holds_more_than(question.exclude):
            vectors, note = self._vectors(newest, asked)
            if note and asked is not None:
                self._told.append(note)
            ranking = self._recaller.rank(loaded, question, vectors)
            fence = recall_fence(self._count, pins, today=today, chinese=chinese)
            packed = self._recaller.pack(
                owner, ranking, budget, self._count, fence=fence, tz=self._composer.tz
            )
            quoted, recalled = packed.text, _excerpts(ranking, packed)
        text = recall_block(quoted, pins, today=today, chinese=chinese)
        tokens = self._tokens(text)
        pinned = tokens - self._tokens(recall_block(quoted, (), today=today, chinese=chinese)) if pins else 0
        return Block(text, recalled, tokens, loaded.redaction, pinned, left_out)

    def _room(self, window: Window) -> int:
        """Tokens that recall may take."""
        return window.recall if self._budget is None else self._budget

    def _tokens(self, block: str) -> int:
        return self._count(block) + SEPARATOR if block else 0

    def _vectors(self, newest: Item, asked: Asked | None) -> tuple[NDArray[np.float32] | None, str]:
        if asked is None:
            return None, ""
        return self._recaller.vectors_of(asked.vectors, wanted=bool(text_of(newest.message).strip()))

    def _question(self, window: Window, newest: Item) -> Question:
        placement = self.placement
        path = {node.identity for node in placement.before} | set(placement.alignment.identities)
        seqs = {node.identity: node.seq for node in placement.before} | dict(placement.seqs)
        visible = {f"t{seqs[item.identity]}" for item in window.items if item.identity in seqs}
        visible |= self._windowing.held()
        before = window.items[: window.items.index(newest)]
        return Question(
            owner=self._windowing.owner,
            text=text_of(newest.message),
            now=self._now,
            context=tuple(text_of(item.message) for item in before[-_CONTEXT_TURNS:]),
            session=placement.ref.session,
            path=path,
            exclude=visible,
        )

    # Putting it together.

    def _assembled(self, window: Window, block: Block) -> Composed:
        items, summary_text = window.items, window.summary.block()
        users = [i for i, item in enumerate(items) if item.message.get("role") == "user"]
        newest = users[-1] if users else 0
        messages = [item.message for item in items]
        tokens = [item.tokens for item in items]
        forms = ((item.identity, item.message) for item in items if item.own)
        windowing, tools = self._windowing, bool(self._request.tools)
        self._composer.keep_forms(windowing.which, forms, windowing.sendable, tools=tools)
        own = sum(item.own for item in items)
        summary_tokens = self._tokens(summary_text)
        summary_pins = summary_tokens - self._tokens(window.summary.unpinned()) if window.summary.pins else 0
        left_out = [_LEFT_OUT.format(block.left_out)] if block.left_out else []
        out = Composed(
            restored=len(items) - own,
            dropped=len(self._request.turns) - own,
            tokens=Tokens(
                system=self._windowing.system,
                pins=summary_pins + block.pins,
                summary=summary_tokens - summary_pins,
                window=sum(tokens[:newest]),
                recall=block.tokens - block.pins,
                new=sum(tokens[newest:]),
            ),
            recalled=block.recalled,
            cut=window.cut > 0,
            cut_rounds=window.cut,
            media_left=window.media_left,
            notes=[*self._notes, *self._told, *left_out],
            told=frozenset(self._told),
            ms=dict(self._ms),
        )
        if users:
            messages[users[-1]] = in_front(messages[users[-1]], block.text)
            messages[users[0]] = in_front(messages[users[0]], summary_text)
            tokens[users[-1]] += block.tokens
            tokens[users[0]] += summary_tokens
        self._placed = [(message, item.own) for message, item in zip(messages, items, strict=True)]
        arranged = self._windowing.dialect.arranged(self._placed)
        everything = [*self._request.settings, *arranged]
        if out.restored or out.dropped or summary_text or block.text:
            if self._breaks_json_mode(everything):
                everything = [*self._request.settings, *self._request.turns]
                out = self._as_made(out)
            else:
                out.messages = everything
        if self._request.held is None:
            out.prefix_tokens = self._shared(everything, dict(zip(map(id, messages), tokens, strict=True)))
        return out

    def _shared(self, messages: list[Message], counted: dict[int, int]) -> int | None:
        """What the request shares with the one before it; `counted` has the tokens of known messages."""
        windowing = self._windowing
        counted |= dict(zip(map(id, self._request.settings), windowing.settings_tokens, strict=True))
        tokens = (counted.get(id(m)) or count_message(m, self._count) for m in messages)
        sent = Sent(self._request.tools, tuple(messages), tuple(tokens), windowing.tools_tokens)
        return self._composer.sent(windowing.which, sent, self._count)

    def _breaks_json_mode(self, messages: Sequence[Message]) -> bool:
        """Whether these messages lack the word that JSON mode asks for, and the caller's have it."""
        dialect = self._windowing.dialect
        if not self._request.json_mode or not dialect.breaks_json_mode(messages):
            return False
        return not dialect.breaks_json_mode([*self._request.settings, *self._request.turns])

    def _sealed(self) -> Composed:
        """The call as it was made: the journal has words of its turns that its caller did not send."""
        new = sum(count_message(turn, self._count) for turn in self._request.turns)
        tokens = Tokens(system=self._windowing.system, new=new)
        return Composed(tokens=tokens, notes=[_SEALED], told=frozenset({_SEALED}))

    def _as_made(self, out: Composed) -> Composed:
        """The call goes out as it was made."""
        new = sum(count_message(turn, self._count) for turn in self._request.turns)
        note = "JSON mode needs the word JSON, which memory left out: the call goes out as it was made"
        return dataclasses.replace(
            out,
            restored=0,
            dropped=0,
            recalled=(),
            media_left=0,
            tokens=Tokens(system=self._windowing.system, new=new),
            notes=[*out.notes, note],
        )


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
