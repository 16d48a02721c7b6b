"""Streams that put the reply together while the caller reads it.

Subclasses of the SDK's own, made by the SDK: what the caller gets is an `openai.Stream` with every method
it has. Nothing is buffered or delayed but the last step: the reply is committed before the stream ends.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from openai import AsyncStream, Stream

from convmem.wire.chat import ReplyStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from convmem.exchange import Exchange

__all__ = ["AsyncMemoryStream", "MemoryStream", "Tee"]

ItemT = TypeVar("ItemT")


class Tee:
    """What has arrived of one streamed reply, and the exchange it belongs to."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._reply = ReplyStream()

    def take(self, data: str) -> None:
        """One event's data, as the provider sent it."""
        try:
            chunk = json.loads(data)
        except ValueError:
            return  # the SDK raises on it, in its own words
        self._reply.add(chunk)

    def complete(self) -> None:
        """The stream came to its end."""
        self.exchange.answered(self._reply.reply(complete=True))

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        await self.exchange.aanswered(self._reply.reply(complete=True))

    def stop(self, error: BaseException | None = None) -> None:
        """The stream was closed or broke before its end."""
        self.exchange.stopped(self._reply.reply(complete=False), error)

    def abandon(self) -> None:
        """The stream belongs to the process this one was forked from."""
        self.exchange.abandon()

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        self.exchange.stop_soon(self._reply.reply(complete=False), error)


class MemoryStream(Stream[ItemT]):
    """A stream whose reply is journaled."""

    tee: Tee | None = None

    def _iter_events(self) -> Iterator[Any]:
        for event in super()._iter_events():
            if self.tee is not None and not event.data.startswith("[DONE]"):
                self.tee.take(event.data)
            yield event

    def __stream__(self) -> Iterator[ItemT]:
        try:
            yield from super().__stream__()
        except GeneratorExit:
            if self.tee is not None:
                self.tee.stop_soon()
            raise
        except BaseException as error:
            if self.tee is not None:
                self.tee.stop(error)
            raise
        if self.tee is not None:
            self.tee.complete()

    def close(self) -> None:
        """Close the response; what arrived is journaled as partial unless the stream had ended."""
        super().close()
        if self.tee is not None:
            self.tee.stop()


class AsyncMemoryStream(AsyncStream[ItemT]):
    """An async stream whose reply is journaled."""

    tee: Tee | None = None

    async def _iter_events(self) -> AsyncIterator[Any]:
        async for event in super()._iter_events():
            if self.tee is not None and not event.data.startswith("[DONE]"):
                self.tee.take(event.data)
            yield event

    async def __stream__(self) -> AsyncIterator[ItemT]:
        try:
            async for item in super().__stream__():
                yield item
        except BaseException as error:
            if self.tee is not None:
                self.tee.stop_soon(None if isinstance(error, GeneratorExit) else error)
            raise
        if self.tee is not None:
            await self.tee.acomplete()

    async def close(self) -> None:
        """Close the response; what arrived is journaled as partial unless the stream had ended."""
        if self.tee is not None:
            self.tee.stop_soon()
        await super().close()
