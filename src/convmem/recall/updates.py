"""Statements that changed: for a question about the present, the newest turn about a matter goes first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from convmem.recall.analyze import fold
from convmem.recall.intent import is_question, looks_back

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convmem.recall.fuse import Floats, Mask
    from convmem.recall.partition import Partition

_NOW: Final = re.compile(
    r"\b(?:now|current(?:ly)?|at the moment|at present|right now|these days|nowadays|as of (?:today|now)"
    r"|(?:most recent|latest|newest)(?: \w+)?|up[- ]to[- ]date|still|today|any ?more)\b"
    r"|现在|目前(?!为止)|当前|如今|眼下|最新|最近|今天|还是|仍然|现任"
)
_ONCE: Final = re.compile(
    r"\b(?:first|originally|initial(?:ly)?|at first|used to|back then|earliest|former(?:ly)?|old)\b"
    r"|最初|最早|原来|原先|当初|起初|一开始|从前|第一次"
)
_HEAD: Final = 32
"""Turns, the best ones, among which newer ones are put first: 1,024 tokens show a dozen."""
_CROWD: Final = 10
"""Turns alike from which they are a list and not versions of one statement."""
_PASSES: Final = 3
"""How often scores are handed on: a statement that was changed three times is followed to the last."""


def asks_for_now(text: str) -> bool:
    """Tell whether a question says that it is about the present: now, currently, latest, 目前, 现在."""
    folded = fold(text)
    return bool(_NOW.search(folded)) and not _ONCE.search(folded)


def asks_for_state(text: str) -> bool:
    """Tell whether a question is about how things are, in so many words or for want of a look back."""
    if asks_for_now(text):
        return True
    return is_question(text) and not looks_back(text) and not _ONCE.search(fold(text))


def newest_first(
    partition: Partition, rows: NDArray[np.intp], score: Floats, alike: float
) -> tuple[NDArray[np.intp], Floats, Mask]:
    """Put newer turns before the older ones that they bring up to date.

    One turn does that to another when the same person or role said it later, their vectors, less the mean,
    have a cosine of `alike` at least, and few others are as like them. Only among the best `_HEAD`;
    nothing is left out.

    Args:
        partition: where the turns are.
        rows: the best, best first.
        score: their scores.
        alike: from which cosine on two turns are about one matter.

    Returns:
        The rows in their new order, their scores (a newer turn has at least that of what it replaces),
        and which of them are out of date.
    """
    head, vectors, turns = rows[:_HEAD], partition.vectors, partition.turns
    directions = vectors.directions(head, turns.wide)
    known = vectors.present[head]
    replaces = (directions @ directions.T >= alike) & known & known[:, None]
    # Where many are like one another (entries of a list, facts put in the same words), none replaces another.
    crowded = np.count_nonzero(replaces, axis=1) > _CROWD
    replaces &= ~(crowded | crowded[:, None])
    replaces &= (head[:, None] > head) & (turns.role[head][:, None] == turns.role[head])
    replaces &= turns.speaker[head][:, None] == turns.speaker[head]
    lifted = score[: head.size].copy()
    for _ in range(_PASSES):
        lifted = np.maximum(lifted, np.where(replaces, lifted, -np.inf).max(axis=1))
    order = np.lexsort((-head, -lifted))
    stale = np.zeros(rows.size, dtype=np.bool_)
    stale[: head.size] = np.asarray(replaces.any(axis=0))[order]
    return (
        np.concatenate((head[order], rows[head.size :])),
        np.concatenate((lifted[order], score[head.size :])),
        stale,
    )
