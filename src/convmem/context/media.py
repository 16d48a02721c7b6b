"""Decides which pictures, sounds and files leave a window, and writes the mark that stands for each; pure.

`context.window` calls it for the messages that are put back; the caller's own messages are never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from convmem.context.render import speaks_chinese
from convmem.wire.message import part_text, weight_of
from convmem.wire.quoting import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from convmem.types import Message

__all__ = ["leaving", "sizes", "sizes_in", "speaks_chinese_in", "without"]

_KEPT_SHARE: Final = 1 / 2
"""Share of a limit that stays when it was passed. Each leaving changes bytes that the provider has in its
cache, so half of the media leave together, and then none for a while."""

_KINDS: Final = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "computer_screenshot": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "audio": "audio",
    "video_url": "video",
    "input_video": "video",
    "video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
"""Kinds of media by the type of the content part, in the APIs of all providers together."""
_CHINESE: Final = {"image": "图片", "audio": "音频", "video": "视频", "file": "文件"}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""Written out, not by the machine's locale: the same day must be the same bytes in every request."""


def sizes(message: Message) -> list[int]:
    """Bytes of each picture, sound or file in a message's content, as they are sent."""
    return [weight_of(part) for part in _parts(message) if _kind(part) is not None]


def sizes_in(rounds: Iterable[Iterable[Message]]) -> list[list[int]]:
    """Bytes of the pictures, sounds and files of each round."""
    return [[size for message in messages for size in sizes(message)] for messages in rounds]


def leaving(rounds: Iterable[Sequence[int]], most: int, most_bytes: int) -> int:
    """How many media, counted from the oldest, have left a window with these rounds.

    When a limit is passed, the oldest media leave until half of the limit is kept. Those of the last round
    stay, whatever they weigh: the next message is likely to ask about them. The number only grows while the
    window grows, so nothing needs to be remembered from call to call.

    Args:
        rounds: bytes of each of the media of each round, oldest first.
        most: the most media that a window keeps.
        most_bytes: the most bytes of media that a window keeps.
    """
    seen: list[int] = []
    left = 0
    for media in rounds:
        before = len(seen)
        seen += media
        if len(seen) - left <= most and sum(seen[left:]) <= most_bytes:
            continue
        while left < before and (
            len(seen) - left > most * _KEPT_SHARE or sum(seen[left:]) > most_bytes * _KEPT_SHARE
        ):
            left += 1
    return left


def without(message: Message, leave: int, said: date, *, chinese: bool) -> Message:
    """The message with a mark in place of each of its first media, such as `[image, 3 May 2025]`.

    Args:
        message: a message with media.
        leave: how many of its media, counted from the first, get a mark.
        said: the day on which the message was sent.
        chinese: the mark is Chinese, else English.
    """
    content: list[object] = []
    for part in _parts(message):
        kind = _kind(part)
        if kind is None or not leave:
            content.append(part)
            continue
        leave -= 1
        content.append({"type": "text", "text": _mark(kind, _name(part), said, chinese=chinese)})
    return {**message, "content": content}


def speaks_chinese_in(messages: Iterable[Message]) -> bool | None:
    """Whether what people said in a round is Chinese; None where nobody said a word."""
    words = "\n".join(filter(None, map(_words, messages)))
    return speaks_chinese(words) if words.strip() else None


def _words(message: Message) -> str:
    content: object = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part_text(part) for part in _parts(message) if _kind(part) is None)


def _parts(message: Message) -> list[object]:
    content: object = message.get("content")
    return cast("list[object]", content) if isinstance(content, list) else []


def _kind(part: object) -> str | None:
    """The kind of a content part: image, audio, video or file; None for a text and any other part."""
    if not isinstance(part, dict):
        return None
    fields = cast("dict[str, object]", part)
    kind = fields.get("type")
    if isinstance(kind, str) and (known := _KINDS.get(kind)) is not None:
        return known
    return "file" if any(map(_is_inline, fields.values())) else None


def _is_inline(value: object) -> bool:
    """Whether a field of a content part of an unknown type holds a file: `data:…;base64,…`."""
    if isinstance(value, dict):
        return any(map(_is_inline, cast("dict[str, object]", value).values()))
    return isinstance(value, str) and value.startswith("data:") and ";base64," in value[:200]


def _name(part: object) -> str:
    """The name of a file; empty where it has none."""
    fields = cast("dict[str, object]", part)
    file: object = fields.get("file")
    named = cast("dict[str, object]", file) if isinstance(file, dict) else fields
    name: object = named.get("filename")
    return one_line(name) if isinstance(name, str) else ""


def _mark(kind: str, name: str, said: date, *, chinese: bool) -> str:
    if chinese:
        what = f"{_CHINESE[kind]} {name}" if name else _CHINESE[kind]
        return f"[{what}，{said.year}年{said.month}月{said.day}日]"
    what = f"{kind} {name}" if name else kind
    return f"[{what}, {said.day} {_MONTHS[said.month - 1]} {said.year}]"
