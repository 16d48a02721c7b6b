"""Puts together, event by event, one streamed reply that an SDK's stream class reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.wrap.ending import Arriving, StreamParts

if TYPE_CHECKING:
    from convmem.call.recipient import Recipient
    from convmem.wire.shape import Shape
    from convmem.wire.values import Reply

__all__ = ["Tee"]


class Tee(Arriving):
    """One streamed reply on its way through an SDK's stream class."""

    def __init__(self, shape: Shape, recipient: Recipient) -> None:
        super().__init__(recipient)
        self._parts = StreamParts(shape)

    def take(self, data: str) -> None:
        """Take one event's data as the provider sent it."""
        self._parts.take(data)

    def reply(self, *, ended: bool) -> Reply:
        """Return the reply as far as it arrived."""
        return self._parts.reply(ended=ended)
