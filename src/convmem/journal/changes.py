"""What the writer thread changes besides turns: pins, epochs, learnt limits, views."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from convmem.abilities import Epochs, Limits, Pins, Views
from convmem.errors import StoreError
from convmem.journal.job import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from convmem.abilities import Epoch, EpochRef, LearntLimit, NewView, OwnerRef
    from convmem.journal.forest import Forest

__all__ = ["EpochChange", "LimitChange", "PinChange", "UnpinChange", "ViewsChange", "shares"]

log = logging.getLogger("convmem")

_VIEWS_AT_ONCE = 64
"""Views of one transaction: some 2 ms, which a call waits for at most; 256 of them would take 11 ms."""
_BYTES_AT_ONCE = 262_144
"""And so many bytes of them: an entry of a very long turn has some 100 kB."""


class PinChange(Change[str]):
    """Pin a text; the result is the id of the pin."""

    def __init__(self, owner: OwnerRef, text: str, at: datetime) -> None:
        super().__init__()
        self.user = owner.user
        self._owner = owner
        self._text = text
        self._at = at

    def apply(self, forest: Forest) -> str:
        """Keep it."""
        if not isinstance(forest.store, Pins):
            raise StoreError(f"{type(forest.store).__name__} keeps no pins")
        return forest.store.put_pin(self._owner, self._text, self._at).id


class UnpinChange(Change[bool]):
    """Take a pin away for good; the result is whether it was there."""

    def __init__(self, owner: OwnerRef, pin: str) -> None:
        super().__init__()
        self.user = owner.user
        self._owner = owner
        self._pin = pin

    def apply(self, forest: Forest) -> bool:
        """Drop it; it stands in summaries too, so all that is held of its owner is void."""
        if not isinstance(forest.store, Pins):
            raise StoreError(f"{type(forest.store).__name__} keeps no pins")
        gone = forest.store.drop_pin(self._owner, self._pin)
        forest.forget(self._owner)
        return gone


class EpochChange(Change[bool]):
    """Begin the window of a session anew; the result is False where something was forgotten since.

    When it cannot be written whoever made the cut is told, and makes another one with a later call.

    Args:
        which: whose window.
        epoch: where it begins, and what stands for the rounds before.
        redaction: the owner's when what the summary is made of was read.
    """

    loose = True

    def __init__(self, which: EpochRef, epoch: Epoch, redaction: int) -> None:
        super().__init__()
        self._which = which
        self._epoch = epoch
        self._redaction = redaction

    def apply(self, forest: Forest) -> bool:
        """Keep it, unless something of the owner was forgotten."""
        if not isinstance(forest.store, Epochs):
            raise StoreError(f"{type(forest.store).__name__} keeps no epochs")
        return forest.store.put_epoch(self._which, self._epoch, redaction=self._redaction)


class LimitChange(Change[None]):
    """Keep the context length that a provider named; nobody waits for it.

    The reply of the call that learnt it is written a moment later: when the limit could not be kept before,
    it is tried again then.
    """

    loose = tried_again = True

    def __init__(self, limit: LearntLimit) -> None:
        super().__init__()
        self._limit = limit

    def apply(self, forest: Forest) -> None:
        """Keep it, in place of the one before."""
        if isinstance(forest.store, Limits):
            forest.store.put_limit(self._limit)

    def lost(self) -> None:
        """It is learnt again from the next refusal."""
        log.debug("a learnt context length is not kept: %s", self.outcome.exception())


class ViewsChange(Change[None]):
    """Keep views of turns; one that cannot be written is made again by the indexer.

    Args:
        views: as many as `shares` puts together.
    """

    loose = True

    def __init__(self, views: Sequence[NewView]) -> None:
        super().__init__()
        self._views = views

    def apply(self, forest: Forest) -> None:
        """Keep them, less those of turns that were forgotten meanwhile."""
        if isinstance(forest.store, Views):
            forest.store.put_views(self._views)


def shares(views: Sequence[NewView]) -> Iterator[Sequence[NewView]]:
    """Views in shares that are written in a few milliseconds each, at least one view in each."""
    share: list[NewView] = []
    size = 0
    for view in views:
        weight = len(view.entry or b"") + len(view.vector or b"")
        if share and (len(share) >= _VIEWS_AT_ONCE or size + weight > _BYTES_AT_ONCE):
            yield share
            share, size = [], 0
        share.append(view)
        size += weight
    if share:
        yield share
