"""How much of a request a provider can take from its cache: what it shares with the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.wire.message import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convmem.types import Message

__all__ = ["Sent", "canonical"]


def canonical(messages: Sequence[Message]) -> list[str]:
    """Messages as providers see them for their cache: one JSON each, in order."""
    return [dumps(message) for message in messages]


@dataclass(frozen=True, slots=True)
class Sent:
    """The messages of one request, as JSON."""

    messages: tuple[str, ...]

    @staticmethod
    def of(messages: Sequence[Message]) -> Sent:
        """Remember what is sent."""
        return Sent(tuple(canonical(messages)))

    def shared(self, before: Sent, count: Callable[[str], int]) -> int:
        """Tokens with which both requests begin."""
        tokens = 0
        for now, then in zip(self.messages, before.messages, strict=False):
            if now != then:
                return tokens + count(now[: _common(now, then)])
            tokens += count(now)
        return tokens


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
