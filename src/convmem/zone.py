"""This machine's time zone, with its rules: summer and winter, and what they were in other years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

__all__ = ["LOCAL"]

_BEYOND = (OverflowError, OSError, ValueError)
"""What the platform raises of times that it has no rules for; there the zone is UTC."""


class _Local(tzinfo):
    """The zone in which `time.localtime` reads clocks; asked anew for every time."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        """What the clocks were ahead of UTC by, at that wall time."""
        return self._fixed(dt).utcoffset(None) or timedelta()

    def dst(self, dt: datetime | None) -> timedelta | None:  # noqa: ARG002 (the platform does not say)
        """Unknown."""
        return None

    def tzname(self, dt: datetime | None) -> str:
        """What the zone was called at that wall time."""
        return self._fixed(dt).tzname(None) or "UTC"

    def fromutc(self, dt: datetime) -> datetime:
        """The wall time of a time in UTC; of an hour that comes twice, the right one."""
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
