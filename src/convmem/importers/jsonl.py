"""OpenAI-style JSON Lines: one message per line, or one conversation per line, also mixed.

```json
{"role": "user", "content": "Hi", "session": "monday", "at": "2026-03-02T09:00:00Z"}
{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
```
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from convmem.errors import InputError
from convmem.importers.message import Imported, moment
from convmem.providers.roles import role_of
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, tzinfo

__all__ = ["parse", "rows"]

_SESSION = ("session", "session_id", "conversation_id", "conversation")
_TIME = ("at", "timestamp", "created_at", "create_time")


def parse(text: str, *, session: str = "imported", tz: tzinfo | None = None) -> list[Imported]:
    """Read JSON Lines; blank lines are skipped.

    Args:
        text: the lines.
        session: the session of messages that name none; a conversation that names none gets the number of
            its line behind it.
        tz: the zone of times that name none; this machine's when left out.

    Raises:
        InputError: a line is something else; the text names it, and nothing is returned.
    """
    found: list[Imported] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            value: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where} is not JSON: {error}") from error
        found += rows(value, where, session=session, number=number, tz=tz)
    return found


def rows(value: object, where: str, *, session: str, number: int, tz: tzinfo | None) -> Iterator[Imported]:
    """The messages of one JSON object, a message or a conversation.

    Args:
        value: the object.
        where: its place, for errors.
        session: as `parse` takes it.
        number: which line or item it is.
        tz: as `parse` takes it.

    Raises:
        InputError: it is something else.
    """
    if not is_object(value):
        raise InputError(f'{where} is no JSON object; give {{"role": "user", "content": "…"}}')
    if "messages" in value:
        yield from _conversation(value, where, f"{session}-{number}", tz)
    else:
        yield _message(value, where, session, None, tz)


def _conversation(value: dict[str, Any], where: str, session: str, tz: tzinfo | None) -> Iterator[Imported]:
    messages = value["messages"]
    if not is_array(messages):
        raise InputError(f"{where}: messages is no array")
    name = _name(value, where) or _name({"session": value.get("id")}, where) or session
    began = _time(value, where, tz)
    for i, message in enumerate(messages):
        place = f"{where}, messages[{i}]"
        if not is_object(message):
            raise InputError(f"{place} is no JSON object with role and content")
        yield _message(message, place, name, began, tz)


def _message(
    value: dict[str, Any], where: str, session: str, began: datetime | None, tz: tzinfo | None
) -> Imported:
    role = role_of(value.get("role"), where=where)
    content = value.get("content")
    if not (content is None or isinstance(content, str) or is_array(content)):
        raise InputError(f"{where}: content is {type(content).__name__}, not a string or an array of parts")
    if content is None and "content" not in value and "tool_calls" not in value:
        raise InputError(f"{where} has no content")
    message = {key: item for key, item in value.items() if key not in {*_SESSION, *_TIME}}
    message["role"] = role
    return Imported(_name(value, where) or session, _time(value, where, tz) or began, message)


def _name(value: dict[str, Any], where: str) -> str | None:
    """The session named; None when none is."""
    for key in _SESSION:
        name = value.get(key)
        if isinstance(name, int) and not isinstance(name, bool):
            return str(name)
        if isinstance(name, str) and name.strip():
            return name
        if name is not None:
            raise InputError(f"{where}: {key} is {name!r}, not a session's name")
    return None


def _time(value: dict[str, Any], where: str, tz: tzinfo | None) -> datetime | None:
    """When it was said; None when nothing says so."""
    for key in _TIME:
        if value.get(key) is not None:
            return moment(value[key], where=f"{where}: {key}", tz=tz)
    return None
