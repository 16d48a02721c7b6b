"""Which dialect a call is in: by host, model and date, from a table; what fits no row is in OpenAI's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from convmem.errors import InputError
from convmem.wire.dialect import AssistantParts, Developer, Dialect, LateSystem, Reasoning, SameRole

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

__all__ = ["Dialects", "resolve_dialects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """A row of the table: which calls are in a dialect."""

    dialect: str
    host: str = "*"
    model: str = "*"
    since: date = date.min
    until: date = date.max

    def fits(self, host: str, model: str, on: date) -> bool:
        return (
            self.since <= on < self.until and fnmatchcase(host, self.host) and fnmatchcase(model, self.model)
        )


@dataclass(frozen=True, slots=True)
class Dialects:
    """Which dialect a call is in."""

    by_name: Mapping[str, Dialect]
    matches: tuple[_Match, ...]

    def of(self, host: str | None, model: str | None, at: datetime) -> Dialect:
        """The dialect of a call.

        Args:
            host: of the base URL.
            model: the model's name, with or without a vendor in front of a slash.
            at: when the call is made, aware.
        """
        on = at.astimezone(UTC).date()
        name = (model or "").lower().rsplit("/", 1)[-1]
        found = (m.dialect for m in self.matches if m.fits((host or "").lower(), name, on))
        return self.by_name[next(found, "openai")]

    def extended(self, text: str, *, source: str) -> Dialects:
        """These, after the rows of a table in TOML.

        Raises:
            InputError: it is no such table.
        """
        try:
            given: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{source} is not TOML: {error}") from error
        _check_keys(given, {"dialect", "match"}, source)
        named = _table(given.get("dialect", {}), f"{source}: dialect")
        made = {name: _dialect(name, row, f"{source}: [dialect.{name}]") for name, row in named.items()}
        rows: object = given.get("match", [])
        if not isinstance(rows, list):
            raise InputError(f"{source}: match is a list of rows, as in [[match]]")
        by_name = {**self.by_name, **made}
        matches = [
            _match(_table(row, f"{source}: [[match]] {i}"), by_name, f"{source}: [[match]] {i}")
            for i, row in enumerate(cast("list[object]", rows), 1)
        ]
        return Dialects(by_name, (*matches, *self.matches))


_VALUES: Mapping[str, tuple[object, ...]] = {
    "reasoning": get_args(Reasoning),
    "same_role": get_args(SameRole),
    "late_system": get_args(LateSystem),
    "developer": get_args(Developer),
    "assistant_parts": get_args(AssistantParts),
    "signatures": (False, True),
    "json_word": (False, True),
}


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} is a table, not {value!r}")
    return cast("dict[str, Any]", value)


def _dialect(name: str, given: object, where: str) -> Dialect:
    row = _table(given, where)
    _check_keys(row, _VALUES, where)
    for key, value in row.items():
        if value not in _VALUES[key] or type(value) is not type(_VALUES[key][0]):
            raise InputError(f"{where}: {key} is one of {_listed(_VALUES[key])}, not {value!r}")
    return Dialect(name=name, **row)


def _match(row: Mapping[str, Any], known: Mapping[str, Dialect], where: str) -> _Match:
    _check_keys(row, {"dialect", "host", "model", "from", "until"}, where)
    if row.get("dialect") not in known:
        raise InputError(f"{where}: dialect is one of {_listed(tuple(known))}, not {row.get('dialect')!r}")
    patterns = {key: row[key] for key in ("host", "model") if key in row}
    dates = {key: row[name] for key, name in (("since", "from"), ("until", "until")) if name in row}
    for key, value in patterns.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {key} is a pattern in quotes, not {value!r}")
    for value in dates.values():
        if not isinstance(value, date) or isinstance(value, datetime):
            raise InputError(f"{where}: from and until are dates such as 2026-07-01, not {value!r}")
    return _Match(dialect=row["dialect"], **{key: value.lower() for key, value in patterns.items()}, **dates)


def _check_keys(given: Mapping[str, Any], known: Container[str], where: str) -> None:
    if unknown := [key for key in given if key not in known]:
        raise InputError(f"{where}: unknown key {unknown[0]!r}")


def _listed(values: Sequence[object]) -> str:
    return ", ".join(repr(value) for value in values)


@cache
def _shipped() -> Dialects:
    text = resources.files("convmem.wire").joinpath("dialects.toml").read_text(encoding="utf-8")
    return Dialects({"openai": Dialect(name="openai")}, ()).extended(text, source="dialects.toml")


def resolve_dialects(spec: str | Path | Dialects | None) -> Dialects:
    """The dialects that `spec` means: those shipped, or those after the rows of a TOML file.

    Raises:
        InputError: no such file, or it holds no such table.
    """
    if isinstance(spec, Dialects):
        return spec
    if spec is None:
        return _shipped()
    try:
        text = Path(spec).read_text(encoding="utf-8-sig")
    except (OSError, ValueError, TypeError) as error:  # a path with NUL, bytes that are no UTF-8
        raise InputError(f"no dialects could be read from {str(spec)!r}: {error}") from error
    return _shipped().extended(text, source=str(spec))
