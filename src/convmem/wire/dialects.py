"""Which dialect a call is in: by host, model and date, from a table; what fits no row is in OpenAI's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, get_args

from convmem.errors import InputError
from convmem.matching import MATCH_KEYS, Match, check_keys, listed, match_of, read, rows, table, toml
from convmem.wire.dialect import AssistantParts, Developer, Dialect, LateSystem, Reasoning, SameRole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = ["Dialects", "resolve_dialects"]


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
        return self.by_name[next(found, "openai")]

    def extended(self, text: str, *, source: str) -> Dialects:
        """These, after the rows of a table in TOML.

        Raises:
            InputError: it is no such table.
        """
        given = toml(text, source)
        check_keys(given, {"dialect", "match"}, source)
        named = table(given.get("dialect", {}), f"{source}: dialect")
        made = {name: _dialect(name, row, f"{source}: [dialect.{name}]") for name, row in named.items()}
        by_name = {**self.by_name, **made}
        matches: list[tuple[Match, str]] = []
        for row, place in rows(given.get("match", []), f"{source}: match"):
            check_keys(row, {*MATCH_KEYS, "dialect"}, place)
            if row.get("dialect") not in by_name:
                raise InputError(
                    f"{place}: dialect is one of {listed([*by_name])}, not {row.get('dialect')!r}"
                )
            matches.append((match_of(row, place), row["dialect"]))
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


def _dialect(name: str, given: object, where: str) -> Dialect:
    row = table(given, where)
    check_keys(row, _VALUES, where)
    for key, value in row.items():
        if value not in _VALUES[key] or type(value) is not type(_VALUES[key][0]):
            raise InputError(f"{where}: {key} is one of {listed(_VALUES[key])}, not {value!r}")
    return Dialect(name=name, **row)


@cache
def _shipped() -> Dialects:
    text = resources.files("convmem.wire").joinpath("dialects.toml").read_text(encoding="utf-8")
    return Dialects({"openai": Dialect(name="openai")}, ()).extended(text, source="dialects.toml")


def resolve_dialects(path: str | Path | None) -> Dialects:
    """The dialects that ship, after the rows of a file of the user's.

    Raises:
        InputError: no such file, or it holds no such table.
    """
    shipped = _shipped()
    return shipped if path is None else shipped.extended(read(path, "dialects"), source=str(path))
