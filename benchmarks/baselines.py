"""What recall has to beat, over the same turns, vectors, budget and date headers.

- `bm25`: words alone, turns one by one (k1 1.2, b .75), by convmem's own analyzer.
- `dense`: cosine of the question and each turn, by the same vectors.
- `last-n`: the newest turns.
- `full`: everything, whatever it costs.

Each takes whole turns, best first, and passes over those that do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convmem.context.render import recall_block, speaks_chinese
from convmem.recall.analyze import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    Order = NDArray[np.intp]
    Count = Callable[[str], int]

__all__ = ["NAMES", "Corpus", "Line", "fill"]

NAMES = ("bm25", "dense", "last-n", "full")

_K1 = 1.2
_B = 0.75
_CANDIDATES = 400
"""Ranks looked at when filling a budget; the 400th turn fits where the first did, but answers nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """A turn as a baseline shows it."""

    id: str
    session: str
    date: str
    text: str


class Corpus:
    """The turns of one conversation, for ranking any beginning of it.

    Args:
        texts: what the turns say, with the speaker's name as convmem embeds it.
        vectors: one row per turn; None when there is no embedder.
    """

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> None:
        self._size = len(texts)
        self._vectors = vectors
        self._length = np.zeros(self._size)
        postings: dict[str, dict[int, int]] = {}
        for row, text in enumerate(texts):
            for word in words(text):
                self._length[row] += 1
                rows = postings.setdefault(word, {})
                rows[row] = rows.get(row, 0) + 1
        self._postings = {
            word: (np.fromiter(rows, np.intp, len(rows)), np.fromiter(rows.values(), np.float64, len(rows)))
            for word, rows in postings.items()
        }

    def order(
        self, system: str, question: str, vector: NDArray[np.float32] | None, usable: NDArray[np.bool_]
    ) -> Order:
        """Rows that may be used, best first."""
        if system == "bm25":
            scores = self._bm25(question, usable)
        elif system == "dense" and self._vectors is not None and vector is not None:
            scores = (self._vectors @ vector).astype(np.float64)
        elif system in {"last-n", "full"}:
            scores = np.arange(self._size, dtype=np.float64)
        else:
            raise ValueError(f"there is no baseline called {system}, or no vectors for it")
        best = np.argsort(np.where(usable, -scores, np.inf), kind="stable")
        return best[: np.count_nonzero(usable)]

    def _bm25(self, question: str, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
        size = np.count_nonzero(usable)
        mean = max(self._length[usable].mean(), 1e-9) if size else 1.0
        norm = _K1 * (1 - _B + _B * self._length / mean)
        scores = np.zeros(self._size)
        for word in dict.fromkeys(words(question)):
            if word in self._postings:
                rows, counts = self._postings[word]
                there = usable[rows]
                rows, counts = rows[there], counts[there]
                idf = np.log1p((size - rows.size + 0.5) / (rows.size + 0.5))
                scores[rows] += idf * counts * (_K1 + 1) / (counts + norm[rows])
        return scores


def fill(
    order: Order, lines: Sequence[Line], budget: int | None, count: Count, *, question: str, now: datetime
) -> tuple[str, set[str]]:
    """A block as convmem fences it, and the ids of the turns in it; no budget takes everything."""
    chinese = speaks_chinese(question)

    def block(rows: Sequence[int]) -> str:
        return (
            recall_block(_rendered(lines, rows), (), today=now.date(), chinese=chinese) + "\n\n"
            if rows
            else ""
        )

    if budget is None:
        return block(order.tolist()), {lines[row].id for row in order}
    left = budget - count(recall_block("…", (), today=now.date(), chinese=chinese) + "\n\n")
    picked: list[int] = []
    headed: set[str] = set()
    for row in order[:_CANDIDATES].tolist():
        line = lines[row]
        cost = count(line.text + "\n")
        if line.session not in headed:
            cost += count(f"[{line.date}]\n")
        if cost <= left:
            left -= cost
            picked.append(row)
            headed.add(line.session)
    while picked and count(block(picked)) > budget:
        picked.pop()
    return block(picked), {lines[row].id for row in picked}


def _rendered(lines: Sequence[Line], rows: Sequence[int]) -> str:
    shown: list[str] = []
    session = ""
    for row in sorted(rows):
        line = lines[row]
        if line.session != session:
            session = line.session
            shown.append(f"[{line.date}]")
        shown.append(line.text)
    return "\n".join(shown)
