"""A request as it goes out, and the block of memory in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.types import Tokens

if TYPE_CHECKING:
    from convmem.types import Message, Recalled

__all__ = ["Block", "Composed"]


@dataclass(frozen=True, slots=True)
class Block:
    """What was put in front of a round's user turn: the same in all calls of the round.

    Attributes:
        text: as it is sent; empty when there is nothing.
        recalled: the turns it quotes.
        tokens: what it costs.
        pins: what of that its pins cost.
        left_out: how many pins are left out of it.
        redaction: the owner's when it was made; None when recall was late or failed, and nothing is quoted.
    """

    text: str
    recalled: tuple[Recalled, ...]
    tokens: int
    redaction: int | None
    pins: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Composed:
    """A request, and the account of it.

    Attributes:
        messages: all messages to send, or None when they are just what the caller sent.
        cut_rounds: how many rounds left the window, when it was cut.
        media_left: how many pictures and files stand as a mark.
        notes: what a person should know.
        told: those of the notes of which there was an event already.
    """

    messages: list[Message] | None = None
    restored: int = 0
    dropped: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    recalled: tuple[Recalled, ...] = ()
    cut: bool = False
    cut_rounds: int = 0
    media_left: int = 0
    prefix_tokens: int | None = None
    notes: list[str] = field(default_factory=list[str])
    told: frozenset[str] = frozenset()
    ms: dict[str, float] = field(default_factory=dict[str, float])

    def receipt_fields(self) -> dict[str, Any]:
        """What of it goes into the receipt."""
        names = ("restored", "dropped", "tokens", "recalled", "cut", "media_left", "prefix_tokens")
        return {name: getattr(self, name) for name in names}
