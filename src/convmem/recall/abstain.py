"""Whether anything is quoted to a message at all, and from which score on.

Two kinds of signs are asked. Some are relative: one turn stands out among this user's others. They fail
where most of the memory is about what is asked, since then nothing stands out. The others are absolute: a
turn shares the message's words, is nearer in meaning than unrelated turns come (`cohort`), or is of the day
that is named.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from convmem.recall.fuse import Floats, Mask
    from convmem.recall.shared import Shared

STATEMENT: Final = 0.75
"""Margin under which nothing is recalled for a message that asks nothing."""
QUESTION: Final = 0.5
"""The same for questions. The lowest of 1,834 that were measured had .80."""
AGREEMENT: Final = 0.8
"""Agreement under which nothing is recalled for a message that asks nothing, while the everyday sentences are
not there to judge by. Of work on texts that have nothing to do with the past, four fifths stay below; of
messages that go on with something, one in twenty.
"""
CLEAR: Final = 1.05
"""Agreement from which such a message is answered like a question. Below, only what stands out is quoted."""
_OUTSTANDING_SHARE: Final = 0.6
"""How far that is, of what the best of as many random turns would reach."""

_CHANCE_NEARNESS: Final = 1.0
"""Nearness that unrelated turns reach for one message in ten (`Cohort.chance`): more is a sign."""
_STATEMENT_NEARNESS: Final = 1.3
"""Nearness that is enough for a message that asks nothing. Of 750 statements put to memories that have
nothing to do with them none came so near, of 200 statements about what they hold four fifths did.
"""
_BOTH: Final = 1.7
"""Nearness and 1.2 times the weight of shared words that together are enough for such a message: a long one
goes on with many things at once, and is near to none. Of messages of one person nine in ten have more against
the person's own past, of others' messages one in twenty.
"""
_BOTH_WEIGHT: Final = 1.2
"""What weight counts beside nearness: of messages that go on with a project it tells more."""
_STRANGE: Final = 0.4
_STRANGE_SHARE: Final = 0.2
"""A question is strange to a memory in which no turn comes nearer than this, nor shares so many of its words.
A step further (.5 and a third) questions in words of their own fell silent. Only where its words could be
shared: across languages even the right turn is often no nearer.
"""
_WEIGHT: Final = 0.5
"""Weight of shared words (`Shared.weight`) that is enough, without vectors, for a message that asks nothing.
Of messages that go on with a project nineteen in twenty have more, of those that go on with somebody else's
two in five; of short statements that have nothing to do with the past none.
"""

FLOOR: Final = 1.0
"""Score under which nothing is quoted, whoever asks: below, it is the budget that is filled and no question
answered. On all sets that were measured it costs nothing that was found.
"""
_BEHIND: Final = 1.5
"""Standard deviations behind the best that are quoted in any case: where all turns are alike, what answers is
hardly above the mean.
"""


class Scores(NamedTuple):
    """How far the best turn stands out (`margin`), and all turns' scores by words, by vectors, and in sum."""

    margin: float
    lexical: Floats
    dense: Floats | None
    score: Floats


class Signs(NamedTuple):
    """The other signs that a message has to do with the past.

    Attributes:
        asks: The message is a question: whoever asks wants what there is.
        comparable: Enough turns are in the message's language for its words to say something.
        few_turns: There are too few turns for deviations to say something.
        shared: The words that it shares with one passage.
        nearness: How near the nearest turn is, 1 being what chance reaches; None where that is not known.
        pointed: It names a speaker of this memory, or a time at which something was said.
    """

    asks: bool
    comparable: bool
    few_turns: bool
    shared: Shared
    nearness: float | None
    pointed: bool


def floor(scores: Scores, used: Mask, signs: Signs) -> float | None:
    """The score under which nothing is quoted, or None when nothing is worth it."""
    found = _for_question(scores, used, signs) if signs.asks else _for_statement(scores, used, signs)
    return -np.inf if signs.few_turns and found is not None else found


def _for_question(scores: Scores, used: Mask, signs: Signs) -> float | None:
    share, nearness = signs.shared.share, signs.nearness
    if signs.pointed or signs.shared.known or (nearness is not None and nearness >= _CHANCE_NEARNESS):
        return _at_most_behind(scores, used)
    if nearness is not None and nearness < _STRANGE and share < _STRANGE_SHARE and signs.comparable:
        return None
    if signs.few_turns:
        # Words alone, and none of them: in so small a memory too that is no answer.
        return None if scores.dense is None and signs.comparable and not share else FLOOR
    return FLOOR if scores.margin >= QUESTION else None


def _for_statement(scores: Scores, used: Mask, signs: Signs) -> float | None:
    known, nearness = signs.shared.known, signs.nearness
    if scores.dense is None:
        heard = signs.shared.weight >= _WEIGHT and (signs.few_turns or scores.margin >= STATEMENT)
        return _at_most_behind(scores, used) if known or heard else None
    if nearness is None:  # the everyday sentences are still being embedded
        return _at_most_behind(scores, used) if known else _where_agreed(scores, used, signs)
    if (
        nearness >= (_CHANCE_NEARNESS if known else _STATEMENT_NEARNESS)
        or nearness + _BOTH_WEIGHT * signs.shared.weight >= _BOTH
    ):
        return _at_most_behind(scores, used)
    return None


def _where_agreed(scores: Scores, used: Mask, signs: Signs) -> float | None:
    """The floor where one turn stands out by words and by vectors at once; None where none does."""
    if signs.few_turns or scores.dense is None or scores.margin < STATEMENT:
        return None
    if not signs.comparable:
        return FLOOR
    agreed = agreement(scores.lexical, scores.dense, used)
    if agreed >= CLEAR:
        return FLOOR
    if agreed < AGREEMENT:
        return None
    rest = scores.score[used]
    return float(rest.mean() + _OUTSTANDING_SHARE * rest.std() * math.sqrt(2 * math.log(max(2, rest.size))))


def _at_most_behind(scores: Scores, used: Mask) -> float:
    return min(FLOOR, float(scores.score[used].max()) - _BEHIND)


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
