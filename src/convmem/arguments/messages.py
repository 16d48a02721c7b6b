"""Checks of the messages and times that callers hand to the direct API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from convmem.errors import InputError
from convmem.providers.roles import role_of
from convmem.wire.message import ITEMS, encodable, plain

if TYPE_CHECKING:
    from convmem.types import Message

__all__ = ["checked_messages", "checked_times", "with_content"]


_CONTENT = frozenset({"user", "system", "developer", "tool"})
"""Roles whose messages have content in every chat API; a reply may have tool calls, or a refusal, instead."""


def checked_messages(messages: object) -> list[Message]:
    """Return the messages as plain JSON.

    Raises:
        InputError: they are no list of messages with roles; the text names the place.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        raise InputError("messages is a list of messages, each with `role` and `content`")
    checked: list[Message] = []
    for i, item in enumerate(cast("Iterable[object]", messages)):
        message = plain(item, where=f"messages[{i}]")
        if not isinstance(message, dict):
            raise InputError(
                f"messages[{i}] is {type(item).__name__}, not a mapping with `role` and `content`"
            )
        fields = cast("Message", message)
        role = fields.get("role")
        if not isinstance(role, str) or not role or not encodable(role):
            raise InputError(f'messages[{i}] has no `role`; give "user" or "assistant"')
        checked.append(fields)
    if not checked:
        raise InputError("messages is empty; there is nothing to record")
    return checked


def with_content(given: list[Message]) -> list[Message]:
    """Return the messages with roles of a chat API, for which other programs' names (`"human"`) may stand.

    Raises:
        InputError: a message lacks the content that its role must have, or has an unknown role; the text
            names the place.
    """
    messages = [
        {**message, "role": role_of(message["role"], where=f"messages[{i}]")}
        for i, message in enumerate(given)
    ]
    for i, message in enumerate(messages):
        role = message["role"]
        if role in _CONTENT and message.get("content") is None and ITEMS not in message:
            raise InputError(f"messages[{i}] has no `content`; a message of role {role!r} says something")
        if role == "assistant" and not message.keys() - {"role", "name"}:
            raise InputError(f"messages[{i}] has neither `content` nor `tool_calls`; a reply has one of them")
    return messages


def checked_times(at: object, n: int, now: datetime) -> list[datetime]:
    """Return one aware datetime per message: `at` for all of them, one each, or now.

    Raises:
        InputError: a datetime has no zone, there are more or fewer than messages, or it is anything else.
    """
    if at is None:
        return [now] * n
    given = [at] * n if isinstance(at, datetime) else at
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise InputError("at is an aware datetime, or one per message")
    times = cast("Sequence[object]", given)
    if len(times) != n:
        raise InputError(f"at has {len(times)} times for {n} messages; give one per message, or one for all")
    for i, time in enumerate(times):
        if not isinstance(time, datetime):
            raise InputError(f"at[{i}] is {type(time).__name__}, not a datetime")
        if time.utcoffset() is None:
            raise InputError(f"at[{i}] has no time zone; say which, e.g. .replace(tzinfo=UTC)")
    return cast("list[datetime]", list(times))
