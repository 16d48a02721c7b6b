"""One streamed reply on its way: put together event by event, and told of when it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convmem.wire.chat import Reply
    from convmem.wire.shape import Shape
    from convmem.wrap.recipient import Recipient

__all__ = ["Tee"]


class Tee:
    """What has arrived of one streamed reply, and who is told of it."""

    def __init__(self, shape: Shape, recipient: Recipient) -> None:
        self._recipient = recipient
        self._reply = shape.stream_reply()

    def take(self, data: str) -> None:
        """One event's data, as the provider sent it."""
        try:
            chunk = json.loads(data)
        except ValueError:
            return  # the SDK raises on it, in its own words
        self._reply.add(chunk)

    def so_far(self) -> Reply:
        """What arrived of a reply that broke off."""
        return self._reply.reply(complete=False)

    def complete(self) -> None:
        """The stream came to its end."""
        self._recipient.answered(self._reply.reply(complete=True))

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        await self._recipient.aanswered(self._reply.reply(complete=True))

    def stop(self, error: BaseException | None = None) -> None:
        """The stream was closed or broke before its end."""
        self._recipient.stopped(self.so_far(), error)

    async def astop(self) -> None:
        """The stream was closed before its end; without blocking the event loop."""
        await self._recipient.astopped(self.so_far())

    def abandon(self) -> None:
        """The stream belongs to the process this one was forked from."""
        self._recipient.abandon()

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        self._recipient.stop_soon(self.so_far(), error)
