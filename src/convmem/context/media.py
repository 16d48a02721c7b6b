"""Pictures, sounds and files that leave a window: which of them, and the mark that stands for each; pure."""

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
"""Of a limit that was passed, what stays: each leaving changes bytes that the provider has in its cache, so
it is to be rare."""

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
_CHINESE: Final = {"image": "图片", "audio": "音频", "video": "视频", "file": "文件"}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""Not the machine's locale: the same day is written alike everywhere, and in every request."""


def sizes(message: Message) -> list[int]:
    """Bytes of each picture, sound or file in a message's content, as they are sent."""
    return [weight_of(part) for part in _parts(message) if _kind(part) is not None]


def sizes_in(rounds: Iterable[Iterable[Message]]) -> list[list[int]]:
    """Bytes of the pictures, sounds and files of each round."""
    return [[size for message in messages for size in sizes(message)] for messages in rounds]


def leaving(rounds: Iterable[Sequence[int]], most: int, most_bytes: int) -> int:
    """How many media have left a window, the oldest first, once these rounds are over.

    What is over a limit leaves until half of the limit is kept. Those of the last round stay, whatever they
    weigh: the next message is likely to ask about them. A window that only grows is told of more and more,
    never of fewer, so nothing needs to be remembered from call to call.

    Args:
        rounds: bytes of the media of each round, oldest first.
        most: media.
        most_bytes: bytes.
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
    """The message with a mark for each of its first so many media: what it was, and the day it was sent."""
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
    """What a content part is; None for a text, and for what nobody would call a picture or a file."""
    if not isinstance(part, dict):
        return None
    fields = cast("dict[str, object]", part)
    kind = fields.get("type")
    if isinstance(kind, str) and (known := _KINDS.get(kind)) is not None:
        return known
    return "file" if any(map(_is_inline, fields.values())) else None


def _is_inline(value: object) -> bool:
    """Whether a field of a part that no API we know has holds a file: `data:…;base64,…`."""
    if isinstance(value, dict):
        return any(map(_is_inline, cast("dict[str, object]", value).values()))
    return isinstance(value, str) and value.startswith("data:") and ";base64," in value[:200]


def _name(part: object) -> str:
    """The name of a file, where it has one."""
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
