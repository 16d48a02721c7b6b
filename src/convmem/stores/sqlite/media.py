"""Takes heavy strings (images, audio and files as base64, long texts) out of messages, to store each once."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from convmem.wire.message import slices
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.types import Message

__all__ = ["Medium", "digest_of", "is_text", "put_back", "take_out"]

_INLINE_FROM = 1024
"""Characters from which a string of base64 gets a row of its own: shorter ones save too little."""

_TEXT_FROM = 1 << 18
"""Characters from which any text gets a row of its own. Twenty megabytes take .2 s to be parsed as JSON in
one step, within which no other thread of the process runs; as a row they take .01 s to read."""

_BASE64_KEYS = frozenset({"data", "file_data"})
"""Fields of content parts whose strings are base64 without a `data:` URL around it."""
_MEDIA_KEYS = _BASE64_KEYS | {"url", "image_url", "file_url", "b64_json", "result"}


@dataclass(frozen=True, slots=True)
class Medium:
    """One string taken out of a message.

    Attributes:
        path: the keys and indexes that lead to the string in the message.
        content: the string, as UTF-8.
        digest: the SHA-256 of `content`.
    """

    path: tuple[str | int, ...]
    content: bytes
    digest: bytes


def digest_of(content: bytes) -> bytes:
    """Return the SHA-256 of a content, 32 bytes."""
    return hashlib.sha256(content).digest()


def take_out(message: Message) -> tuple[Message, tuple[Medium, ...]]:
    """Take inline media and long texts out of a message; returns a message without them, and them.

    A message that has none is returned itself.
    """
    media_in = isinstance(message.get("content"), list)
    heavy = _heavy((), message, media_in=media_in)
    found = [(path, content) for path, text in heavy if (content := _as_bytes(text)) is not None]
    if not found:
        return message, ()
    media = tuple(Medium(path, content, digest_of(content)) for path, content in found)
    emptied = cast("Message", _without({medium.path for medium in media}, (), message))
    return emptied, media


def is_text(path: list[str | int]) -> bool:
    """Whether the string taken out at a path is words, and no picture or file."""
    return path[-1] not in _MEDIA_KEYS


def _as_bytes(text: str) -> bytes | None:
    """Encode a text as UTF-8; None for one with lone surrogates, which only JSON can say."""
    try:
        return b"".join(piece.encode() for piece in slices(text))
    except UnicodeEncodeError:
        return None


def put_back(message: Message, path: list[str | int], content: bytes) -> None:
    """Put one string back where it was taken out, in place."""
    *way, last = path
    place: Any = message
    for step in way:
        place = place[step]
    place[last] = _decoded(content)


_STEP = 1 << 18
"""Bytes that are decoded in one step, within which no other thread of the process runs: well under 1 ms."""


def _decoded(content: bytes) -> str:
    """Decode UTF-8 in steps, between which other threads of the process run."""
    if len(content) <= _STEP:
        return content.decode()
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(content)
    pieces = [decoder.decode(view[start : start + _STEP]) for start in range(0, len(content), _STEP)]
    return "".join([*pieces, decoder.decode(b"", final=True)])


def _heavy(
    path: tuple[str | int, ...], value: object, *, media_in: bool
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        if path and _is_heavy(path[-1], value, media_in=media_in):
            yield path, value
    elif is_object(value):
        for key, item in value.items():
            yield from _heavy((*path, key), item, media_in=media_in)
    elif is_array(value):
        for i, item in enumerate(value):
            yield from _heavy((*path, i), item, media_in=media_in)


def _is_heavy(key: str | int, text: str, *, media_in: bool) -> bool:
    if len(text) >= _TEXT_FROM:
        return True
    inline = media_in and len(text) >= _INLINE_FROM and (key in _BASE64_KEYS or text.startswith("data:"))
    return inline and text.isascii()


def _without(paths: set[tuple[str | int, ...]], path: tuple[str | int, ...], value: object) -> object:
    if path in paths:
        return ""
    if is_object(value):
        return {key: _without(paths, (*path, key), item) for key, item in value.items()}
    if is_array(value):
        return [_without(paths, (*path, i), item) for i, item in enumerate(value)]
    return value
