"""Bodies that the caller reads for himself: raw and streaming-response views of the SDK.

Whatever way leads there (`read`, `json`, `iter_lines`, the SDK's own parser), the bytes come through the
HTTP response's `iter_bytes`, or undecoded through its `iter_raw`, and an unread rest is given up by its
`close`. All are watched, on that one response.
"""

from __future__ import annotations

import json
import logging
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, cast

from convmem.wire.sse import EventData
from convmem.wrap.ending import Arriving, StreamParts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from convmem.call.recipient import Recipient
    from convmem.wire.shape import Shape
    from convmem.wire.values import Reply

__all__ = ["Body", "watch"]

log = logging.getLogger("convmem")


def watch(http: Any, shape: Shape, recipient: Recipient, *, stream: bool) -> Body:  # noqa: ANN401 (httpx or httpx2)
    """Watch the body of an unread response, sync or async."""

    def decode(raw: bytes) -> bytes:
        return bytes(type(http)(200, headers=http.headers, content=raw).content)

    encoded = "content-encoding" in http.headers
    body = Body(shape, recipient, stream=stream, decode=decode if encoded else None)
    inner, ainner = http.iter_bytes, http.aiter_bytes
    raw, araw = http.iter_raw, http.aiter_raw
    close, aclose = http.close, http.aclose

    def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
        return _read(body, inner(chunk_size), body.take)

    def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        return _aread(body, ainner(chunk_size), body.take)

    # `iter_bytes` reads through `iter_raw` itself.
    def iter_raw(chunk_size: int | None = None) -> Iterator[bytes]:
        chunks = raw(chunk_size)
        return chunks if body.reading else _read(body, chunks, body.take_raw)

    def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        chunks = araw(chunk_size)
        return chunks if body.reading else _aread(body, chunks, body.take_raw)

    def close_watched() -> None:
        try:
            close()
        finally:
            if not body.reading:  # at its end a response closes itself, which is no breaking off
                body.stop()

    async def aclose_watched() -> None:
        try:
            await aclose()
        finally:
            if not body.reading:
                await body.astop()

    cast("dict[str, object]", vars(http)).update(
        iter_bytes=iter_bytes,
        aiter_bytes=aiter_bytes,
        iter_raw=iter_raw,
        aiter_raw=aiter_raw,
        close=close_watched,
        aclose=aclose_watched,
    )
    return body


def _read(body: Body, chunks: Generator[bytes], take: Callable[[bytes], None]) -> Iterator[bytes]:
    with closing(chunks):
        while (chunk := body.pulled(chunks)) is not None:
            take(chunk)
            yield chunk
    body.complete()


async def _aread(
    body: Body, chunks: AsyncGenerator[bytes], take: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        while (chunk := await body.apulled(chunks)) is not None:
            take(chunk)
            yield chunk
    await body.acomplete()


class Body(Arriving):
    """One body on its way to the caller."""

    def __init__(
        self,
        shape: Shape,
        recipient: Recipient,
        *,
        stream: bool,
        decode: Callable[[bytes], bytes] | None = None,
    ) -> None:
        super().__init__(recipient)
        self._shape = shape
        self._parts = StreamParts(shape) if stream else None
        self._decode = decode
        self._events = EventData()
        self._pieces: list[bytes] = []
        self._raw: list[bytes] = []

    def pulled(self, chunks: Iterator[bytes]) -> bytes | None:
        """The next chunk, or None."""
        self.reading = True
        try:
            return next(chunks, None)
        except BaseException as error:
            self.stop(error)
            raise
        finally:
            self.reading = False

    async def apulled(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """`pulled` of an async body."""
        self.reading = True
        try:
            return await anext(chunks, None)
        except BaseException as error:
            await self.astop(error)
            raise
        finally:
            self.reading = False

    def take(self, chunk: bytes) -> None:
        """Some bytes, decoded."""
        if not self.ended:
            self._take(chunk)

    def take_raw(self, chunk: bytes) -> None:
        """Some bytes as they came; encoded ones are kept until there are no more."""
        if self._decode is None:
            self.take(chunk)
        else:
            self._raw.append(chunk)

    def reply(self, *, ended: bool) -> Reply:
        """What has arrived: of a body that is no stream, nothing before it is there as a whole."""
        if self._decode is not None and self._raw:
            raw, self._raw = b"".join(self._raw), []
            try:
                self._take(self._decode(raw))
            except Exception:  # an edge: what memory cannot read is no trouble of the caller's
                log.exception("a reply that was read undecoded cannot be decoded")
        if self._parts is not None:
            return self._parts.reply(ended=ended)
        try:
            return self._shape.reply_of(json.loads(b"".join(self._pieces)) if ended else None)
        except (ValueError, RecursionError):
            return self._shape.reply_of(None)

    def _take(self, chunk: bytes) -> None:
        if self._parts is None:
            self._pieces.append(chunk)
            return
        for data in self._events.feed(chunk):
            self._parts.take(data)
