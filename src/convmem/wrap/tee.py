"""One streamed reply on its way: put together event by event, and told of when it ends."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from convmem.wire.values import Reply

if TYPE_CHECKING:
    from convmem.call.recipient import Recipient
    from convmem.wire.shape import Shape

__all__ = ["Tee"]

log = logging.getLogger("convmem")


class Tee:
    """What has arrived of one streamed reply, and who is told of its end: once, whatever ends it.

    Attributes:
        reading: whoever reads the stream is waiting for more of it; what is closed meanwhile closes itself.
    """

    def __init__(self, shape: Shape, recipient: Recipient) -> None:
        self._recipient = recipient
        self._reply = shape.stream_reply()
        self._done = False
        self._ended = False
        self.reading = False

    def __del__(self) -> None:
        """Nobody can read the rest any more, be it that nobody began to."""
        self.stop_soon()

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

    def complete(self) -> None:
        """The stream came to its end."""
        if self._ends():
            self._recipient.answered(self._all())

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        if self._ends():
            await self._recipient.aanswered(self._all())

    def stop(self, error: BaseException | None = None) -> None:
        """The stream was closed or broke before its end."""
        if self._ends():
            self._recipient.stopped(self._made(complete=False), error)

    async def astop(self) -> None:
        """The stream was closed before its end; without blocking the event loop."""
        if self._ends():
            await self._recipient.astopped(self._made(complete=False))

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        if self._ends():
            self._recipient.stop_soon(self._made(complete=False), error)

    def leave(self) -> None:
        """Somebody else watches the same reply."""
        self._ended = True

    def abandon(self) -> None:
        """The stream belongs to the process this one was forked from."""
        self._ended = True
        self._recipient.abandon()

    def _ends(self) -> bool:
        """Whether this is the end, and not something after it."""
        ended, self._ended = self._ended, True
        return not ended

    def _all(self) -> Reply:
        """The reply, whole if the provider said so: behind a proxy a dead server looks like an end, too."""
        return self._made(complete=self._done or self._reply.finished)

    def _made(self, *, complete: bool) -> Reply:
        try:
            return self._reply.reply(complete=complete)
        except Exception:  # an edge: what memory cannot read is no trouble of the caller's
            log.exception("a streamed reply cannot be read")
            return Reply(complete=False)
