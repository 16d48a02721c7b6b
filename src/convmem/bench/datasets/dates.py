"""Dates as the data sets write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["parse_date"]

_WEEKDAY = re.compile(r"\s*\(\w+\)")
_FORMATS = ("%I:%M %p on %d %B, %Y", "%B-%d-%Y", "%Y-%m-%d", "%Y/%m/%d %H:%M", "%Y/%m/%d")


def parse_date(text: str | None) -> datetime | None:
    """An aware datetime; None for none.

    Raises:
        ValueError: it is written in a way not known here.
    """
    if not text:
        return None
    bare = _WEEKDAY.sub("", text).strip()
    for form in _FORMATS:
        try:
            return datetime.strptime(bare, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    found = datetime.fromisoformat(bare)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
