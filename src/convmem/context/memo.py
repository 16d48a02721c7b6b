"""Holds in memory, for the sessions used last, their messages and the bytes in which each was sent.

`context.gather` takes messages from here before it reads the store; `context.compose` keeps forms and blocks
here. All of it can be made again, except the forms in which callers sent messages and the blocks in front of
them: without those a request begins otherwise than the one before it, and costs the provider's cache.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from convmem.context.frame import Item
from convmem.journal.digests import counted
from convmem.threads.recent import Recent
from convmem.wire.message import weight_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from convmem.abilities import EpochRef
    from convmem.context.frame import Frame
    from convmem.context.prefix import Sent
    from convmem.context.request import Block
    from convmem.journal.digests import Seen
    from convmem.protocols import SessionRef
    from convmem.providers.dialect import Dialect
    from convmem.types import Message

__all__ = ["Said", "SessionMemo"]

_WINDOWS = 1_024
"""Sessions (with host and model) whose last request is remembered; with fewer, receipts of busy servers lack
`prefix_tokens`."""
_BLOCKS = 1_024
"""Blocks in front of user turns that are remembered, those used last. A block that is pushed out while its
round goes on is recalled anew, and may be other bytes."""
_MESSAGES = 8_192
"""Journaled messages that are held in memory; those pushed out are read from the store again."""
_MESSAGE_CHARACTERS = 32_000_000
"""Characters of the journaled messages held in memory; a picture has a million, and a user may send
twelve."""
_SENT_TOKENS = 4_000_000
"""Tokens of the requests that are remembered to tell what the next ones share with them: some 16 MB of
text."""
_FORMS = 4_096
"""Messages whose form as the caller sent it is remembered, where memory would put back another one. A form
that is pushed out costs the provider's cache once."""


class Said(NamedTuple):
    """A journaled message, verbatim, and when it was said."""

    message: Message
    at: datetime


class _PutBack(NamedTuple):
    """A message in the form in which it is put back.

    Attributes:
        seen: the message; None when it may not go back at all.
        dialect: the dialect that the form was made for.
    """

    seen: Seen | None
    dialect: Dialect


class SessionMemo:
    """The messages, forms, blocks and last requests of the sessions used last, in memory."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._said: Recent[tuple[SessionRef, bytes], Said] = Recent(
            _MESSAGES, weigh=lambda said: weight_of(said.message), most_weight=_MESSAGE_CHARACTERS
        )
        self._back: Recent[tuple[EpochRef, bool, bytes], _PutBack] = Recent(
            _MESSAGES,
            weigh=lambda back: weight_of(back.seen.message) if back.seen is not None else 0,
            most_weight=_MESSAGE_CHARACTERS,
        )
        self._forms: Recent[tuple[EpochRef, bool, bytes], Message] = Recent(_FORMS)
        self._blocks: Recent[tuple[EpochRef, bytes], Block] = Recent(_BLOCKS)
        self._sent: Recent[EpochRef, Sent] = Recent(
            _WINDOWS, weigh=lambda sent: sent.total, most_weight=_SENT_TOKENS
        )
        self._sent_at: Recent[EpochRef, float] = Recent(_WINDOWS)
        self._clears = 0

    def clear(self) -> None:
        """Drop all words, because something was forgotten."""
        self._clears += 1  # first, so that `keep` drops what was read before
        for kept in (self._said, self._back, self._forms, self._blocks, self._sent):
            kept.clear()

    # Journaled messages.

    @property
    def clears(self) -> int:
        """How often something was forgotten: messages read before the last time are not kept."""
        return self._clears

    def keep(self, ref: SessionRef, read: Mapping[bytes, Said], *, clears: int) -> None:
        """Hold messages that were read, unless something was forgotten since the read began.

        Args:
            ref: the session of the messages.
            read: the messages, by identity.
            clears: the value of `clears` before they were read.
        """
        if self._clears == clears:
            self._said.put_many({(ref, identity): said for identity, said in read.items()})

    def said(self, ref: SessionRef, identities: Iterable[bytes]) -> dict[bytes, Said]:
        """Those of these journaled messages that are in memory."""
        held = self._said.get_many([(ref, identity) for identity in identities])
        return {identity: said for (_, identity), said in held.items()}

    def put_back(self, frame: Frame, said: Mapping[bytes, Said]) -> dict[bytes, Item]:
        """Journaled messages as the caller sent them to this provider before, else as it takes them.

        Messages that may not go back at all are missing, such as a reply that was cut before its first word.
        """
        which, tools, dialect = frame.which, frame.tools, frame.dialect
        known = self._back.get_many([(which, tools, i) for i in said])
        missing = [i for i in said if not _is_in(dialect, known.get((which, tools, i)))]
        if missing:
            forms = self._forms.get_many([(which, tools, i) for i in missing])
            new: dict[tuple[EpochRef, bool, bytes], _PutBack] = {}
            for identity in missing:
                form = forms.get((which, tools, identity))
                if form is None or not dialect.takes(form, tools=tools):
                    form = dialect.sendable(said[identity].message, tools=tools)
                seen = frame.seen.of(form) if form is not None else None
                new[which, tools, identity] = _PutBack(seen, dialect)
            self._back.put_many(new)
            known |= new
        back = {i: seen for i in said if (seen := known[which, tools, i].seen) is not None}
        tokens = counted(back.values(), frame.count)
        return {i: Item(i, seen.message, False, n) for (i, seen), n in zip(back.items(), tokens, strict=True)}

    def keep_forms(self, frame: Frame, sent: Sequence[Item]) -> None:
        """Remember the form in which a caller sent messages, where they would be put back in another form.

        When the caller leaves a message out later, the provider's cache knows it in no other form. Requests
        with tools and without have forms of their own: what is legal differs, and providers' caches do not
        share them.
        """
        keys = {(frame.which, frame.tools, item.identity): item.message for item in sent}
        known = self._forms.get_many(keys)
        for key, message in keys.items():
            if key in known or frame.dialect.sendable(message, tools=frame.tools) != message:
                self._forms.put(key, message)
                self._back.pop(key)

    # What stands in front of user turns.

    def block(self, which: EpochRef, turn: bytes) -> Block | None:
        """The block that was put in front of this user turn before; None without one."""
        return self._blocks.get((which, turn))

    def blocks(self, which: EpochRef, turns: Iterable[bytes]) -> list[Block]:
        """The blocks that were put in front of these user turns before."""
        return list(self._blocks.get_many([(which, turn) for turn in turns]).values())

    def keep_block(self, which: EpochRef, turn: bytes, block: Block) -> None:
        """Remember the block in front of a user turn, so that all calls of its round send the same bytes."""
        self._blocks.put((which, turn), block)

    # Requests.

    def sent(self, which: EpochRef, now: Sent) -> Sent | None:
        """Remember a request in place of the session's previous one to this model, which is returned."""
        self._sent_at.put(which, time.monotonic())
        return self._sent.put(which, now)

    def idle_s(self, which: EpochRef) -> float | None:
        """Seconds since the last request of this session to this model; None where this process sent none."""
        sent = self._sent_at.get(which)
        return time.monotonic() - sent if sent is not None else None


def _is_in(dialect: Dialect, made: _PutBack | None) -> bool:
    """Whether a held form was made for this dialect."""
    return made is not None and made.dialect is dialect
