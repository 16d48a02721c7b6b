"""Bodies that the caller reads for himself: raw and streaming-response views of the SDK.

Whatever way leads there (`read`, `json`, `iter_lines`, the SDK's own parser), the bytes come through the
HTTP response's `iter_bytes`, and an unread rest is given up by its `close`. Both are watched, on that one
response.
"""

from __future__ import annotations

import json
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, cast

from convmem.wire.sse import EventData
from convmem.wrap.tee import Tee

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from convmem.wire.chat import Reply
    from convmem.wire.shape import Shape
    from convmem.wrap.recipient import Recipient

__all__ = ["Body", "watch"]


def watch(http: Any, shape: Shape, recipient: Recipient, *, stream: bool) -> Body:  # noqa: ANN401 (httpx or httpx2)
    """Watch the body of an unread response, sync or async."""
    body = Body(shape, recipient, stream=stream)
    inner, ainner = http.iter_bytes, http.aiter_bytes
    close, aclose = http.close, http.aclose

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        with closing(inner(chunk_size)) as chunks:
            while (chunk := body.pulled(chunks)) is not None:
                body.take(chunk)
                yield chunk
        body.complete()

    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async with aclosing(ainner(chunk_size)) as chunks:
            while (chunk := await body.apulled(chunks)) is not None:
                body.take(chunk)
                yield chunk
        await body.acomplete()

    def close_watched() -> None:
        try:
            close()
        finally:
            body.closed()

    async def aclose_watched() -> None:
        try:
            await aclose()
        finally:
            await body.aclosed()

    watched = {"iter_bytes": iter_bytes, "aiter_bytes": aiter_bytes}
    cast("dict[str, object]", vars(http)).update(watched, close=close_watched, aclose=aclose_watched)
    return body


class Body:
    """One body on its way to the caller."""

    def __init__(self, shape: Shape, recipient: Recipient, *, stream: bool) -> None:
        self._shape = shape
        self._recipient = recipient
        self._tee = Tee(shape, recipient) if stream else None
        self._events = EventData()
        self._pieces: list[bytes] = []
        self._pulling = False
        self._left = False

    def pulled(self, chunks: Iterator[bytes]) -> bytes | None:
        """The next chunk, or None; at the end the response closes itself, which is no breaking off."""
        self._pulling = True
        try:
            return next(chunks, None)
        except BaseException as error:
            self.stop(error)
            raise
        finally:
            self._pulling = False

    async def apulled(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """`pulled` of an async body."""
        self._pulling = True
        try:
            return await anext(chunks, None)
        except BaseException as error:
            self.stop_soon(error)
            raise
        finally:
            self._pulling = False

    def leave(self) -> None:
        """Somebody else watches: the SDK made a stream of the body."""
        self._left = True

    def take(self, chunk: bytes) -> None:
        """Some bytes, decoded."""
        if self._left:
            return
        if self._tee is None:
            self._pieces.append(chunk)
            return
        for data in self._events.feed(chunk):
            self._tee.take(data)

    def complete(self) -> None:
        """The body came to its end."""
        if self._left:
            return
        if self._tee is not None:
            self._tee.complete()
        else:
            self._recipient.answered(self._read())

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        if self._left:
            return
        if self._tee is not None:
            await self._tee.acomplete()
        else:
            await self._recipient.aanswered(self._read())

    def closed(self) -> None:
        """Given up, unless it had come to its end."""
        if not self._pulling:
            self.stop()

    async def aclosed(self) -> None:
        """`closed`, without blocking the event loop."""
        if not self._pulling and not self._left:
            await self._recipient.astopped(self._rest())

    def stop(self, error: BaseException | None = None) -> None:
        """It broke off."""
        if not self._left:
            self._recipient.stopped(self._rest(), error)

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        if not self._left:
            self._recipient.stop_soon(self._rest(), error)

    def abandon(self) -> None:
        """It belongs to the process this one was forked from."""
        self._recipient.abandon()

    def _rest(self) -> Reply:
        return self._tee.so_far() if self._tee is not None else self._shape.reply_of(None)

    def _read(self) -> Reply:
        try:
            return self._shape.reply_of(json.loads(b"".join(self._pieces)))
        except ValueError:
            return self._shape.reply_of(None)
