"""When to say nothing: nothing in this memory stands out for this message."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from convmem.recall.fuse import Floats, Mask

STATEMENT: Final = 0.75
"""Margin under which nothing is recalled for a message that asks nothing."""
QUESTION: Final = 0.5
"""The same for questions. The lowest of 1,834 that were measured had .80."""
AGREEMENT: Final = 0.8
"""Agreement under which nothing is recalled for a message that asks nothing. Of work on texts that have
nothing to do with the past, four fifths stay below; of messages that go on with something, one in twenty.
"""
CLEAR: Final = 1.05
"""Agreement from which such a message is answered like a question. Below, only what stands out is quoted."""
_FLOOR: Final = 0.6
"""How far that is, of what the best of as many random turns would reach."""


LEAST: Final = 1.0
"""Score under which nothing is quoted, whoever asks: below, it is the budget that is filled and no question
answered. On all sets that were measured it costs nothing that was found.
"""


class Scores(NamedTuple):
    """Of all rows: how far the best stands out, by words, by vectors, and all together."""

    margin: float
    lexical: Floats
    dense: Floats | None
    score: Floats


def least(scores: Scores, used: Mask, *, asks: bool, comparable: bool) -> float | None:
    """The least score that is worth quoting, or None when nothing is.

    Args:
        scores: of all rows.
        used: the rows that may be quoted.
        asks: the message is a question: whoever asks wants what there is.
        comparable: enough turns are in the message's language for its words to say something.
    """
    if scores.margin < (QUESTION if asks else STATEMENT):
        return None
    if asks or scores.dense is None or not comparable:
        return LEAST
    agreed = agreement(scores.lexical, scores.dense, used)
    if agreed >= CLEAR:
        return LEAST
    if agreed < AGREEMENT:
        return None
    rest = scores.score[used]
    return float(rest.mean() + _FLOOR * rest.std() * math.sqrt(2 * math.log(max(2, rest.size))))


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


def agreement(lexical: Floats, dense: Floats, used: Mask) -> float:
    """How far the best turn stands out by words and by vectors at once: the lesser of its standard scores.

    Divided by what the best of as many random turns would reach, sqrt(ln n) for two scores that know nothing
    of each other. A long message always has some turn with a few of its words, and some turn that is near
    it; when these are different turns, neither means much.
    """
    known = used & np.isfinite(dense)
    both = np.minimum(_standard(lexical[known]), _standard(dense[known]))
    return float(both.max()) / math.sqrt(math.log(max(3, both.size))) if both.size else 0.0


def _standard(scores: Floats) -> Floats:
    deviation = float(scores.std()) if scores.size else 0.0
    return (scores - scores.mean()) / deviation if deviation > 1e-12 else np.zeros_like(scores)  # noqa: PLR2004


def _outstanding(scores: Floats) -> float:
    deviation = float(scores.std()) if scores.size else 0.0
    return (float(scores.max()) - float(scores.mean())) / deviation if deviation > 1e-12 else 0.0  # noqa: PLR2004
