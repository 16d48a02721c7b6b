"""A reply on its way to whoever reads it, which ends once, whatever ends it."""

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
    """What has arrived of one streamed reply, event by event."""

    def __init__(self, shape: Shape) -> None:
        self._reply = shape.stream_reply()
        self._done = False

    def take(self, data: str) -> None:
        """One event's data, as the provider sent it."""
        if data.startswith("[DONE]"):
            self._done = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            return  # the SDK raises on it, in its own words
        self._reply.add(chunk)

    def reply(self, *, ended: bool) -> Reply:
        """The reply; whole if the provider said so: behind a proxy a dead server looks like an end, too.

        Args:
            ended: the stream came to its end, and was not broken off.
        """
        try:
            return self._reply.reply(complete=ended and (self._done or self._reply.finished))
        except Exception:  # an edge: what memory cannot read is no trouble of the caller's
            log.exception("a streamed reply cannot be read")
            return Reply(complete=False)


class Arriving(ABC):
    """A reply on its way; the recipient is told of its end once.

    Attributes:
        reading: whoever reads waits for more of it; what is closed meanwhile closes itself.
        ended: the end was told, or is told by somebody else.
    """

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient
        self.reading = False
        self.ended = False

    def __del__(self) -> None:
        """Nobody can read the rest any more, be it that nobody began to."""
        self.stop_soon()

    @abstractmethod
    def reply(self, *, ended: bool) -> Reply:
        """What has arrived.

        Args:
            ended: it came to its end, and was not broken off.
        """

    def complete(self) -> None:
        """It came to its end."""
        if self._ends():
            self._recipient.answered(self.reply(ended=True))

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        if self._ends():
            await self._recipient.aanswered(self.reply(ended=True))

    def stop(self, error: BaseException | None = None) -> None:
        """It was closed or broke before its end."""
        if self._ends():
            self._recipient.stopped(self.reply(ended=False), error)

    async def astop(self, error: BaseException | None = None) -> None:
        """`stop`, without blocking the event loop."""
        if self._ends():
            await self._recipient.astopped(self.reply(ended=False), error)

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        if self._ends():
            self._recipient.stop_soon(self.reply(ended=False), error)

    def leave(self) -> None:
        """Somebody else watches the same reply."""
        self.ended = True

    def abandon(self) -> None:
        """It belongs to the process this one was forked from."""
        self.ended = True
        self._recipient.abandon()

    def _ends(self) -> bool:
        """Whether this is the end, and not something after it."""
        ended, self.ended = self.ended, True
        return not ended
