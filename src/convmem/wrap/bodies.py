"""Watches HTTP bodies that the caller reads himself, by the SDK's raw and streaming-response views.

However the caller reads (`read`, `json`, `iter_lines`, the SDK's own parser), the bytes come through the HTTP
response's `iter_bytes`, or undecoded through its `iter_raw`, and an unread rest is given up by its `close`.
So these methods are replaced, on that one response object.
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
    """Watch the body of an unread response, sync or async.

    Args:
        http: the HTTP response; some of its methods are replaced on the object.
        shape: the API shape of the body.
        recipient: whom to tell of the reply.
        stream: the body is server-sent events.
    """

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

    # httpx's `iter_bytes` reads through `iter_raw` itself: within it (`reading`) the bytes were seen already.
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
    """One body on its way to the caller, kept until its reply can be read.

    Args:
        shape: the API shape of the body.
        recipient: whom to tell of the reply.
        stream: the body is server-sent events.
        decode: undoes the body's content encoding, such as gzip; None where it has none.
    """

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
        """Return the next chunk of the body; None at its end."""
        self.reading = True
        try:
            return next(chunks, None)
        except BaseException as error:
            self.stop(error)
            raise
        finally:
            self.reading = False

    async def apulled(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next chunk of an async body; None at its end."""
        self.reading = True
        try:
            return await anext(chunks, None)
        except BaseException as error:
            await self.astop(error)
            raise
        finally:
            self.reading = False

    def take(self, chunk: bytes) -> None:
        """Take some decoded bytes of the body."""
        if not self.ended:
            self._take(chunk)

    def take_raw(self, chunk: bytes) -> None:
        """Take some bytes as they came; those of an encoded body are kept until the body ends."""
        if self._decode is None:
            self.take(chunk)
        else:
            self._raw.append(chunk)

    def reply(self, *, ended: bool) -> Reply:
        """Return the reply as far as it arrived; a body that is no stream is read only when it is whole."""
        if self._decode is not None and self._raw:
            raw, self._raw = b"".join(self._raw), []
            try:
                self._take(self._decode(raw))
            except Exception:  # an edge: what memory cannot read must not fail the caller
                log.exception("the caller read a reply undecoded, and convmem cannot decode it")
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
