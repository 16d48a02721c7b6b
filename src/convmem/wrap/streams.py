"""Streams whose reply is put together while the caller reads it.

Subclasses of the SDK's own, made by the SDK: what the caller gets is an `openai.Stream` with every method
it has. Nothing is buffered or delayed but the last step: the reply is committed before the stream ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from openai import AsyncStream, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from convmem.wrap.tee import Tee

__all__ = ["AsyncMemoryStream", "MemoryStream"]

ItemT = TypeVar("ItemT")


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
        """Close the response; what arrived is journaled as partial, unless the stream had ended."""
        try:
            super().close()
        finally:
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
        """Close the response; what arrived is journaled as partial, unless the stream had ended."""
        try:
            await super().close()
        finally:
            if self.tee is not None:
                await self.tee.astop()
