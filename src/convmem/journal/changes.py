"""The changes of a store, besides turns, that the writer thread makes: pins, epochs, learnt limits, views.

Each class is a `Change`: whoever needs it submits it to the journal (`direct.pins`, `context.cuts`,
`context.learnt`, `retrieve.indexer`), and `apply` runs on the writer thread in a transaction of its own.
"""

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
"""Views in one transaction, at most: 64 take some 2 ms, for which a call may have to wait; 256 took 11 ms."""
_BYTES_AT_ONCE = 262_144
"""Bytes of the views in one transaction, at most: the entry of a very long turn alone has some 100 kB."""


class PinChange(Change[str]):
    """Pins a text in an owner's memory; the result is the id of the pin."""

    def __init__(self, owner: OwnerRef, text: str, at: datetime) -> None:
        super().__init__()
        self.user = owner.user
        self._owner = owner
        self._text = text
        self._at = at

    def apply(self, forest: Forest) -> str:
        """Write the pin."""
        if not isinstance(forest.store, Pins):
            raise StoreError(f"{type(forest.store).__name__} keeps no pins")
        return forest.store.put_pin(self._owner, self._text, self._at).id


class UnpinChange(Change[bool]):
    """Deletes a pin; the result is whether it was there."""

    def __init__(self, owner: OwnerRef, pin: str) -> None:
        super().__init__()
        self.user = owner.user
        self._owner = owner
        self._pin = pin

    def apply(self, forest: Forest) -> bool:
        """Delete the pin, and drop the owner's trees: summaries that quote the pin were deleted with it."""
        if not isinstance(forest.store, Pins):
            raise StoreError(f"{type(forest.store).__name__} keeps no pins")
        gone = forest.store.drop_pin(self._owner, self._pin)
        forest.forget(self._owner)
        return gone


class EpochChange(Change[bool]):
    """Writes a new epoch of a window: the turn it begins with, and the summary of the rounds before.

    The result is False, and nothing is written, where something of the owner was forgotten since the turns
    were read. When the store cannot be written, whoever made the cut is told, and a later call cuts again.

    Args:
        which: the session, host and model whose window it is.
        epoch: the new beginning of the window, and the summary.
        redaction: the owner's redaction number when the turns were read that the summary is made of.
    """

    loose = True

    def __init__(self, which: EpochRef, epoch: Epoch, redaction: int) -> None:
        super().__init__()
        self._which = which
        self._epoch = epoch
        self._redaction = redaction

    def apply(self, forest: Forest) -> bool:
        """Write the epoch, unless something of the owner was forgotten since."""
        if not isinstance(forest.store, Epochs):
            raise StoreError(f"{type(forest.store).__name__} keeps no epochs")
        return forest.store.put_epoch(self._which, self._epoch, redaction=self._redaction)


class LimitChange(Change[None]):
    """Writes the context length that a provider named when it refused a request; nobody waits for it.

    The reply of the call that learnt the limit is written a moment later: where the limit could not be
    written before, it is tried again then.
    """

    loose = tried_again = True

    def __init__(self, limit: LearntLimit) -> None:
        super().__init__()
        self._limit = limit

    def apply(self, forest: Forest) -> None:
        """Write the limit in place of the one before, where the store keeps limits."""
        if isinstance(forest.store, Limits):
            forest.store.put_limit(self._limit)

    def lost(self) -> None:
        """Log that the limit is lost; the next refusal teaches it again."""
        log.debug("a learnt context length is not kept: %s", self.outcome.exception())


class ViewsChange(Change[None]):
    """Writes views of turns; the indexer makes those again that cannot be written.

    Args:
        views: one share of `shares`, so that the transaction takes some 2 ms.
    """

    loose = True

    def __init__(self, views: Sequence[NewView]) -> None:
        super().__init__()
        self._views = views

    def apply(self, forest: Forest) -> None:
        """Write the views, without those of turns that were forgotten meanwhile."""
        if isinstance(forest.store, Views):
            forest.store.put_views(self._views)


def shares(views: Sequence[NewView]) -> Iterator[Sequence[NewView]]:
    """Splits views into shares that take some 2 ms each to write, at least one view in each share."""
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
