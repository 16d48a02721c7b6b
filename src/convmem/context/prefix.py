"""Counts how much of a request a provider can take from its cache: the beginning it shares with the last one.

`context.compose` remembers each request as a `Sent` and puts the count into the receipt (`prefix_tokens`);
pure.
"""

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
    """One request in the order in which providers cache it: the tools first, then the messages.

    Attributes:
        tools: the tools as JSON text.
        messages: all messages, in order.
        tokens: the tokens of each message.
        tools_tokens: the tokens of the tools.
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
        """Tokens of the beginning that both requests have in common.

        Args:
            before: the request sent before.
            count: counts tokens of a text.
        """
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
    """Whether two JSON values would be written as the same bytes: types and the order of fields count."""
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
    """How many characters two texts have in common at their beginning."""
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
"""Characters compared in one step, before the place where two texts differ is looked for by halves: comparing
65,536 characters in C is quicker than a loop over them in Python."""
