"""Finds the dialect of a call in `dialects.toml`, by host, model and date; else it is the safe one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast, get_args

from convmem.errors import InputError
from convmem.providers.dialect import Dialect
from convmem.providers.profile import (
    AfterTool,
    AssistantParts,
    Calls,
    Content,
    Developer,
    First,
    LateSystem,
    Media,
    Names,
    Reasoning,
    ReasoningAs,
    Refusals,
    SameRole,
)
from convmem.providers.rules import MATCH_KEYS, Match, check_keys, listed, match_of, read, rows, table, toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = ["Dialects", "resolve_dialects"]

_SAFE = "safe"
"""The dialect of what fits no row."""


@dataclass(frozen=True, slots=True)
class Dialects:
    """Which dialect a call is in.

    Attributes:
        by_name: the dialects.
        matches: which calls are in one, by name; the first that fits counts.
    """

    by_name: Mapping[str, Dialect]
    matches: tuple[tuple[Match, str], ...]

    def of(self, host: str | None, model: str | None, at: datetime) -> Dialect:
        """The dialect of a call.

        Args:
            host: of the base URL.
            model: the model's name, with or without a vendor in front of a slash.
            at: when the call is made, aware.
        """
        found = (name for match, name in self.matches if match.fits(host, model, at))
        return self.by_name[next(found, _SAFE)]

    def extended(self, text: str, *, source: str) -> Dialects:
        """These, after the rows of a table in TOML.

        Raises:
            InputError: it is no such table.
        """
        given = toml(text, source)
        check_keys(given, {"dialect", "match"}, source)
        named = table(given.get("dialect", {}), f"{source}: dialect")
        by_name = dict(self.by_name)
        for name, row in named.items():  # in order: one may be like another before it
            by_name[name] = _dialect(name, row, by_name, f"{source}: [dialect.{name}]")
        matches: list[tuple[Match, str]] = []
        for row, place in rows(given.get("match", []), f"{source}: match"):
            check_keys(row, {*MATCH_KEYS, "dialect"}, place)
            if row.get("dialect") not in by_name:
                raise InputError(
                    f"{place}: dialect is one of {listed([*by_name])}, not {row.get('dialect')!r}"
                )
            matches.append((match_of(row, place), row["dialect"]))
        return Dialects(by_name, (*matches, *self.matches))


# What each key may be: one of these values, a text, a pattern, or a list of names.
_CHOICES: Mapping[str, tuple[object, ...]] = {
    "reasoning": get_args(Reasoning),
    "reasoning_as": get_args(ReasoningAs),
    "content": get_args(Content),
    "same_role": get_args(SameRole),
    "first": get_args(First),
    "after_tool": get_args(AfterTool),
    "late_system": get_args(LateSystem),
    "developer": get_args(Developer),
    "assistant_parts": get_args(AssistantParts),
    "media": get_args(Media),
    "names": get_args(Names),
    "calls": get_args(Calls),
    "calls_need_tools": (False, True),
    "refusals": get_args(Refusals),
    "signatures": (False, True),
    "json_word": (False, True),
}
_TEXTS = frozenset({"reasoning_filler", "details_format", "unsigned"})
_PATTERNS = frozenset({"call_ids"})
_LISTS = frozenset({"own_fields", "own_parts"})
_LIKE = "like"


def _dialect(name: str, given: object, known: Mapping[str, Dialect], where: str) -> Dialect:
    row = table(given, where)
    check_keys(row, {*_CHOICES, *_TEXTS, *_PATTERNS, *_LISTS, _LIKE}, where)
    like: object = row.get(_LIKE)
    if like is not None and (not isinstance(like, str) or like not in known):
        raise InputError(f"{where}: like is one of {listed([*known])}, not {like!r}")
    values = {key: _value(key, value, where) for key, value in row.items() if key != _LIKE}
    return replace(known[like], **values, name=name) if like is not None else Dialect(name=name, **values)


def _value(key: str, value: object, where: str) -> Any:  # noqa: ANN401 (of each key its own)
    """A value of a dialect's row, checked."""
    if key in _CHOICES:
        if value not in _CHOICES[key] or type(value) is not type(_CHOICES[key][0]):
            raise InputError(f"{where}: {key} is one of {listed(_CHOICES[key])}, not {value!r}")
    elif key in _LISTS:
        names = cast("list[object]", value) if isinstance(value, list) else [None]
        if not all(isinstance(each, str) for each in names):
            raise InputError(f"{where}: {key} is a list of names in quotes, not {value!r}")
        return tuple(names)
    elif not isinstance(value, str):
        raise InputError(f"{where}: {key} is a text in quotes, not {value!r}")
    elif key in _PATTERNS:
        try:
            re.compile(value)
        except re.error as error:
            raise InputError(f"{where}: {key} is no regular expression: {error}") from error
    return value


@cache
def _shipped() -> Dialects:
    text = resources.files("convmem.providers").joinpath("dialects.toml").read_text(encoding="utf-8")
    return Dialects({}, ()).extended(text, source="dialects.toml")


def resolve_dialects(path: str | Path | None) -> Dialects:
    """The dialects that ship, after the rows of a file of the user's.

    Raises:
        InputError: no such file, or it holds no such table.
    """
    shipped = _shipped()
    return shipped if path is None else shipped.extended(read(path, "dialects"), source=str(path))
