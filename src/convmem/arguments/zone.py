"""Resolves time zones: the machine's, with its rules for every year, and zones given by name or object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import Final

from convmem.errors import InputError

__all__ = ["LOCAL", "resolve_zone"]

_BEYOND = (OverflowError, OSError, ValueError)
"""What the platform raises for times that it has no rules for, such as the year 1; UTC is taken for those."""


class _Local(tzinfo):
    """The zone of `time.localtime`: the platform is asked anew for every time."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        """Return how far the clocks were ahead of UTC at that wall time."""
        return self._fixed(dt).utcoffset(None) or timedelta()

    def dst(self, dt: datetime | None) -> timedelta | None:  # noqa: ARG002 (the platform does not say)
        """Return None: the platform does not say whether it was summer time."""
        return None

    def tzname(self, dt: datetime | None) -> str:
        """Return the zone's abbreviation at that wall time, such as "CET"."""
        return self._fixed(dt).tzname(None) or "UTC"

    def fromutc(self, dt: datetime) -> datetime:
        """Return the wall time of a time in UTC, with `fold` set in the second of two like hours."""
        try:
            wall = dt.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)
        except _BEYOND:
            return dt
        return wall if wall - self.utcoffset(wall) == dt else wall.replace(fold=1)

    def __repr__(self) -> str:
        return "<this machine's time zone>"

    @staticmethod
    def _fixed(dt: datetime | None) -> tzinfo:
        try:
            wall = dt.replace(tzinfo=None) if dt is not None else datetime.now()  # noqa: DTZ005 (a wall clock)
            return wall.astimezone().tzinfo or UTC
        except _BEYOND:
            return UTC


LOCAL: Final[tzinfo] = _Local()

_GIVE = 'give the IANA name of a zone, such as "Asia/Shanghai", or a datetime.tzinfo'
_NEAR = 0.8
"""How alike a name must be, from 0 to 1, for the error to suggest it: "Shangai" is like "Shanghai" (.93), but
"Beijing" not like "Berlin" (.62)."""
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""Any time will do: a zone is asked for its offset then, to see whether it can tell one."""


def resolve_zone(tz: object) -> tzinfo:
    """Return the zone that a name or an object means; this machine's when it is None.

    Raises:
        InputError: no zone has this name, or the object cannot tell its offset from UTC.
    """
    if tz is None:
        return LOCAL
    if isinstance(tz, str):
        return _named(tz)
    if isinstance(tz, type):
        raise InputError(f"tz is the class {tz.__name__}; {_GIVE}")
    if not isinstance(tz, tzinfo):
        raise InputError(f"tz is {type(tz).__name__}; {_GIVE}")
    try:
        offset = _NOON.astimezone(tz).utcoffset()
    except Exception as error:
        raise InputError(f"tz cannot tell a time: {type(error).__name__}: {error}; {_GIVE}") from error
    if offset is None:
        raise InputError(f"tz does not know its offset from UTC; {_GIVE}")
    return tz


def _named(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 (reads a folder; only who names a zone pays)

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # not there, no name, a folder of zones
        known = available_timezones()
        if not known:  # Windows has no IANA database, nor have slim containers
            raise InputError(
                f"tz is {name!r:.60}, and this machine has no time zones by name: pip install tzdata"
            ) from error
        # Not Etc/GMT+8 to who wrote GMT+8: the signs of those zones are the other way round.
        by_lower = {zone.lower(): zone for zone in known if zone.isalpha() or "GMT" not in zone}
        places = {zone.rpartition("/")[2]: zone for zone in sorted(by_lower, reverse=True)}
        asked = name.strip().lower().replace(" ", "_")
        near = get_close_matches(asked, [*by_lower, *places], n=1, cutoff=_NEAR)
        meant = by_lower[places.get(near[0], near[0])] if near else None
        hint = f"; did you mean {meant!r}?" if meant else f"; {_GIVE}"
        raise InputError(f"tz is {name!r:.60}, and no time zone has that name{hint}") from error
