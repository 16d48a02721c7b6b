"""A reply that is still arriving; its recipient is told of the end exactly once, whatever ends it."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from convmem.wire.values import Reply

if TYPE_CHECKING:
    from convmem.call.recipient import Recipient
    from convmem.wire.shape import Shape

__all__ = ["Arriving", "StreamParts"]

log = logging.getLogger("convmem")


class StreamParts:
    """Puts one streamed reply together from the data of its events."""

    def __init__(self, shape: Shape) -> None:
        self._reply = shape.stream_reply()
        self._done = False

    def take(self, data: str) -> None:
        """Take one event's data as the provider sent it, `[DONE]` included."""
        if data.startswith("[DONE]"):
            self._done = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return  # the SDK raises on it, in its own words
        self._reply.add(chunk)

    def reply(self, *, ended: bool) -> Reply:
        """Return the reply; complete if the provider said so: a proxy ends the stream of a dead server too.

        Args:
            ended: the stream came to its end, and was not broken off.
        """
        try:
            return self._reply.reply(complete=ended and (self._done or self._reply.finished))
        except Exception:  # an edge: what memory cannot read must not fail the caller
            log.exception("a streamed reply cannot be read")
            return Reply(complete=False)


class Arriving(ABC):
    """A reply that is still arriving; its recipient is told of the end once.

    Attributes:
        reading: the SDK is fetching more of the reply. A response that is closed then closes itself at its
            end, which is no breaking off.
        ended: the recipient was told of the end, or another object tells it.
    """

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient
        self.reading = False
        self.ended = False

    def __del__(self) -> None:
        """End the reply as broken off: nobody holds it any more, so nobody can read the rest."""
        self.stop_soon()

    @abstractmethod
    def reply(self, *, ended: bool) -> Reply:
        """Return the reply as far as it arrived.

        Args:
            ended: the reply came to its end, and was not broken off.
        """

    def complete(self) -> None:
        """Tell the recipient that the reply came to its end."""
        if self._ends():
            self._recipient.answered(self.reply(ended=True))

    async def acomplete(self) -> None:
        """Tell the recipient that the reply came to its end, without blocking the event loop."""
        if self._ends():
            await self._recipient.aanswered(self.reply(ended=True))

    def stop(self, error: BaseException | None = None) -> None:
        """Tell the recipient that the reply was closed, or broke, before its end."""
        if self._ends():
            self._recipient.stopped(self.reply(ended=False), error)

    async def astop(self, error: BaseException | None = None) -> None:
        """Tell the recipient as `stop` does, without blocking the event loop."""
        if self._ends():
            await self._recipient.astopped(self.reply(ended=False), error)

    def stop_soon(self, error: BaseException | None = None) -> None:
        """Tell the recipient as `stop` does, without waiting until the journal has what arrived."""
        if self._ends():
            self._recipient.stop_soon(self.reply(ended=False), error)

    def leave(self) -> None:
        """Tell the recipient nothing: another object watches the same reply."""
        self.ended = True

    def abandon(self) -> None:
        """Tell the recipient nothing in a forked child: the reply is the parent's."""
        self.ended = True
        self._recipient.abandon()

    def _ends(self) -> bool:
        """Mark the reply as ended; True the first time."""
        ended, self.ended = self.ended, True
        return not ended
