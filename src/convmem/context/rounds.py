"""Splits messages into rounds (a user turn and all up to the next), and tells whether they are legal.

The round is the unit of the window and of cutting; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.wire.message import calls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.types import Message

__all__ = ["legal", "rounds"]


def rounds(messages: Sequence[Message]) -> list[list[Message]]:
    """Split messages at each user message; messages before the first one make a round of their own.

    Tool calls and their results always stand between two user messages, so no split ever separates them.
    """
    split: list[list[Message]] = []
    for message in messages:
        if not split or message.get("role") == "user":
            split.append([])
        split[-1].append(message)
    return split


def legal(messages: Sequence[Message]) -> bool:
    """Whether every tool call is answered and every tool result was called for, in order.

    A round that was broken off can hold calls without results, which every provider refuses.
    """
    waiting: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in waiting:
                return False
            waiting.discard(call_id)
        elif waiting:
            return False
        else:
            waiting = set(calls_of(message))
    return not waiting
