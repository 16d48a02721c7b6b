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
from convmem.wrap.tee import Tee

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
        return chunks if body.pulling else _read(body, chunks, body.take_raw)

    def aiter_raw(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        chunks = araw(chunk_size)
        return chunks if body.pulling else _aread(body, chunks, body.take_raw)

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


class Body:
    """One body on its way to the caller.

    Attributes:
        pulling: whoever reads waits for more; at its end a response closes itself, which is no breaking off.
    """

    def __init__(
        self,
        shape: Shape,
        recipient: Recipient,
        *,
        stream: bool,
        decode: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._shape = shape
        self._recipient = recipient
        self._tee = Tee(shape, recipient) if stream else None
        self._decode = decode
        self._events = EventData()
        self._pieces: list[bytes] = []
        self._raw: list[bytes] = []
        self._left = False
        self.pulling = False

    def __del__(self) -> None:
        """Nobody can read the rest any more."""
        self.stop_soon()

    def pulled(self, chunks: Iterator[bytes]) -> bytes | None:
        """The next chunk, or None."""
        self.pulling = True
        try:
            return next(chunks, None)
        except BaseException as error:
            self.stop(error)
            raise
        finally:
            self.pulling = False

    async def apulled(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """`pulled` of an async body."""
        self.pulling = True
        try:
            return await anext(chunks, None)
        except BaseException as error:
            self.stop_soon(error)
            raise
        finally:
            self.pulling = False

    def leave(self) -> None:
        """Somebody else watches: the SDK made a stream of the body."""
        self._left = True
        if self._tee is not None:
            self._tee.leave()

    def take(self, chunk: bytes) -> None:
        """Some bytes, decoded."""
        if self._left:
            return
        if self._tee is None:
            self._pieces.append(chunk)
            return
        for data in self._events.feed(chunk):
            self._tee.take(data)

    def take_raw(self, chunk: bytes) -> None:
        """Some bytes as they came; encoded ones are kept until there are no more."""
        if self._decode is None:
            self.take(chunk)
        else:
            self._raw.append(chunk)

    def complete(self) -> None:
        """The body came to its end."""
        if self._left:
            return
        self._take_encoded()
        if self._tee is not None:
            self._tee.complete()
        else:
            self._recipient.answered(self._read())

    async def acomplete(self) -> None:
        """`complete`, without blocking the event loop."""
        if self._left:
            return
        self._take_encoded()
        if self._tee is not None:
            await self._tee.acomplete()
        else:
            await self._recipient.aanswered(self._read())

    def closed(self) -> None:
        """Given up, unless it had come to its end."""
        if not self.pulling:
            self.stop()

    async def aclosed(self) -> None:
        """`closed`, without blocking the event loop."""
        if self.pulling or self._left:
            return
        self._take_encoded()
        if self._tee is not None:
            await self._tee.astop()
        else:
            await self._recipient.astopped(self._shape.reply_of(None))

    def stop(self, error: BaseException | None = None) -> None:
        """It broke off."""
        if self._left:
            return
        self._take_encoded()
        if self._tee is not None:
            self._tee.stop(error)
        else:
            self._recipient.stopped(self._shape.reply_of(None), error)

    def stop_soon(self, error: BaseException | None = None) -> None:
        """`stop`, waiting for nobody."""
        if self._left:
            return
        self._take_encoded()
        if self._tee is not None:
            self._tee.stop_soon(error)
        else:
            self._recipient.stop_soon(self._shape.reply_of(None), error)

    def abandon(self) -> None:
        """It belongs to the process this one was forked from."""
        self._recipient.abandon()

    def _take_encoded(self) -> None:
        if self._decode is None or not self._raw:
            return
        raw, self._raw = b"".join(self._raw), []
        try:
            self.take(self._decode(raw))
        except Exception:  # an edge: what memory cannot read is no trouble of the caller's
            log.exception("a reply that was read undecoded cannot be decoded")

    def _read(self) -> Reply:
        try:
            return self._shape.reply_of(json.loads(b"".join(self._pieces)))
        except (ValueError, RecursionError):
            return self._shape.reply_of(None)
