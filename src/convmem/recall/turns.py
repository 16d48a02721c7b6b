"""The turns of a partition as columns, and their order by session."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """Columns of numbers: one row per turn; flat columns over all passages and all rules, in row order."""

    session: NDArray[np.int32]
    speaker: NDArray[np.int32]
    role: NDArray[np.uint8]
    wide: NDArray[np.bool_]
    prefers: NDArray[np.bool_]
    at: NDArray[np.float64]
    digest: NDArray[np.uint64]
    question: NDArray[np.float32]
    passages: NDArray[np.int64]
    rules: NDArray[np.int64]
    passage_start: NDArray[np.int32]
    passage_end: NDArray[np.int32]
    passage_length: NDArray[np.int32]
    rule_start: NDArray[np.int32]
    rule_end: NDArray[np.int32]

    def append(self, other: Turns) -> Turns:
        """Return both, one after the other."""
        return Turns(*(np.concatenate((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))

    def select(self, kept: NDArray[np.bool_]) -> Turns:
        """Return the marked rows with what belongs to them."""
        by_passage, by_rule = np.repeat(kept, self.passages), np.repeat(kept, self.rules)

        def part(name: str) -> NDArray[Any]:
            column: NDArray[Any] = getattr(self, name)
            mask = (
                by_passage if name.startswith("passage_") else by_rule if name.startswith("rule_") else kept
            )
            return column[mask]

        return Turns(*(part(f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Rows grouped by session.

    Attributes:
        order: Rows, session by session, each in order.
        starts: Where each session begins in `order`.
        of: The session (position in `starts`) of each place in `order`.
        previous: The turn before in the same session, for each row; -1 for the first.
        next: The turn after; -1 for the last.
        age: How many sessions were active later than this row's, for each row.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    of: NDArray[np.intp]
    previous: NDArray[np.intp]
    next: NDArray[np.intp]
    age: NDArray[np.float64]

    @staticmethod
    def group(session: NDArray[np.int32]) -> Sessions:
        """Group rows by their session number."""
        order = np.argsort(session, kind="stable")
        grouped = session[order]
        new = np.ones(order.size, dtype=np.bool_)
        new[1:] = grouped[1:] != grouped[:-1]
        starts = np.flatnonzero(new)
        of = np.cumsum(new) - 1
        previous = np.full(order.size, -1, dtype=np.intp)
        following = np.full(order.size, -1, dtype=np.intp)
        inner = np.flatnonzero(~new)
        previous[order[inner]] = order[inner - 1]
        following[order[inner - 1]] = order[inner]
        last = order[np.append(starts[1:], order.size) - 1] if order.size else order
        age = np.empty(starts.size, dtype=np.float64)
        age[np.argsort(last)] = np.arange(starts.size - 1, -1, -1)
        by_row = np.empty(order.size, dtype=np.float64)
        by_row[order] = age[of]
        return Sessions(order, starts, of, previous, following, by_row)
