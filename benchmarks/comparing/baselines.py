"""What recall has to beat, over the same turns, vectors, budget and date headers.

- `bm25`: words alone, turns one by one (k1 1.2, b .75), by convmem's own analyzer.
- `bm25-trim`: the same order; of a long turn only its best passages by BM25.
- `dense`: cosine of the question and each turn, by the same vectors.
- `rrf`: the two orders fused by reciprocal ranks (Cormack, Clarke and Büttcher, 2009; k 60).
- `last-n`: the newest turns.
- `full`: everything, whatever it costs.
- `oracle`: the turns that answer the question and no other: what a budget allows at best.

Each takes whole turns, best first, and passes over those that do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convmem.context.render import recall_block, speaks_chinese
from convmem.recall.analyze import words
from convmem.recall.passages import LONGEST, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    Order = NDArray[np.intp]
    Mask = NDArray[np.bool_]
    Count = Callable[[str], int]

__all__ = ["DENSE", "NAMES", "Corpus", "Line", "fill"]

NAMES = ("bm25", "bm25-trim", "dense", "rrf", "last-n", "full", "oracle")
DENSE = frozenset({"dense", "rrf"})
"""Those that need vectors."""

_K1 = 1.2
_B = 0.75
_RRF = 60
_CANDIDATES = 400
"""Ranks looked at when filling a budget; the 400th turn fits where the first did, but answers nothing."""
_ELLIPSIS = " … "


@dataclass(frozen=True, slots=True)
class Line:
    """A turn as a baseline shows it; `share` of its characters when it is trimmed."""

    id: str
    session: str
    date: str
    text: str
    share: float = 1.0


class Corpus:
    """The turns of one conversation, for ranking any beginning of it.

    Args:
        texts: what the turns say, with the speaker's name as convmem embeds it.
        vectors: one row per turn; None when there is no embedder.
    """

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> None:
        self._texts = texts
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
        self,
        system: str,
        question: str,
        vector: NDArray[np.float32] | None,
        usable: Mask,
        gold: Sequence[int] = (),
    ) -> tuple[Order, float | None]:
        """Rows that may be used, best first, and the best one's score where it says how sure that is.

        Raises:
            ValueError: there is no such baseline, or it needs vectors and there are none.
        """
        if system == "oracle":
            return np.array(gold, dtype=np.intp), None
        if system in {"last-n", "full"}:
            return _sorted(np.arange(self._size, dtype=np.float64), usable), None
        if system in {"bm25", "bm25-trim"}:
            scores = self._bm25(question, usable)
        elif system in DENSE and self._vectors is not None and vector is not None:
            scores = (self._vectors @ vector).astype(np.float64)
        else:
            raise ValueError(f"there is no baseline called {system}, or no vectors for it")
        if system == "rrf":
            scores = self._fused(self._bm25(question, usable), scores, usable)
        best = float(scores[usable].max()) if usable.any() else 0.0
        return _sorted(scores, usable), best

    def trimmed(self, row: int, question: str) -> tuple[str, float]:
        """A turn's best passages by the question's words, and their share of its characters."""
        text = self._texts[row]
        spans = cut(text)
        if len(spans) == 1:
            return text, 1.0
        weight = {word: self._idf(word) for word in set(words(question)) if word in self._postings}
        scores = [sum(weight.get(word, 0.0) for word in set(words(text[a:b]))) for a, b in spans]
        kept: list[int] = []
        size = 0
        for place in sorted(range(len(spans)), key=lambda place: -scores[place]):
            start, end = spans[place]
            if kept and size + end - start > LONGEST:
                break
            kept.append(place)
            size += end - start
        shown = _ELLIPSIS.join(text[slice(*spans[place])] for place in sorted(kept))
        return shown, size / len(text)

    def _idf(self, word: str) -> float:
        there = self._postings[word][0].size
        return float(np.log1p((self._size - there + 0.5) / (there + 0.5)))

    def _bm25(self, question: str, usable: Mask) -> NDArray[np.float64]:
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

    def _fused(
        self, lexical: NDArray[np.float64], dense: NDArray[np.float64], usable: Mask
    ) -> NDArray[np.float64]:
        """Reciprocal ranks; a turn that shares no word with the question has no lexical rank."""
        scores = np.zeros(self._size)
        for side, allowed in ((lexical, usable & (lexical > 0)), (dense, usable)):
            order = _sorted(side, allowed)
            scores[order] += 1 / (_RRF + 1 + np.arange(order.size))
        return scores


def _sorted(scores: NDArray[np.float64], usable: Mask) -> Order:
    best = np.argsort(np.where(usable, -scores, np.inf), kind="stable")
    return best[: np.count_nonzero(usable)]


def fill(
    order: Order,
    line: Callable[[int], Line],
    budget: int | None,
    count: Count,
    *,
    question: str,
    now: datetime,
) -> tuple[str, list[Line]]:
    """A block as convmem fences it, and what stands in it; no budget takes everything."""
    chinese = speaks_chinese(question)

    def block(lines: Sequence[Line]) -> str:
        shown = recall_block(_rendered(lines), (), today=now.date(), chinese=chinese)
        return shown + "\n\n" if lines else ""

    def in_order(rows: Sequence[int]) -> list[Line]:
        return [lines[row] for row in sorted(rows)]

    if budget is None:
        everything = [line(row) for row in sorted(order.tolist())]
        return block(everything), everything
    left = budget - count(recall_block("…", (), today=now.date(), chinese=chinese) + "\n\n")
    lines: dict[int, Line] = {}
    picked: list[int] = []
    headed: set[str] = set()
    for row in order[:_CANDIDATES].tolist():
        lines[row] = shown = line(row)
        cost = count(shown.text + "\n")
        if shown.session not in headed:
            cost += count(f"[{shown.date}]\n")
        if cost <= left:
            left -= cost
            picked.append(row)
            headed.add(shown.session)
    while picked and count(block(in_order(picked))) > budget:
        picked.pop()
    return block(in_order(picked)), in_order(picked)


def _rendered(lines: Sequence[Line]) -> str:
    shown: list[str] = []
    session = ""
    for line in lines:
        if line.session != session:
            session = line.session
            shown.append(f"[{line.date}]")
        shown.append(line.text)
    return "\n".join(shown)
