"""How much of a request a provider can take from its cache: what it shares with the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.types import Message

__all__ = ["Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as far as it may be taken from a cache: the tools, then the messages.

    Attributes:
        tools: as JSON.
        messages: all of them, in order.
        tokens: what each message counts.
        tools_tokens: what the tools count.
    """

    tools: str
    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    tools_tokens: int = 0

    @property
    def total(self) -> int:
        """Tokens of the whole request."""
        return self.tools_tokens + sum(self.tokens)

    def shared(self, before: Sent, count: Callable[[str], int]) -> int:
        """Tokens with which both requests begin."""
        if self.tools != before.tools:
            return 0
        shared = self.tools_tokens
        for now, then, tokens in zip(self.messages, before.messages, self.tokens, strict=False):
            if not _same(now, then):
                one, other = text_of(now), text_of(then)
                alike = now.get("role") == then.get("role")
                return shared + (count(one[: _common(one, other)]) if alike else 0)
            shared += tokens
        return shared


def _same(one: object, other: object) -> bool:
    """Whether both would be written alike: types and the order of fields count; nothing is written."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        fields, others = cast("Message", one), cast("Message", other)
        return len(fields) == len(others) and all(
            key == name and _same(value, told)
            for (key, value), (name, told) in zip(fields.items(), others.items(), strict=True)
        )
    if isinstance(one, list):
        items, told = cast("list[object]", one), cast("list[object]", other)
        return len(items) == len(told) and all(map(_same, items, told))
    return one == other


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    start, most = 0, min(len(one), len(other))
    while start < most and one[start : start + _STEP] == other[start : start + _STEP]:
        start += _STEP
    low, high = min(start, most), min(start + _STEP, most)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


_STEP: Final = 1 << 16
