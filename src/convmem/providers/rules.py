"""Tables about calls by host, model and date (dialects, prices), which users extend with their own."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from convmem.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

__all__ = ["MATCH_KEYS", "Match", "check_keys", "listed", "match_of", "read", "rows", "table", "toml"]

MATCH_KEYS = frozenset({"host", "model", "from", "until"})


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a row is about.

    Attributes:
        host: a shell-style pattern on the host of the base URL, in lower case.
        model: one on the model's name, in lower case, less what stands before its last slash.
        since: the first day, in UTC.
        until: the day after the last one.
    """

    host: str = "*"
    model: str = "*"
    since: date = date.min
    until: date = date.max

    def fits(self, host: str | None, model: str | None, at: datetime) -> bool:
        """Whether a call is one of those that the row is about."""
        name = (model or "").lower().rsplit("/", 1)[-1]
        return (
            self.since <= at.astimezone(UTC).date() < self.until
            and fnmatchcase((host or "").lower(), self.host)
            and fnmatchcase(name, self.model)
        )


def match_of(row: Mapping[str, Any], where: str) -> Match:
    """The calls a row is about.

    Raises:
        InputError: a pattern or a date is none.
    """
    for key in ("host", "model"):
        if not isinstance(row.get(key, ""), str):
            raise InputError(f"{where}: {key} is a pattern in quotes, not {row[key]!r}")
    for key in ("from", "until"):
        value = row.get(key, date.min)
        if not isinstance(value, date) or isinstance(value, datetime):
            raise InputError(f"{where}: from and until are dates such as 2026-07-01, not {value!r}")
    return Match(
        row.get("host", "*").lower(),
        row.get("model", "*").lower(),
        row.get("from", date.min),
        row.get("until", date.max),
    )


def read(path: str | Path, what: str) -> str:
    """The text of a user's file.

    Raises:
        InputError: it cannot be read.
    """
    given = cast("object", path)
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{what} is {type(given).__name__}; give the path of a TOML file")
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (
        OSError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # NUL, bytes that are no UTF-8, ~ of nobody
        why = getattr(error, "strerror", None) or error  # not the path again, which may be as long as a book
        raise InputError(f"no {what} could be read from {str(path)!r:.100}: {why}") from error


def toml(text: str, source: str) -> dict[str, Any]:
    """A text as TOML.

    Raises:
        InputError: it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not TOML: {error}") from error


def table(value: object, where: str) -> dict[str, Any]:
    """A value that has to be a table."""
    if not isinstance(value, dict):
        raise InputError(f"{where} is a table, not {value!r}")
    return cast("dict[str, Any]", value)


def rows(value: object, where: str) -> list[tuple[dict[str, Any], str]]:
    """A value that has to be a list of tables, each with its place."""
    if not isinstance(value, list):
        raise InputError(f"{where} is a list of rows, as in [[…]]")
    places = ((row, f"{where} {i}") for i, row in enumerate(cast("list[object]", value), 1))
    return [(table(row, place), place) for row, place in places]


def check_keys(given: Mapping[str, Any], known: Container[str], where: str) -> None:
    """Refuse a key that no row has."""
    if unknown := [key for key in given if key not in known]:
        raise InputError(f"{where}: unknown key {unknown[0]!r}")


def listed(values: Sequence[object]) -> str:
    """Values in a sentence."""
    return ", ".join(repr(value) for value in values)
