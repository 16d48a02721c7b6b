"""What is asked of one user's memory, and what comes out: values, without a computation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from numpy.typing import NDArray

    from convmem.recall.cohort import Cohort


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A question to one user's memory.

    Attributes:
        text: The question, or the user's newest message.
        vectors: Its embedding [dim], or several [k, dim], of `query_text`; None searches by words alone.
        now: The present (aware), to which "last week" is relative; without it times are not boosted.
        session: The running session, if any.
        context: Texts of its last turns, newest last: they say what a short message is about.
        exclude: Turns that are never returned: what stands in the window is not recalled again.
        within: Only these sessions are searched; None searches all.
        top_k: How many hits are wanted.
        small_talk: Search even when the message is small talk or nothing stands out (an explicit search).
        cohort: Everyday sentences by the same embedder, by which a turn is near or far in meaning; None while
            they are not embedded yet.
        digest: Of the whole message, where `text` is a part of it; turns that say the same tell nothing.
    """

    text: str
    vectors: NDArray[Any] | None = None
    now: datetime | None = None
    session: str | None = None
    context: tuple[str, ...] = ()
    exclude: Collection[str] = ()
    within: Collection[str] | None = None
    top_k: int = 200
    small_talk: bool = False
    cohort: Cohort | None = None
    digest: int | None = None


@dataclass(frozen=True, slots=True)
class RankedTurn:
    """A turn and its place in a ranking; `types.Hit` is what the user gets of it.

    Attributes:
        id: The turn's id.
        score: In standard deviations of this user's turns; higher is better. Comparable within one
            search only.
        why: What spoke for it, strongest first: lexical, dense, neighbour, session, speaker, date,
            user, reply, preference, recent, rule; in broad questions also round and early.
            "superseded" last: the question is about the present, and a newer turn about this was found.
        order: The turn's place among all of the user's turns.
        session, role, speaker, at: As journaled; `at` in seconds since the epoch, NaN when unknown.
        passages: Spans of a long turn's passages, best first; one span for a short turn.
        rules: Spans of sentences that state a lasting rule.
        most: Tokens of it that are to be shown, in a budget of 1,024; 0 leaves that to `pack`.
    """

    id: str
    score: float
    why: tuple[str, ...]
    order: int
    session: str
    role: str
    speaker: str
    at: float
    passages: tuple[tuple[int, int], ...]
    rules: tuple[tuple[int, int], ...] = ()
    most: int = 0


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a search found.

    Attributes:
        hits: Turns, best first; texts that were said twice appear once.
        standing: The user's lasting rules, newest first. They match no query.
        abstained: Why there are no hits (``"small talk"``, ``"no margin"``, ``"empty"``), else an empty
            string. Small talk gets no rules either.
        margin: How far the best turns stand out, see `abstain.margin`.
        floor: The score under which a turn is not worth quoting to the message.
    """

    hits: tuple[RankedTurn, ...]
    standing: tuple[RankedTurn, ...]
    abstained: str
    margin: float
    floor: float = -math.inf
