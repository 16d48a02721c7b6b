"""Composing requests: what all requests of one Memory share, from one call to the next.

A request is, in the order in which it is sent: the caller's system text, unchanged; the rounds of the window,
as they were sent before, with the summary in front of the first user turn's text; and what is recalled in
front of the newest user turn's text. So between two cuts a request begins with what the one before it sent,
up to that text. `context.window` decides which rounds are sent; `context.compose` puts it together.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convmem.abilities import Epoch, Epochs
from convmem.context.learnt import LearntLimits
from convmem.errors import StoreError
from convmem.protocols import TurnsRequest
from convmem.threads.locks import Lock
from convmem.wire.message import weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime, tzinfo

    from convmem.abilities import EpochRef
    from convmem.compress.protocol import Compressor
    from convmem.context.cut import Cut, Summary
    from convmem.context.prefix import Sent
    from convmem.context.request import Block
    from convmem.journal.digests import SeenMessages
    from convmem.protocols import SessionRef, Store
    from convmem.providers.dialect import Dialect
    from convmem.providers.dialects import Dialects
    from convmem.providers.profile import Reasoning
    from convmem.retrieve.recaller import Recaller
    from convmem.threads.pool import Lane
    from convmem.tokens.count import LearnedRatios
    from convmem.types import Message

__all__ = ["Composer"]

_EPOCHS = 1_024
_BLOCKS = 1_024
_MESSAGES = 8_192
_MESSAGE_CHARACTERS = 32_000_000
"""Of journaled messages that are held in memory; a picture has a million, and a user may send twelve."""
_TIMES = 32_768
_SENT_TOKENS = 4_000_000
"""Of the requests that are remembered to tell what the next ones share with them: some 16 MB of text."""
_FORMS = 4_096
_COLD_S = 24 * 3_600.0
"""After so long without a request no provider's cache holds its beginning: DeepSeek's lives for hours to
days, the others' for minutes."""
_FORGOTTEN = "something was forgotten while the summary was made"


