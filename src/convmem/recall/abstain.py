"""When to say nothing: nothing in this memory stands out for this message."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from convmem.recall.fuse import Floats, Mask

STATEMENT: Final = 0.75
"""Margin under which nothing is recalled for a message that asks nothing."""
QUESTION: Final = 0.5
"""The same for questions. The lowest of 1,834 that were measured had .80."""


def margin(lexical: Floats, dense: Floats | None, used: Mask) -> float:
    """How far the best turn stands above this user's others: the better of words and vectors.

    In standard deviations of the user's own scores, divided by what the best of as many random ones
    would reach, sqrt(2 ln n): so that it means the same for every embedder and every size of memory.
    """
    rows = max(2, int(np.count_nonzero(used)))
    best = _outstanding(lexical[used])
    if dense is not None:
        known = dense[used & np.isfinite(dense)]
        best = max(best, _outstanding(known))
    return best / math.sqrt(2 * math.log(rows))


def _outstanding(scores: Floats) -> float:
    deviation = float(scores.std()) if scores.size else 0.0
    return (float(scores.max()) - float(scores.mean())) / deviation if deviation > 1e-12 else 0.0  # noqa: PLR2004
