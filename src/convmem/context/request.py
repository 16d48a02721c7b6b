"""Defines a composed request (`Composed`) and the block of recalled turns in it (`Block`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.types import Tokens

if TYPE_CHECKING:
    from convmem.types import Message, Recalled

__all__ = ["Block", "Composed"]


@dataclass(frozen=True, slots=True)
class Block:
    """The text in front of a round's user turn: recalled turns and pins, the same in all calls of the round.

    Attributes:
        text: the text as it is sent; empty when nothing is added.
        recalled: the turns that the text quotes.
        tokens: tokens of the text and of the empty line after it.
        redaction: the owner's number of forgettings when the block was made, which must not have changed when
            it is used again; None when recall was late or failed, and nothing is quoted.
        pins: how many of the tokens the pins take.
        left_out: how many pins did not fit.
    """

    text: str
    recalled: tuple[Recalled, ...]
    tokens: int
    redaction: int | None
    pins: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Composed:
    """A composed request, and the account of it for the receipt.

    Attributes:
        messages: all messages to send; None when they are just what the caller sent.
        restored: how many messages memory put back.
        dropped: how many of the caller's messages are left out.
        tokens: tokens of the request, by part.
        recalled: the turns that are quoted.
        cut: whether the window was cut in this call.
        cut_rounds: how many rounds left the window then.
        media_left: how many pictures and files are replaced by a mark.
        prefix_tokens: tokens of the beginning shared with the request before; None where that is not known.
        notes: notes for the receipt.
        told: those of the notes of which an event has told already.
        ms: milliseconds that each step took, by its name.
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
        """The fields that go into the receipt under the same name."""
        names = ("restored", "dropped", "tokens", "recalled", "cut", "media_left", "prefix_tokens")
        return {name: getattr(self, name) for name in names}