class Composer:
    """Composes the requests of all calls of one Memory."""

    def __init__(
        self,
        store: Store,
        recaller: Recaller,
        compressor: Compressor,
        ratios: LearnedRatios,
        seen: SeenMessages,
        *,
        pool: Lane,
        dialects: Dialects,
        tz: tzinfo,
    ) -> None:
        self.store = store
        self.recaller = recaller
        self.compressor = compressor
        self.ratios = ratios
        self.dialects = dialects
        self.seen = seen
        self._pool = pool
        self.tz = tz
        self.limits = LearntLimits(store)
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.limits.after_fork()
        self._lock = Lock()
        self._epochs: OrderedDict[EpochRef, Epoch | None] = OrderedDict()
        self._blocks: OrderedDict[tuple[EpochRef, bytes], Block] = OrderedDict()
        self._sent: OrderedDict[EpochRef, Sent] = OrderedDict()
        self._sent_tokens = 0
        self._messages: OrderedDict[tuple[SessionRef, bytes], Message] = OrderedDict()
        self._message_characters = 0
        self._said_at: OrderedDict[tuple[SessionRef, bytes], datetime] = OrderedDict()
        self._forms: OrderedDict[tuple[EpochRef, bool, bytes], Message] = OrderedDict()
        self._cuts: dict[EpochRef, Cut] = {}
        self._late: OrderedDict[EpochRef, tuple[bytes, Summary]] = OrderedDict()
        self._sent_at: OrderedDict[EpochRef, float] = OrderedDict()
        self._refused: OrderedDict[EpochRef, frozenset[bytes]] = OrderedDict()
        self._thoughts: OrderedDict[tuple[str, str], Dialect] = OrderedDict()
        self._guesses: OrderedDict[EpochRef, int] = OrderedDict()
        self._putting = Lock()
        self._forgetting = self._forgets = 0

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """While something is forgotten no cut is kept, and afterwards nothing composed before is used."""
        with self._putting:
            self._forgetting += 1
        try:
            yield
        finally:
            with self._putting, self._lock:
                self._forgetting -= 1
                self._forgets += 1
                self._cuts.clear()
                self._late.clear()
                self._epochs.clear()
                self._blocks.clear()
                self._sent.clear()
                self._sent_tokens = 0
                self._messages.clear()
                self._message_characters = 0
                self._said_at.clear()
                self._forms.clear()

    # What compositions share.

    def messages(self, ref: SessionRef, identities: Sequence[bytes]) -> dict[bytes, Message]:
        """Journaled messages, verbatim, from memory or the store."""
        with self._lock:
            held = {i: message for i in identities if (message := self._messages.get((ref, i))) is not None}
        missing = tuple(i for i in identities if i not in held)
        if missing:
            rows = self.store.turns(TurnsRequest(ref=ref, identities=missing, limit=2 * len(missing)))
            read = {bytes.fromhex(row.branch): row for row in reversed(rows)}
            with self._lock:
                for i, row in read.items():
                    self._hold((ref, i), row.payload)
                    _put(self._said_at, (ref, i), row.at, _TIMES)
            held.update({i: row.payload for i, row in read.items()})
        return held

    def said_at(self, ref: SessionRef, identity: bytes) -> datetime:
        """When a journaled message was said."""
        if (at := self._said_at.get((ref, identity))) is None:
            rows = self.store.turns(TurnsRequest(ref=ref, identities=(identity,), limit=2))
            if not rows:
                raise StoreError("a turn of the window is gone from the store")
            at = rows[0].at
            with self._lock:
                _put(self._said_at, (ref, identity), at, _TIMES)
        return at

    def _hold(self, place: tuple[SessionRef, bytes], message: Message) -> None:
        if place in self._messages:
            return
        self._message_characters += weight_of(message)
        self._messages[place] = message
        while len(self._messages) > _MESSAGES or (
            self._message_characters > _MESSAGE_CHARACTERS and len(self._messages) > 1
        ):
            _, dropped = self._messages.popitem(last=False)
            self._message_characters -= weight_of(dropped)

    def form(self, which: EpochRef, turn: bytes, *, tools: bool) -> Message | None:
        """How a caller sent a message before; None when it is put back as the dialect has it.

        With tools another form may be legal than without, and nothing is cached from one for the other.
        """
        return self._forms.get((which, tools, turn))

    def keep_forms(
        self,
        which: EpochRef,
        sent: Iterable[tuple[bytes, Message]],
        usual: Callable[[Message], Message | None],
        *,
        tools: bool,
    ) -> None:
        """Remember how a caller sent messages, where that is not how they would be put back.

        When the caller leaves them out later, the provider's cache knows no other form.
        """
        with self._lock:
            for turn, message in sent:
                if (which, tools, turn) in self._forms or usual(message) != message:
                    _put(self._forms, (which, tools, turn), message, _FORMS)

    def epoch(self, which: EpochRef) -> Epoch | None:
        """The running epoch, from memory or the store."""
        if isinstance(self.store, Epochs):
            return self.store.epoch(which)
        return self._epochs.get(which)

    def cut(self, which: EpochRef, cut: Cut, *, here: bool = False) -> Cut:
        """Begin to make what stands for rounds that leave a window, and then the new epoch.

        Args:
            which: whose window.
            cut: what leaves it.
            here: make it on this thread, because it takes milliseconds.

        Returns:
            The cut that is being made: another one when that was begun before.
        """
        with self._lock:
            running = self._cuts.setdefault(which, cut)
            forgets = self._forgets
        if running is cut:
            if here:
                self._made(which, cut, forgets)
            else:
                self._pool.submit(lambda: self._made(which, cut, forgets))
        return running

    def stand_in(self, which: EpochRef, late: Cut, cut: Cut) -> tuple[Summary, tuple[str, ...]]:
        """Begin the new epoch with another summary than the one that is late.

        Args:
            which: whose window.
            late: the cut that is not made yet; what it makes is kept for `written_late`.
            cut: the same rounds, with something that makes a summary at once.

        Raises:
            StoreError: something was forgotten meanwhile, or the store cannot keep the epoch.
        """
        with self._lock:
            late.stood_in = True
            forgets = self._forgets
        made = cut.make()
        self._begin_epoch(which, Epoch(cut.start, made[0].dumped()), forgets, cut.redaction)
        return made

    def written_late(self, which: EpochRef, start: bytes, *, cuts: bool) -> Summary | None:
        """The summary that a late compressor wrote for the rounds before `start`, where using it is free.

        Args:
            which: whose window.
            start: where the running epoch begins.
            cuts: the window is being cut, so the prefix changes anyway.
        """
        with self._lock:
            known = self._late.get(which)
            if known is None or known[0] != start:
                return None
            sent = self._sent_at.get(which)
            if not cuts and sent is not None and time.monotonic() - sent < _COLD_S:
                return None
        return known[1]

    def _made(self, which: EpochRef, cut: Cut, forgets: int) -> None:
        try:
            made = cut.make()
            with self._lock:
                late = cut.stood_in
                if late and self._forgets == forgets and not self._forgetting:
                    _put(self._late, which, (cut.start, made[0]), _EPOCHS)
            if not late:
                self._begin_epoch(which, Epoch(cut.start, made[0].dumped()), forgets, cut.redaction)
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
            cut.made.set_exception(error)
        else:
            cut.made.set_result(made)
        finally:
            with self._lock:
                if self._cuts.get(which) is cut:
                    del self._cuts[which]

    def _begin_epoch(self, which: EpochRef, epoch: Epoch, forgets: int, redaction: int) -> None:
        with self._putting:  # not the other lock: a slow disk keeps nobody but those who cut
            if self._forgetting or self._forgets != forgets:  # it may tell what was forgotten meanwhile
                raise StoreError(_FORGOTTEN)
            if isinstance(self.store, Epochs):
                if not self.store.put_epoch(which, epoch, redaction=redaction):
                    raise StoreError(_FORGOTTEN)
            else:
                _put(self._epochs, which, epoch, _EPOCHS)

    def limit(self, which: EpochRef) -> int | None:
        """Tokens that a model takes, as its provider said, or as its refusals of this session tell."""
        told = self.limits.of(which.host, which.model)
        guessed = self._guesses.get(which)
        return guessed if guessed is not None and (told is None or guessed < told) else told

    def learn_limit(self, which: EpochRef, tokens: int, *, named: bool) -> None:
        """A request was too long: its provider named the limit, or it is a guess, for this session alone."""
        if named:
            self.limits.learn(which.host, which.model, tokens)
            return
        with self._lock:
            _put(self._guesses, which, tokens, _EPOCHS)

    def dialect(self, which: EpochRef, at: datetime) -> Dialect:
        """What is asked of messages that are put back: by the table, and by what was refused before."""
        rules = self.dialects.of(which.host or None, which.model or None, at)
        return self._thoughts.get((which.host, which.model), rules)

    def learn_thoughts(self, which: EpochRef, rules: Dialect) -> bool:
        """The provider named reasoning when it refused messages in this dialect: do it the other way.

        Returns:
            False when that was tried before.
        """
        if (which.host, which.model) in self._thoughts:
            return False
        wants: Reasoning = "with-tools" if rules.reasoning == "drop" else "drop"
        other = replace(rules, reasoning=wants, reasoning_as="reasoning_content")
        with self._lock:
            _put(self._thoughts, (which.host, which.model), other, _EPOCHS)
        return True

    def refused(self, which: EpochRef) -> frozenset[bytes]:
        """Turns that this provider refused, so that their rounds are not put back."""
        return self._refused.get(which, frozenset())

    def refuse(self, which: EpochRef, turns: Iterable[bytes]) -> None:
        """The provider refused these turns."""
        with self._lock:
            _put(self._refused, which, self.refused(which) | frozenset(turns), _EPOCHS)

    def block(self, which: EpochRef, turn: bytes) -> Block | None:
        """What was put in front of this user turn before."""
        return self._blocks.get((which, turn))

    def keep_block(self, which: EpochRef, turn: bytes, block: Block) -> None:
        """The same bytes in all calls of a round."""
        with self._lock:
            _put(self._blocks, (which, turn), block, _BLOCKS)

    def sent(self, which: EpochRef, now: Sent, count: Callable[[str], int]) -> int | None:
        """Tokens of the prefix shared with the previous request, which this one replaces."""
        with self._lock:
            _put(self._sent_at, which, time.monotonic(), _EPOCHS)
            before = self._sent.pop(which, None)
            self._sent[which] = now
            self._sent_tokens += now.total - (before.total if before is not None else 0)
            while self._sent_tokens > _SENT_TOKENS and len(self._sent) > 1:
                _, dropped = self._sent.popitem(last=False)
                self._sent_tokens -= dropped.total
        return now.shared(before, count) if before is not None else None


def _put(kept: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
