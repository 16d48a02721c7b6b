"""The window: what the caller sent, and the earlier rounds memory puts back before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.context.limits import UNKNOWN_MODEL_TOKENS, context_limit
from convmem.context.tokens import estimate_messages
from convmem.session.rounds import legal, rounds
from convmem.types import Tokens
from convmem.wire.chat import sendable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.types import Message
    from convmem.wire.chat import ChatRequest

__all__ = ["Window", "room_for_history", "window"]

_REPLY_TOKENS = 4_096
_SURELY = 0.75
"""Estimates run high: the caller's messages are cut only when this share of theirs is still too much."""


@dataclass(frozen=True, slots=True)
class Window:
    """The messages of a request.

    Attributes:
        messages: all of them, or None when they are just what the caller sent.
        restored: how many memory put back.
        dropped: how many of the caller's were left out.
        tokens: estimated, by section.
    """

    messages: list[Message] | None
    restored: int
    dropped: int
    tokens: Tokens


def room_for_history(request: ChatRequest) -> int:
    """Tokens left for earlier rounds once the caller's messages and the reply have their place."""
    limit = context_limit(request.model) or UNKNOWN_MODEL_TOKENS
    own = estimate_messages(request.settings) + estimate_messages(request.turns)
    return limit - own - (request.max_output or _REPLY_TOKENS)


def window(request: ChatRequest, earlier: Sequence[Message]) -> Window:
    """Choose what is sent: the caller's messages, and before them the `earlier` ones that fit.

    Whole rounds from the newest. When the caller's own are more than the model takes, their oldest rounds
    are left out.

    Rounds with a tool call that was never answered stay out: no provider takes them. The newest round goes
    out whole whatever its size, and nothing is left out for a model whose limit is not known.
    """
    own = rounds(request.turns)
    room = room_for_history(request)
    kept = own
    if room < 0 and _too_long(request):
        kept, room = _newest(own[:-1], room + estimate_messages(m for r in own[:-1] for m in r))
        kept = [*kept, *own[-1:]]
    back: list[Message] = []
    if len(kept) == len(own):
        # The caller's first messages may continue the last of the earlier rounds: those two are one.
        *whole, last = rounds(earlier) or [[]]
        open_round = bool(request.turns) and request.turns[0].get("role") != "user"
        fitting, _ = _newest(
            [*(r for r in whole if legal(r)), *([last] if open_round or legal(last) else [])], room
        )
        back = [sendable(message) for r in fitting for message in r]
    dropped = sum(map(len, own)) - sum(map(len, kept))
    sent = [*back, *(message for r in kept for message in r)]
    return Window(
        messages=[*request.settings, *sent] if back or dropped else None,
        restored=len(back),
        dropped=dropped,
        tokens=Tokens(
            system=estimate_messages(request.settings),
            window=estimate_messages(back) + estimate_messages(m for r in kept[:-1] for m in r),
            new=estimate_messages(kept[-1]) if kept else 0,
        ),
    )


def _too_long(request: ChatRequest) -> bool:
    limit = context_limit(request.model)
    return limit is not None and estimate_messages([*request.settings, *request.turns]) * _SURELY > limit


def _newest(candidates: Sequence[list[Message]], room: int) -> tuple[list[list[Message]], int]:
    """The newest rounds that fit, in order, and the room they leave."""
    kept: list[list[Message]] = []
    for candidate in reversed(candidates):
        cost = estimate_messages(candidate)
        if not candidate or cost > room:
            break
        kept.insert(0, candidate)
        room -= cost
    return kept, room
