"""The account that is kept of one call while it happens: its receipt, and the events that tell of it."""

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
    """The receipt of one call, which the caller, the writer thread and a finalizer may change at once.

    Attributes:
        receipt: the account so far; replaced as things happen.
    """

    def __init__(self, shared: Shared, receipt: Receipt) -> None:
        self._shared = shared
        self._lock = Lock()  # a stream that nobody reads any more may end within any other step
        self.receipt = receipt

    def update(self, **changes: Any) -> None:  # noqa: ANN401 (dataclasses.replace checks the names)
        """Change fields of the receipt."""
        with self._lock:
            self.receipt = self.receipt.with_(**changes)

    def change(self, make: Callable[[Receipt], Receipt]) -> Receipt:
        """Change the receipt by what stands in it."""
        with self._lock:
            self.receipt = make(self.receipt)
            return self.receipt

    def note(self, note: str) -> None:
        """Add something that a person should know."""
        self.change(lambda receipt: receipt.with_(notes=(*receipt.notes, note)))

    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten: the receipt no longer tells what was quoted of them."""
        self.change(
            lambda receipt: receipt.with_(
                recalled=tuple(replace(r, text="") if r.id in ids else r for r in receipt.recalled)
            )
        )

    def emit(self, kind: type[Event], **payload: Any) -> None:  # noqa: ANN401 (each event checks its own fields)
        """Tell of something that happened to the call."""
        receipt = self.receipt
        if self._shared.hooks or kind is DegradedEvent:
            event = kind(call=receipt.call, user=receipt.user, session=receipt.session, **payload)
            emit(self._shared.hooks, event)
