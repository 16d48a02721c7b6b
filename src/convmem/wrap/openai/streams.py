"""Streams of the OpenAI SDK whose reply is journaled as the caller reads it.

They are subclasses of the SDK's own, made by the SDK: the caller gets an `openai.Stream` with every method it
has. Nothing is buffered, and only the end is delayed: the reply is committed before the stream ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from openai import AsyncStream, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from convmem.wrap.tee import Tee

__all__ = ["AsyncMemoryStream", "MemoryStream"]

ItemT = TypeVar("ItemT")


class MemoryStream(Stream[ItemT]):
    """A stream whose reply is journaled."""

    tee: Tee | None = None

    def watch(self, tee: Tee) -> None:
        """Hand every event to a tee, and tell it when the HTTP response is closed (SDK helpers do that)."""
        self.tee = tee
        close = self.response.close

        def close_watched() -> None:
            try:
                close()
            finally:
                if not tee.reading:
                    tee.stop()

        cast("dict[str, object]", vars(self.response))["close"] = close_watched

    def _iter_events(self) -> Iterator[Any]:
        for event in super()._iter_events():
            if self.tee is not None:
                self.tee.take(event.data)
            yield event

    def __stream__(self) -> Iterator[ItemT]:
        tee = self.tee
        if tee is None:
            yield from super().__stream__()
            return
        tee.reading = True
        try:
            for item in super().__stream__():
                tee.reading = False
                try:
                    yield item
                finally:
                    tee.reading = True
        except GeneratorExit:
            tee.stop_soon()
            raise
        except BaseException as error:
            tee.stop(error)
            raise
        tee.complete()

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

    def watch(self, tee: Tee) -> None:
        """Hand every event to a tee, and tell it when the HTTP response is closed (SDK helpers do that)."""
        self.tee = tee
        close = self.response.aclose

        async def close_watched() -> None:
            try:
                await close()
            finally:
                if not tee.reading:
                    await tee.astop()

        cast("dict[str, object]", vars(self.response))["aclose"] = close_watched

    async def _iter_events(self) -> AsyncIterator[Any]:
        async for event in super()._iter_events():
            if self.tee is not None:
                self.tee.take(event.data)
            yield event

    async def __stream__(self) -> AsyncIterator[ItemT]:
        tee = self.tee
        if tee is None:
            async for item in super().__stream__():
                yield item
            return
        tee.reading = True
        try:
            async for item in super().__stream__():
                tee.reading = False
                try:
                    yield item
                finally:
                    tee.reading = True
        except GeneratorExit:
            tee.stop_soon()
            raise
        except BaseException as error:
            await tee.astop(error)
            raise
        await tee.acomplete()

    async def close(self) -> None:
        """Close the response; what arrived is journaled as partial, unless the stream had ended."""
        try:
            await super().close()
        finally:
            if self.tee is not None:
                await self.tee.astop()
