"""What callers hand to the direct API, checked at the door: a clear error before anything is done."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, cast

from convmem.errors import InputError
from convmem.hooks import Guarded
from convmem.scope import make_scope

if TYPE_CHECKING:
    from convmem.hooks import Hook

__all__ = [
    "checked_count",
    "checked_hooks",
    "checked_ids",
    "checked_milliseconds",
    "checked_model",
    "checked_pin",
    "checked_seconds",
    "checked_text",
    "checked_time",
    "checked_user",
]

_LONGEST_PIN = 2_000
"""In bytes of UTF-8, as tokens go by those rather than by characters."""
_TURN_ID = re.compile(r"t[0-9]+")
_PIN_ID = re.compile(r"p[0-9]+")
_LONGEST_S = 7 * 24 * 3_600


def checked_text(name: str, text: object, why: str) -> str:
    """A text that says something.

    Args:
        name: the argument.
        text: what was given for it.
        why: what to give, for the error.

    Raises:
        InputError: no string, or nothing but white space.
    """
    if not isinstance(text, str):
        raise InputError(f"{name} is a string, not {type(text).__name__}; {why}")
    if not text.strip():
        raise InputError(f"{name} is empty; {why}")
    return text


def checked_pin(text: object) -> str:
    """A text short enough to go with every request.

    Raises:
        InputError: no string, nothing but white space, or too long.
    """
    text = checked_text("text", text, "say what to keep in context")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > _LONGEST_PIN:
        raise InputError(
            f"text has {size:,} bytes; a pin goes with every request and has {_LONGEST_PIN:,} at most"
            " (some 660 Chinese characters). Pin the rule alone, and record() the rest: it is recalled"
            " where it fits"
        )
    return text


def checked_count(name: str, value: object, *, least: int, of: str) -> int:
    """A whole number.

    Raises:
        InputError: anything else, or less than `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} is a number of {of}, not {type(value).__name__}")
    if value < least:
        raise InputError(f"{name} is a number of {of}, {least} or more")
    return value


def checked_time(name: str, value: object) -> datetime:
    """A time with its zone.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, datetime):
        raise InputError(f"{name} is an aware datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InputError(f"{name} has no time zone; say which, e.g. .replace(tzinfo=UTC)")
    return value


def checked_milliseconds(name: str, value: object) -> float:
    """A time to wait, in milliseconds.

    Raises:
        InputError: no number above 0, or more than a thread can wait.
    """
    return _checked_time(name, value, "milliseconds", _LONGEST_S * 1_000)


def checked_seconds(name: str, value: object) -> float:
    """A time to wait, in seconds.

    Raises:
        InputError: no number above 0, or more than a thread can wait.
    """
    return _checked_time(name, value, "seconds", _LONGEST_S)


def _checked_time(name: str, value: object, unit: str, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} is a number of {unit}, not {type(value).__name__}")
    if not 0 < value <= most:
        raise InputError(f"{name} is a number of {unit} above 0, and a week at most")
    return float(value)


def checked_hooks(hooks: object) -> tuple[Guarded, ...]:
    """Hooks that break nothing.

    Raises:
        InputError: no list, or something in it that cannot be called with an event.
    """
    kind = type(hooks)
    if issubclass(kind, str | bytes | Mapping) or not issubclass(kind, Iterable):
        raise InputError(f"hooks is a list of functions that take an event, not {kind.__name__}: hooks=[…]")
    listed = list(cast("Iterable[object]", hooks))
    for i, hook in enumerate(listed):
        if isinstance(hook, type):
            raise InputError(f"hooks[{i}] is the class {hook.__name__}; pass an instance of it")
        if not callable(hook):
            raise InputError(f"hooks[{i}] is {type(hook).__name__}, not a function that takes an event")
        if iscoroutinefunction(hook) or iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004 (not whether it is there)
            raise InputError(f"hooks[{i}] is async; a hook is called where the event happens, never awaited")
    return tuple(Guarded(cast("Hook", hook)) for hook in listed)


def checked_model(model: object) -> str | None:
    """The name of a model, known or not.

    Raises:
        InputError: no string, or one that cannot be stored.
    """
    if model is None:
        return None
    if not isinstance(model, str):
        raise InputError(f"model is a string, not {type(model).__name__}")
    try:
        model.encode()
    except UnicodeEncodeError as error:
        raise InputError("model has a lone surrogate and cannot be stored as text") from error
    return model


def checked_ids(ids: object) -> list[str]:
    """Ids of turns; of those whose turn is not there, nothing happens.

    Raises:
        InputError: no list of strings, or ids of something else.
    """
    kind = type(ids)
    if issubclass(kind, str | bytes | Mapping) or not issubclass(kind, Iterable):
        raise InputError(f"turn_ids is a list of turn ids, not {kind.__name__}")
    listed = list(cast("Iterable[object]", ids))
    for i, id_ in enumerate(listed):
        if not isinstance(id_, str):
            raise InputError(f"turn_ids[{i}] is {type(id_).__name__}, not a turn id such as 't7'")
        if _PIN_ID.fullmatch(id_):
            raise InputError(f"turn_ids[{i}] is the id of a pin; memory.unpin({id_!r}, user=…) takes it away")
        if not _TURN_ID.fullmatch(id_):
            raise InputError(f"turn_ids[{i}] is {reprlib.repr(id_)}, not a turn id such as 't7'")
    return cast("list[str]", listed)


def checked_user(user: object) -> None:
    """A user, where a session without one has nothing of the kind.

    Raises:
        InputError: None, or no name.
    """
    if user is None:
        raise InputError("user is None; pins belong to a user, say whose")
    make_scope(user=cast("str", user))
