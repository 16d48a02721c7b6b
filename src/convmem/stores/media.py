"""Inline media (images, audio, files as base64) taken out of a message, to be stored once by hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.types import Message

__all__ = ["Medium", "digest_of", "put_back", "take_out"]

_INLINE_FROM = 1024
"""Characters from which a string of base64 is worth a row of its own."""

_BASE64_KEYS = frozenset({"data", "file_data"})


@dataclass(frozen=True, slots=True)
class Medium:
    """One string taken out of a message.

    Attributes:
        path: keys and indexes that lead to it.
        content: the string, as UTF-8.
        digest: its SHA-256.
    """

    path: tuple[str | int, ...]
    content: bytes
    digest: bytes


def digest_of(content: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(content).digest()


def take_out(message: Message) -> tuple[Message, tuple[Medium, ...]]:
    """A message without its inline media, and those; the message itself when it has none."""
    if not isinstance(message.get("content"), list):
        return message, ()
    media = tuple(
        Medium(path, text.encode(), digest_of(text.encode())) for path, text in _inline((), message)
    )
    if not media:
        return message, ()
    emptied = cast("Message", _without({medium.path for medium in media}, (), message))
    return emptied, media


def put_back(message: Message, path: list[str | int], content: bytes) -> None:
    """Put one string back where it was taken out, in place."""
    *way, last = path
    place: Any = message
    for step in way:
        place = place[step]
    place[last] = content.decode()


def _inline(path: tuple[str | int, ...], value: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _inline((*path, key), item)
    elif isinstance(value, list):
        for i, item in enumerate(cast("list[object]", value)):
            yield from _inline((*path, i), item)
    elif (
        isinstance(value, str)
        and len(value) >= _INLINE_FROM
        and (path[-1] in _BASE64_KEYS or value.startswith("data:"))
        and value.isascii()
    ):
        yield path, value


def _without(paths: set[tuple[str | int, ...]], path: tuple[str | int, ...], value: object) -> object:
    if path in paths:
        return ""
    if isinstance(value, dict):
        return {k: _without(paths, (*path, k), item) for k, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_without(paths, (*path, i), item) for i, item in enumerate(cast("list[object]", value))]
    return value
