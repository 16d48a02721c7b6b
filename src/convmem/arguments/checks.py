"""Checks of the arguments that callers hand in: each returns the value, or raises before anything is done."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from inspect import iscoroutinefunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, cast

from convmem.errors import InputError
from convmem.hooks import Guarded

if TYPE_CHECKING:
    from convmem.compress.protocol import Compressor
    from convmem.hooks import Hook

__all__ = [
    "checked_choice",
    "checked_clock",
    "checked_compressor",
    "checked_count",
    "checked_file",
    "checked_flag",
    "checked_hooks",
    "checked_ids",
    "checked_method",
    "checked_milliseconds",
    "checked_model",
    "checked_pin",
    "checked_seconds",
    "checked_text",
    "checked_time",
    "checked_timeout",
]

_LONGEST_PIN = 2_000
"""Bytes of UTF-8 that a pin may have: some 500 tokens, which every request pays for. Bytes, because tokens
follow them more closely than characters in all languages."""
_TURN_ID = re.compile(r"t[0-9]+")
_PIN_ID = re.compile(r"p[0-9]+")
_LONGEST_S = 7 * 24 * 3_600
"""Seconds in a week, the longest wait: a thread's wait overflows at some 292 years, and a number above a week
is most likely in another unit."""


def checked_text(name: str, text: object, why: str) -> str:
    """Return a text that has more than white space.

    Args:
        name: the name of the argument.
        text: the value of the argument.
        why: the end of the error text, which says what to give.

    Raises:
        InputError: it is no string, or has nothing but white space.
    """
    if not isinstance(text, str):
        raise InputError(f"{name} is a string, not {type(text).__name__}; {why}")
    if not text.strip():
        raise InputError(f"{name} is empty; {why}")
    return text


def checked_pin(text: object) -> str:
    """Return a text that is short enough to go with every request.

    Raises:
        InputError: it is no string, has nothing but white space, or is too long.
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
    """Return a whole number; `of` says what it counts, for the error.

    Raises:
        InputError: it is anything else, or less than `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} is a number of {of}, not {type(value).__name__}")
    if value < least:
        raise InputError(f"{name} is a number of {of}, {least} or more")
    return value


def checked_time(name: str, value: object) -> datetime:
    """Return a datetime that has a time zone.

    Raises:
        InputError: it is anything else.
    """
    if not isinstance(value, datetime):
        raise InputError(f"{name} is an aware datetime, not {_kind(value)}")
    if value.utcoffset() is None:
        raise InputError(f"{name} has no time zone; say which, e.g. .replace(tzinfo=UTC)")
    return value


def checked_choice(name: str, value: object, choices: Collection[str]) -> str:
    """Return one of the words allowed.

    Raises:
        InputError: it is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        listed = " or ".join(f'"{choice}"' for choice in choices)
        raise InputError(f"{name} is {listed}, not {_shown(value)}")
    return value


def checked_flag(name: str, value: object) -> bool:
    """Return True or False; the text "False" is refused, as Python would take it for true.

    Raises:
        InputError: it is anything but True and False.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} is True or False, not {_shown(value)}")
    return value


def checked_file(name: str, path: object) -> Path:
    """Return the path of a file, with the user's home for a leading `~`; the file need not exist.

    Raises:
        InputError: it is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{name} is {_kind(path)}; give the path of a file")
    given = os.fspath(path)  # pyright: ignore[reportUnknownVariableType] (a path of either kind)
    if not isinstance(given, str):
        raise InputError(f"{name} is a path in bytes; give it as a str: os.fsdecode(path)")
    if not given or "\0" in given:
        raise InputError(f"{name} is {given!r:.60}, which names no file")
    return Path(os.path.expanduser(given))  # noqa: PTH111 (Path's own fails for a user that is not there)


def checked_seconds(name: str, value: object) -> float | None:
    """Return the most seconds to wait; None to wait without end.

    Raises:
        InputError: it is no number from 0 to a week.
    """
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} is a number of seconds, or None to wait without end; not {_kind(value)}")
    if not 0 <= value <= _LONGEST_S:
        raise InputError(f"{name} is a number of seconds from 0 to a week, or None to wait without end")
    return float(value)


