"""What a call cost: its usage, by the prices of its host, model and time. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from convmem.errors import InputError
from convmem.providers.rules import MATCH_KEYS, Match, check_keys, match_of, read, rows, toml
from convmem.types import Cost
from convmem.wire.usage import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Prices", "resolve_prices"]

_MILLION = 1_000_000
_DAY_MINUTES = 24 * 60
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(_DAYS)
_CLOCK = r"([01]\d|2[0-4]):([0-5]\d)"
_TIMES = re.compile(rf"({_DAY})-({_DAY}) {_CLOCK}-{_CLOCK}")


@dataclass(frozen=True, slots=True)
class _Times:
    """A stretch of some days of the week, in minutes of the day in UTC."""

    days: range
    minutes: range

    @staticmethod
    def of(text: object, where: str) -> _Times:
        found = _TIMES.fullmatch(text) if isinstance(text, str) else None
        if found is not None:
            first, last, *clock = found.groups()
            hour, minute, until_hour, until_minute = map(int, clock)
            days = range(_DAYS.index(first), _DAYS.index(last) + 1)
            minutes = range(60 * hour + minute, 60 * until_hour + until_minute)
            if days and minutes and minutes.stop <= _DAY_MINUTES:
                return _Times(days, minutes)
        raise InputError(f'{where}: times are such as "Mon-Fri 01:00-04:00", not {text!r}')

    def hold(self, at: datetime) -> bool:
        return at.weekday() in self.days and 60 * at.hour + at.minute in self.minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    """A row of the table; `prices.toml` says what each value means."""

    match: Match
    input: float
    cached: float
    output: float
    peak: tuple[_Times, ...] = ()
    peak_factor: float = 1.0
    off_peak: frozenset[date] = frozenset()
    cache_write: float = 1.0
    cache_minimum: int = 0
    long_from: int | None = None
    long_input: float = 1.0
    long_output: float = 1.0

    def cost(self, usage: Mapping[str, Any], at: datetime) -> Cost | None:
        """The cost of a call; None when its usage does not say how long prompt and reply were."""
        tokens = counted(usage)
        if tokens is None:
            return None
        factor = self._factor(at.astimezone(UTC))
        is_long = self.long_from is not None and tokens.prompt > self.long_from
        per_input = factor * (self.long_input if is_long else 1.0) / _MILLION
        per_output = factor * (self.long_output if is_long else 1.0) / _MILLION
        fresh = tokens.prompt - tokens.cached
        written = fresh if tokens.prompt >= self.cache_minimum else 0
        if tokens.written is not None:
            written = min(tokens.written, fresh)
        return Cost(
            cached=tokens.cached * self.cached * per_input,
            uncached=(fresh + written * (self.cache_write - 1.0)) * self.input * per_input,
            output=tokens.output * self.output * per_output,
        )

    def _factor(self, at: datetime) -> float:
        peak = at.date() not in self.off_peak and any(times.hold(at) for times in self.peak)
        return self.peak_factor if peak else 1.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices; the first row that fits a call counts."""

    rows: tuple[_Price, ...] = ()

    def cost(
        self, usage: Mapping[str, Any] | None, *, host: str | None, model: str | None, at: datetime
    ) -> Cost | None:
        """What a call cost; None when its price or its tokens are not known.

        Args:
            usage: the provider's usage fields.
            host: of the base URL; prices are those of who sells.
            model: the model's name.
            at: when the call was made, aware.
        """
        price = next((row for row in self.rows if row.match.fits(host, model, at)), None)
        return price.cost(usage, at) if price is not None and usage else None

    def extended(self, text: str, *, source: str) -> Prices:
        """These, after the rows of a table in TOML.

        Raises:
            InputError: it is no such table.
        """
        given = toml(text, source)
        check_keys(given, {"price"}, source)
        made = [_price(row, place) for row, place in rows(given.get("price", []), f"{source}: price")]
        return Prices((*made, *self.rows))


_NUMBERS = ("input", "cached", "output", "peak_factor", "cache_write", "long_input", "long_output")
_COUNTS = ("cache_minimum", "long_from")
_LISTS = ("peak", "off_peak")


def _price(row: Mapping[str, Any], where: str) -> _Price:
    check_keys(row, {*MATCH_KEYS, *_NUMBERS, *_COUNTS, *_LISTS}, where)
    for key in ("input", "cached", "output"):
        if key not in row:
            raise InputError(f"{where}: {key} is missing; a price has input, cached and output")
    for key in (*_NUMBERS, *_COUNTS):
        kinds = (int,) if key in _COUNTS else (int, float)
        value = row.get(key, 0)
        if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise InputError(f"{where}: {key} is a number of 0 or more, not {value!r}")
    peak, off_peak = (_list(row.get(key, []), f"{where}: {key}") for key in _LISTS)
    if not all(isinstance(day, date) and not isinstance(day, datetime) for day in off_peak):
        raise InputError(f"{where}: off_peak is a list of dates such as 2026-10-01")
    return _Price(
        match=match_of(row, where),
        peak=tuple(_Times.of(text, f"{where}: peak") for text in peak),
        off_peak=frozenset(cast("list[date]", off_peak)),
        **{key: row[key] for key in (*_NUMBERS, *_COUNTS) if key in row},
    )


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise InputError(f"{where} is a list, not {value!r}")
    return cast("list[object]", value)


@cache
def _shipped() -> Prices:
    text = resources.files("convmem.providers").joinpath("prices.toml").read_text(encoding="utf-8")
    return Prices().extended(text, source="prices.toml")


def resolve_prices(path: str | Path | None) -> Prices:
    """The prices that ship, after the rows of a file of the user's.

    Raises:
        InputError: no such file, or it holds no such table.
    """
    shipped = _shipped()
    return shipped if path is None else shipped.extended(read(path, "prices"), source=str(path))
