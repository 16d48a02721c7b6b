"""How many tokens a text is: counted where the model's tokenizer is at hand, else estimated."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import threading
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from convmem.wire.message import dumps, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from convmem.types import Message

__all__ = [
    "LearnedRatios",
    "count_message",
    "count_messages",
    "encoding_of",
    "estimate",
    "table_is_here",
]

_PER_MESSAGE = 4
_PER_MEDIUM = 1_000
_PER_ASCII = 1 / 3.6
_PER_WIDE = 0.9
_COUNTED_AT_MOST = 100_000
"""Characters beyond which a text is estimated: a tokenizer needs a second and more for the odd megabyte."""

# tiktoken's tables, as its openai_public names them; the cache file is named by the SHA-1 of the address.
_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


def estimate(text: str) -> int:
    """Tokens of a text, meant to be a little high: 3.6 ASCII characters a token, .9 tokens a wide character.

    Today's tokenizers need some 4 ASCII and 1.4–1.7 Chinese characters per token.
    """
    if text.isascii():
        return math.ceil(len(text) * _PER_ASCII)
    # In UTF-8 a CJK character takes three bytes: half of what exceeds one byte per character counts them.
    wide = (len(text.encode("utf-8", "surrogatepass")) - len(text)) / 2
    return math.ceil(max(0.0, len(text) - wide) * _PER_ASCII + wide * _PER_WIDE)


def encoding_of(model: str | None) -> str | None:
    """The name of an OpenAI model's encoding; None for other models, whose tokenizers are not known here."""
    name = (model or "").lower().rsplit("/", 1)[-1]
    if name.startswith(("gpt-4o", "gpt-4.1", "gpt-4.5", "chatgpt", "o1", "o3", "o4")):
        return "o200k_base"
    if name.startswith(("gpt-4", "gpt-3.5", "text-embedding")):
        return "cl100k_base"
    return "o200k_base" if name.startswith("gpt-") else None


def table_is_here(encoding: str) -> bool:
    """Whether tiktoken has the table of an encoding on disk, whole; if not, it would download it."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not folder:
        return False
    name = hashlib.sha1(_ADDRESS.format(encoding).encode(), usedforsecurity=False).hexdigest()
    try:
        table = (Path(folder) / name).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(table).hexdigest() == _SHA256[encoding]


@cache
def _counter(encoding: str) -> Callable[[str], int] | None:
    """An exact counter; None when the table is not here. Nothing is ever downloaded."""
    if not table_is_here(encoding):
        return None
    try:
        import tiktoken  # noqa: PLC0415 (only where it can count)

        encoder = tiktoken.get_encoding(encoding)
    except (ImportError, OSError, ValueError):
        return None

    @lru_cache(maxsize=8_192)
    def count(text: str) -> int:
        if len(text) > _COUNTED_AT_MOST:
            return estimate(text)
        return len(encoder.encode(text, disallowed_special=()))

    return count


class LearnedRatios:
    """Counters per model; an estimate is corrected by what the provider counted, as far as it did.

    A ratio starts at 1 (estimates start high), moves a quarter of the way with each reply, and stays
    between .5 and 2.
    """

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}
        self._lock = threading.Lock()

    def counter(self, model: str | None) -> Callable[[str], int]:
        """What counts the tokens of a text for this model."""
        encoding = encoding_of(model)
        exact = _counter(encoding) if encoding is not None else None
        if exact is not None:
            return exact
        ratio = self.ratio(model)
        return estimate if ratio == 1 else lambda text: math.ceil(ratio * estimate(text))

    def ratio(self, model: str | None) -> float:
        """Tokens as the provider counts them, by estimated token."""
        return self._ratios.get(model or "", 1.0)

    def learn(self, model: str | None, *, sent: int, counted: int) -> None:
        """A request that we took for `sent` tokens, at the present ratio, was counted by the provider."""
        if sent < _LEARNED_FROM or counted <= 0:
            return
        with self._lock:
            now = self.ratio(model)
            seen = min(max(now * counted / sent, 0.5), 2.0)
            self._ratios[model or ""] = now + (seen - now) / 4


_LEARNED_FROM = 200


def count_message(message: Message, count: Callable[[str], int]) -> int:
    """Tokens of a message: its text, tool calls and reasoning, a flat thousand for each image or sound."""
    tokens = _PER_MESSAGE + count(text_of(message))
    for key in ("tool_calls", "function_call"):
        if value := message.get(key):
            tokens += count(dumps(value))
    if isinstance(reasoning := message.get("reasoning_content"), str):
        tokens += count(reasoning)
    content: object = message.get("content")
    if isinstance(content, list):
        tokens += _PER_MEDIUM * sum(map(_is_medium, cast("list[object]", content)))
    return tokens


def _is_medium(part: object) -> bool:
    return isinstance(part, dict) and cast("Message", part).get("type") not in {"text", "refusal"}


def count_messages(messages: Iterable[Message], count: Callable[[str], int]) -> int:
    """Tokens of several messages."""
    return sum(count_message(message, count) for message in messages)
