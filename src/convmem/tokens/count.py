"""How many tokens a message is: counted where the model's tokenizer is at hand, else estimated."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import median_high
from typing import TYPE_CHECKING, Final, cast

from convmem.threads.locks import Lock
from convmem.tokens.estimate import Remembered, estimate
from convmem.tokens.tiktoken import TABLES, Tables, encoding_of, table_is_here
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

# OpenAI's own account (its cookbook): three tokens a message and one for its role; one more with a name. A
# request has three further ones that prompt the reply.
_PER_MESSAGE: Final = 4
_PER_NAME: Final = 1
_PER_MEDIUM: Final = 1_000
"""For each picture or sound: a round figure, for providers count them by size, length and model."""

_LEARNED_FROM: Final = 200
"""Tokens of a request from which a ratio is learned: in shorter ones what providers add weighs too much."""
_REPLIES: Final = 15
"""Replies whose median is a model's ratio."""
_MODELS: Final = 1_000
"""Models whose ratios are remembered, the oldest forgotten first: names come from callers, so bounded."""
_SMALLEST, _LARGEST = 0.5, 2.0
"""Bounds of a ratio: beyond them it is not our estimate that is wrong, but what is being compared."""
_OLDER_START: Final = 1.3
"""cl100k_base needs a third more tokens for Chinese than o200k_base, to which the estimate is fitted."""

_estimate = Remembered(estimate)


class LearnedRatios:
    """Counters by model. An estimate is corrected by what the provider counted in earlier replies.

    A model's ratio starts at 1, where estimates are high, as if two replies had said so; then it is the
    median of the last 15, so that one odd reply (an image, a tool the provider adds) moves nothing. It
    stays between .5 and 2.
    """

    def __init__(self, tables: Tables = TABLES) -> None:
        self._tables = tables
        self._seen: dict[str, tuple[float, ...]] = {}
        self._lock = Lock()

    def warm(self) -> None:
        """Begin to load the table of the newer models where it is on disk, so that no call has to."""
        self._tables.counter("o200k_base")

    def counter(self, model: str | None) -> Callable[[str], int]:
        """The function that counts the tokens of a text for this model, until the next reply corrects it.

        The same object as before when it counts the same.
        """
        encoding = encoding_of(model)
        exact = self._tables.counter(encoding) if encoding is not None else None
        if exact is not None:
            return exact
        ratio = self.ratio(model)
        return _estimate if ratio == 1 else _scaled(ratio)

    def ratio(self, model: str | None) -> float:
        """Tokens as the provider counts them, by estimated token."""
        return median_high(self._seen.get(model or "") or _start(model))

    def learn(self, model: str | None, *, sent: int, counted: int) -> None:
        """Correct a model's ratio: the provider counted `counted` tokens in a request estimated at `sent`."""
        if sent < _LEARNED_FROM or counted <= 0:
            return
        # Whoever comes while another learns is not heard: a median does not miss it, and nobody waits.
        if not self._lock.acquire(blocking=False):
            return
        try:
            name = model or ""
            seen = min(max(self.ratio(model) * counted / sent, _SMALLEST), _LARGEST)
            before = self._seen.pop(name, None) or _start(model)
            self._seen[name] = (*before, seen)[-_REPLIES:]
            if len(self._seen) > _MODELS:
                del self._seen[next(iter(self._seen))]
        finally:
            self._lock.release()


@lru_cache(maxsize=64)
def _scaled(ratio: float) -> Callable[[str], int]:
    return lambda text: math.ceil(ratio * _estimate(text))


def _start(model: str | None) -> tuple[float, ...]:
    return (_OLDER_START if encoding_of(model) == "cl100k_base" else 1.0,) * 2


def count_message(message: Message, count: Callable[[str], int]) -> int:
    """Tokens of a message: its text, tool calls and reasoning, a flat thousand for each image or sound."""
    tokens = _PER_MESSAGE + count(text_of(message))
    for key in ("tool_calls", "function_call"):
        if value := message.get(key):
            tokens += count(dumps(value))
    for key in ("reasoning_content", "reasoning"):
        if isinstance(reasoning := message.get(key), str):
            tokens += count(reasoning)
    if isinstance(name := message.get("name"), str) and name:
        tokens += _PER_NAME + count(name)
    content: object = message.get("content")
    if isinstance(content, list):
        tokens += _PER_MEDIUM * sum(map(_is_medium, cast("list[object]", content)))
    return tokens


def _is_medium(part: object) -> bool:
    return isinstance(part, dict) and cast("Message", part).get("type") not in {"text", "refusal"}


def count_messages(messages: Iterable[Message], count: Callable[[str], int]) -> int:
    """Tokens of several messages."""
    return sum(count_message(message, count) for message in messages)
