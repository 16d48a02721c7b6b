"""How much of a request a provider can take from its cache: what it shares with the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.wire.message import dumps, text_of

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
            if now is not then and dumps(now) != dumps(then):
                one, other = text_of(now), text_of(then)
                alike = now.get("role") == then.get("role")
                return shared + (count(one[: _common(one, other)]) if alike else 0)
            shared += tokens
        return shared


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
