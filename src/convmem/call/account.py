"""Keeps the receipt of one call while the call happens, and tells hooks of its events.

`call.exchange` and `call.passage` have an `Account` each, and change the receipt through it alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convmem.hooks import DegradedEvent, emit
from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from convmem.call.shared import Shared
    from convmem.hooks import Event
    from convmem.types import Receipt

__all__ = ["Account"]


class Account:
    """The receipt of one call, which caller, writer thread and a finalizer may change at the same time.

    Args:
        shared: what the calls of the Memory share.
        receipt: the receipt to begin with.

    Attributes:
        receipt: the receipt so far; a changed one takes its place as things happen.
    """

    def __init__(self, shared: Shared, receipt: Receipt) -> None:
        self._shared = shared
        self._lock = Lock()  # a stream that nobody reads any more may end within any other step
        self.receipt = receipt

    def update(self, **changes: Any) -> None:  # noqa: ANN401 (dataclasses.replace checks the names)
        """Replace fields of the receipt by new values."""
        with self._lock:
            self.receipt = self.receipt.with_(**changes)

    def change(self, make: Callable[[Receipt], Receipt]) -> Receipt:
        """Replace the receipt by what `make` gives for it, under the lock; returns the new receipt."""
        with self._lock:
            self.receipt = make(self.receipt)
            return self.receipt

    def note(self, note: str) -> None:
        """Add a note to the receipt."""
        self.change(lambda receipt: receipt.with_(notes=(*receipt.notes, note)))

    def unquote(self, ids: Collection[str]) -> None:
        """Take the quoted words of forgotten turns out of the receipt."""
        self.change(
            lambda receipt: receipt.with_(
                recalled=tuple(replace(r, text="") if r.id in ids else r for r in receipt.recalled)
            )
        )

    def emit(self, kind: type[Event], **payload: Any) -> None:  # noqa: ANN401 (each event checks its own fields)
        """Tell the hooks of an event of the call; a `DegradedEvent` without hooks goes to the log."""
        receipt = self.receipt
        if self._shared.hooks or kind is DegradedEvent:
            event = kind(call=receipt.call, user=receipt.user, session=receipt.session, **payload)
            emit(self._shared.hooks, event)
