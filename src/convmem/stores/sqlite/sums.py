"""Adds up what the calls of forgotten sessions cost, and keeps the sums without whose calls they were."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convmem.wire.usage import counted

if TYPE_CHECKING:
    import sqlite3

__all__ = ["add_up"]

# Columns of `sums` that are added up.
_FIELDS = ("calls", "uncounted", "prompt", "cached", "written", "output")


def add_up(db: sqlite3.Connection, owner: int, session: int) -> None:
    """Add a session's calls to the sums of their days, hosts and models; the calls are deleted next.

    Rows without a model and a host are no calls.
    """
    rows = db.execute(
        "SELECT at, coalesce(host, ''), coalesce(model, ''), usage FROM calls"
        " WHERE owner = ? AND session = ? AND (host IS NOT NULL OR model IS NOT NULL)",
        (owner, session),
    )
    sums: dict[tuple[str, str, str], Counter[str]] = {}
    for at, host, model, usage in rows:
        day = datetime.fromisoformat(at).astimezone(UTC).date().isoformat()
        tokens = counted(json.loads(usage)) if usage is not None else None
        of_call = Counter(calls=1, uncounted=int(tokens is None))
        if tokens is not None:
            of_call.update(prompt=tokens.prompt, cached=tokens.cached, output=tokens.output)
            of_call["written"] = tokens.written or 0
        sums.setdefault((day, host, model), Counter()).update(of_call)
    raised = ", ".join(f"{field} = {field} + excluded.{field}" for field in _FIELDS)
    db.executemany(
        f"INSERT INTO sums (day, host, model, {', '.join(_FIELDS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        f" ON CONFLICT (day, host, model) DO UPDATE SET {raised}",
        [(*place, *(values[field] for field in _FIELDS)) for place, values in sums.items()],
    )
