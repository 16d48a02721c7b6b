"""Holds what all requests of one Memory are composed with: reader, recall, token counts, cuts, lessons.

`engine` builds the `Resources` of a Memory, once; each `context.compose.Composition` works with them.

A request is, in the order in which it is sent: the caller's system text, unchanged; the rounds of the window,
as they were sent before, with the summary in front of the first user turn's text; and what is recalled in
front of the newest user turn's text. So between two cuts a request begins with what the one before it sent,
up to that text.

`context.compose` leads one request through the room: `gather` reads, `window` decides which rounds are sent,
`cut` makes the summary of those that leave, `assemble` puts the request together.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from convmem.context.cuts import Cuts
from convmem.context.lessons import Lessons
from convmem.context.memo import SessionMemo
from convmem.context.reader import CallReader

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import tzinfo

    from convmem.compress.protocol import Compressor
    from convmem.journal.digests import SeenMessages
    from convmem.journal.writer import Journal
    from convmem.protocols import Store
    from convmem.providers.dialects import Dialects
    from convmem.retrieve.recaller import Recaller
    from convmem.threads.pool import Lane
    from convmem.tokens.count import LearnedRatios

__all__ = ["Resources"]


class Resources:
    """The parts that all requests of one Memory are composed with.

    Attributes:
        reader: reads what a call needs from the store.
        recaller: embeds questions, and ranks and packs turns.
        ratios: gives the token counter of a model.
        seen: token counts of messages seen lately.
        tz: the zone in which dates are shown.
        memo: messages, blocks and forms of the sessions used last, in memory.
        cuts: the epochs of windows, and the cuts that begin them.
        lessons: what providers' refusals taught.
    """

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
        journal: Journal,
    ) -> None:
        self.reader = CallReader(store)
        self.recaller = recaller
        self.ratios = ratios
        self.seen = seen
        self.tz = tz
        self.memo = SessionMemo()
        self.cuts = Cuts(store, journal, compressor, pool)
        self.lessons = Lessons(store, journal, dialects)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.memo.after_fork()
        self.cuts.after_fork()
        self.lessons.after_fork()

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """Keep no cut within the block, and drop all that was composed before, for something is forgotten."""
        with self.cuts.forgetting():
            try:
                yield
            finally:  # afterwards: calls that run meanwhile fill it again
                self.memo.clear()
