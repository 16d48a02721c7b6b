"""A message on its way into a memory, and what the readers have in common."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from convmem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from convmem.types import Message

__all__ = ["Imported", "by_session", "loaded", "moment", "named", "oldest_first"]

_MILLISECONDS = 1e11
"""Numbers above are milliseconds since 1970: as seconds they would be the year 5138."""


class Imported(NamedTuple):
    """One message of an imported conversation, with its session and time.

    Attributes:
        session: the session it belongs to.
        at: when it was said, where that is known.
        message: the message.
        user: whose memory it was, where the file says so.
    """

    session: str
    at: datetime | None
    message: Message
    user: str | None = None


def by_session(rows: Iterable[Imported]) -> dict[str, tuple[list[Message], list[datetime] | None]]:
    """Messages and times by session, as `Memory.record` takes them.

    A message without a time has that of the one before it, the first ones that of the first that has one;
    a session without any has None.
    """
    messages: dict[str, list[Message]] = {}
    times: dict[str, list[datetime | None]] = {}
    for row in rows:
        messages.setdefault(row.session, []).append(row.message)
        times.setdefault(row.session, []).append(row.at)
    return {name: (messages[name], _filled(times[name])) for name in messages}


def _filled(times: list[datetime | None]) -> list[datetime] | None:
    last = next((at for at in times if at is not None), None)
    if last is None:
        return None
    filled: list[datetime] = []
    for at in times:
        last = at if at is not None else last
        filled.append(last)
    return filled


def loaded(text: str) -> object:
    """A JSON document.

    Raises:
        InputError: it is none.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not JSON: {error}") from error
    return value


def named(wanted: object, i: int, taken: set[str]) -> str:
    """A session's name that no other conversation of an export has; it is taken then."""
    name = str(wanted)
    while name in taken:
        name = f"{name} #{i + 1}"
    taken.add(name)
    return name


def oldest_first(conversations: list[tuple[float, list[Imported]]]) -> list[Imported]:
    """The messages of conversations, each given with when it began."""
    conversations.sort(key=lambda found: found[0])
    return [message for _, messages in conversations for message in messages]


def moment(value: object, *, where: str, tz: tzinfo | None = None) -> datetime | None:
    """A time as exports write it: ISO 8601, or seconds or milliseconds since 1970; None for null.

    Args:
        value: what stands there.
        where: its place, for the error.
        tz: the zone of a time that names none; this machine's when left out.

    Raises:
        InputError: the value is no time.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            if found.tzinfo is not None:
                return found
            return found.replace(tzinfo=tz) if tz is not None else found.astimezone()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value / 1_000 if abs(value) > _MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"{where} is no time: {value!r} ({error})") from error
    raise InputError(f"{where} is no time: {value!r}; give ISO 8601, or seconds since 1970")
