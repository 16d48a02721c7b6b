"""The durable view of one turn: all that recall needs of it, so that loading reads no text again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from convmem.recall import intent
from convmem.recall.analyze import count_terms, digest, mostly_wide, words
from convmem.recall.passages import cut

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

ROLES: Final = ("user", "assistant", "tool", "system", "developer", "other")
"""Roles as they are numbered in entries and partitions; unknown ones become ``other``."""


_BEGINNING: Final = 200_000
_END: Final = 20_000
"""Characters of a very long turn that are analyzed. The rest is found by them: a million characters of
Chinese take 2.4 s, and a turn has one place in a ranking however many passages it has."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a turn.

    Attributes:
        start: First character in the turn's text.
        end: One past the last.
        terms: Distinct term ids, ascending.
        counts: Occurrences of each.
    """

    start: int
    end: int
    terms: NDArray[np.uint64]
    counts: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Entry:
    """One turn as recall sees it. It holds no text; `encode` makes it one row of a database.

    Attributes:
        id: The turn's id.
        session: The session's id.
        role: One of `ROLES`.
        wide: Mostly Chinese, Japanese or Korean characters rather than words of letters.
        speaker: The speaker's name, empty where chats have none.
        at: Seconds since the epoch, NaN when unknown.
        digest: Equal for turns that say the same in the same words.
        question: Share of the turn that asks, 0 to 1.
        passages: At least one, in order.
        standing: Spans of sentences that state a lasting rule (user turns only).
        prefers: Whether it says what the user prefers.
    """

    id: str
    session: str
    role: str
    wide: bool
    speaker: str
    at: float
    digest: int
    question: float
    passages: tuple[Passage, ...]
    standing: tuple[tuple[int, int], ...]
    prefers: bool = False


def analyze_turn(
    text: str,
    *,
    id: str,  # noqa: A002  # the field's name
    session: str,
    role: str,
    speaker: str | None = None,
    at: datetime | float | None = None,
) -> Entry:
    """Analyse a turn once, when it is journaled.

    The speaker's name counts as said in each passage: people are asked about by name, and rarely say
    their own. Of a turn of more than 220,000 characters the first 200,000 and the last 20,000 are analyzed.
    """
    name = list(words(speaker)) if speaker else []
    left_out = max(0, len(text) - _BEGINNING - _END)
    text = analyzed(text)
    passages: list[Passage] = []
    for start, end in _cut(text, seam=_BEGINNING if left_out else None):
        terms, counts = count_terms(chain(name, words(text[start:end])))
        shift = left_out if start >= _BEGINNING else 0
        passages.append(Passage(start + shift, end + shift, terms, counts))
    return Entry(
        id=id,
        session=session,
        role=role if role in ROLES else "other",
        wide=mostly_wide(text),
        speaker=speaker or "",
        at=_seconds(at),
        digest=digest(text),
        question=intent.question_share(text),
        passages=tuple(passages),
        standing=intent.standing_rules(text) if role == "user" else (),
        prefers=role == "user" and intent.states_preference(text),
    )


def analyzed(text: str) -> str:
    """What of a turn's text `analyze_turn` looks at."""
    return text if len(text) <= _BEGINNING + _END else text[:_BEGINNING] + text[-_END:]


def _cut(text: str, *, seam: int | None) -> list[tuple[int, int]]:
    """Passages; none goes over the seam between a beginning and an end."""
    if seam is None:
        return cut(text)
    return [*cut(text[:seam]), *((start + seam, end + seam) for start, end in cut(text[seam:]))]


def _seconds(at: datetime | float | None) -> float:
    if at is None:
        return float("nan")
    return float(at) if isinstance(at, int | float) else at.timestamp()