def checked_clock(clock: object) -> Callable[[], datetime]:
    """A function that tells the time; it is asked once.

    Raises:
        InputError: it cannot be called, or what it tells is no datetime with a zone.
    """
    give = "give a function without arguments that returns an aware datetime, such as"
    example = "lambda: datetime.now(UTC)"
    if not callable(clock) or isinstance(clock, type) or _is_async(clock):
        raise InputError(f"clock is {_kind(clock)}; {give} {example}")
    try:
        told: object = clock()
        aware = isinstance(told, datetime) and told.utcoffset() is not None
    except Exception as error:
        raise InputError(f"clock failed ({type(error).__name__}: {error}); {give} {example}") from error
    if not aware:
        what = "a datetime without a zone" if isinstance(told, datetime) else _kind(told)
        raise InputError(f"clock tells {what}; {give} {example}")
    return cast("Callable[[], datetime]", clock)


def checked_compressor(compressor: object) -> Compressor:
    """Return an object that writes summaries.

    Raises:
        InputError: it has no method `compress` that takes a request.
    """
    give = "give an object with a method compress(request) -> str, or leave it out for extracted sentences"
    checked_method("compressor", compressor, "compress", arguments=1, give=give)
    return cast("Compressor", compressor)


def checked_method(name: str, value: object, method: str, *, arguments: int, give: str) -> None:
    """Check that an object has a method that can be called with so many arguments.

    Args:
        name: the name of the caller's argument.
        value: the value of that argument.
        method: the name of the method.
        arguments: how many arguments the method takes, by position.
        give: the end of the error text, which says what to give instead.

    Raises:
        InputError: the object has no such method or is a class, or the method is async or takes another
            number of arguments.
    """
    if isinstance(value, type):
        raise InputError(f"{name} is the class {value.__name__}; pass an instance of it")
    found = getattr(value, method, None)
    if not callable(found):
        raise InputError(f"{name} is {_kind(value)}, which has no method {method}; {give}")
    if _is_async(found):
        raise InputError(
            f"{name} is {_kind(value)}, whose {method} is async and would not be awaited; {give}"
        )
    if (wrong := _cannot_take(found, arguments)) is not None:
        raise InputError(
            f"{name} is {_kind(value)}, whose {method} cannot be called as it is ({wrong}); {give}"
        )


def _cannot_take(function: Callable[..., object], arguments: int) -> TypeError | None:
    """Return why a function cannot be called with so many arguments by position; None when it can."""
    try:
        signature(function).bind(*[None] * arguments)
    except TypeError as error:
        return error
    except ValueError:  # written in C, and without a signature
        return None
    return None


def _shown(value: object) -> str:
    """Show a text as it was given and any other value by its type: it may be endless, or fail when shown."""
    return reprlib.repr(value) if isinstance(value, str) else _kind(value)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _is_async(function: object) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 (not whether it is there)


def checked_milliseconds(name: str, value: object) -> float:
    """Return a time to wait, in milliseconds.

    Raises:
        InputError: it is no number from 1 to a week.
    """
    ms = _checked_time(name, value, "milliseconds", _LONGEST_S * 1_000)
    if ms < 1:  # nothing is ready within a fraction of a millisecond, so no call would recall anything
        raise InputError(
            f"{name} is {value}, which reads like seconds; {name}={ms * 1_000:g} is as many milliseconds"
        )
    return ms


def checked_timeout(name: str, value: object) -> float:
    """Return a time to wait, in seconds.

    Raises:
        InputError: it is no number above 0, or more than a week.
    """
    return _checked_time(name, value, "seconds", _LONGEST_S)


def _checked_time(name: str, value: object, unit: str, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} is a number of {unit}, not {type(value).__name__}")
    if not 0 < value <= most:
        raise InputError(f"{name} is a number of {unit} above 0, and a week at most")
    return float(value)


def checked_hooks(hooks: object) -> tuple[Guarded, ...]:
    """Return the hooks, each guarded so that its errors break no call.

    Raises:
        InputError: it is no list, or has something in it that cannot be called with an event.
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
        if _is_async(hook):
            raise InputError(f"hooks[{i}] is async; a hook is called where the event happens, never awaited")
        if (wrong := _cannot_take(hook, 1)) is not None:
            raise InputError(f"hooks[{i}] cannot be called with an event: {wrong}")
    return tuple(Guarded(cast("Hook", hook)) for hook in listed)


def checked_model(model: object) -> str | None:
    """Return the name of a model, whether convmem knows the model or not.

    Raises:
        InputError: it is no string, or one that cannot be stored.
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
    """Return ids of turns such as `"t7"`; whether there are such turns is not looked at.

    Raises:
        InputError: it is no list of strings, or has ids of something else.
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
