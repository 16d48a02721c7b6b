"""One request being composed; see `convmem.composer`.

Its window and what is recalled for it are two results: when the second is late, the call goes out with the
first. Whatever was chosen for a round stays in all its calls, so a late second one is dropped.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from convmem.composer import Block, Composed
from convmem.context.prefix import Sent
from convmem.context.render import SEPARATOR, in_front, recall_block, recall_fence, speaks_chinese
from convmem.context.tokens import count_message
from convmem.recaller import Question
from convmem.types import Recalled, Tokens
from convmem.window import Windowing
from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from convmem.composer import Composer
    from convmem.jobs import Call, Placement
    from convmem.policy import Policy
    from convmem.recall import Packed, Ranking
    from convmem.types import Message
    from convmem.window import Item, Window

__all__ = ["Composition"]

_CONTEXT_TURNS = 2
_DAMAGED = "the views of {} of the turns are damaged: they are not recalled until made again"
_LEFT_OUT = "pins left out: {}; the newest go first, as many as fit (memory.unpin takes one away)"
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
        self._placement = placement
        self._budget = budget
        self._request = call.request
        self._windowing = Windowing(composer, call, placement, policy)
        self._recaller = composer.recaller
        self._count = self._windowing.count
        self._now = call.at.astimezone(composer.tz)
        self._window: Window | None = None
        self._chosen: Composed | None = None
        self._lock = threading.Lock()
        self._ms: dict[str, float] = {}
        self._notes: list[str] = []
        self._told: list[str] = []

    def run(
        self,
        embedding: Future[NDArray[np.float32]] | None,
        *,
        embed_until: float | None = None,
        until: float | None = None,
    ) -> Composed:
        """Decide what is sent, cut when it is time, recall, and put it together.

        Args:
            embedding: the question's vectors on their way.
            embed_until: how long to wait for them, by the monotonic clock; None: as long as it takes.
            until: when the call goes out; likewise.
        """
        started = time.perf_counter()
        window = self._windowing.decide(until)
        self._ms["compose"] = (time.perf_counter() - started) * 1_000
        self._notes += window.notes
        self._window = window
        return self._choose(window, self._recall(window, embedding, embed_until))

    def at_hand(self, late: str) -> Composed | None:
        """What can be sent now, while `run` may still be at work; None when there is not even a window.

        Args:
            late: what to say when it is the window alone.
        """
        window = self._window
        if window is None:
            return None
        return self._choose(window, _NOTHING, late)

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

    def _recall(
        self, window: Window, embedding: Future[NDArray[np.float32]] | None, embed_until: float | None
    ) -> Block:
        """What goes in front of the newest user turn; once per round."""
        if window.newest is None:
            return _NOTHING
        started = time.perf_counter()
        try:
            return self._recalled(window, window.newest, embedding, embed_until)
        except Exception as error:  # noqa: BLE001 (trouble with recall never breaks the chat)
            self._notes.append(f"recall failed ({type(error).__name__}: {error}); the call goes without it")
            return _NOTHING
        finally:
            took = (time.perf_counter() - started) * 1_000
            self._ms["recall"] = took - self._ms.get("embed", 0)

    def _recalled(
        self,
        window: Window,
        newest: Item,
        embedding: Future[NDArray[np.float32]] | None,
        embed_until: float | None,
    ) -> Block:
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
        budget = window.recall if self._budget is None else self._budget
        chinese, today = speaks_chinese(text_of(newest.message)), self._now.date()
        pins, left_out = self._windowing.riding(window, today=today, chinese=chinese)
        question = self._question(window, newest)
        quoted: str = ""
        recalled: tuple[Recalled, ...] = ()
        if budget and loaded.holds_more_than(question.exclude):
            vectors, note = self._vectors(embedding, embed_until)
            if note:
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

    def _tokens(self, block: str) -> int:
        return self._count(block) + SEPARATOR if block else 0

    def _vectors(
        self, embedding: Future[NDArray[np.float32]] | None, embed_until: float | None
    ) -> tuple[NDArray[np.float32] | None, str]:
        started = time.perf_counter()
        seconds = None if embed_until is None else max(0.0, embed_until - time.monotonic())
        found = self._recaller.vectors_of(embedding, seconds)
        if embedding is not None:
            self._ms["embed"] = (time.perf_counter() - started) * 1_000
        return found

    def _question(self, window: Window, newest: Item) -> Question:
        placement = self._placement
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
        arranged = self._windowing.dialect.arranged(
            [(message, item.own) for message, item in zip(messages, items, strict=True)]
        )
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
