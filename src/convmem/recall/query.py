"""Search one user's memory: from a question to ranked turns, each with the reasons for its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from convmem.recall import abstain, intent, rounds, shared, updates
from convmem.recall.analyze import digest, mostly_wide
from convmem.recall.entry import ROLES
from convmem.recall.partition import USER, Partition
from convmem.recall.question import Query, RankedTurn, Ranking
from convmem.recall.scored import Scored, dense_scores
from convmem.recall.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from convmem.recall.breadth import Shape
    from convmem.recall.fuse import Floats, Mask

DEFAULT: Final = Settings()
"""The settings that are shipped."""


def query_text(partition: Partition, text: str) -> str:
    """Return what to embed for a question: its text, where people talk without their names.

    Who is asked about is told exactly by the speaker of each turn. A vector knows a name by its sound alone:
    with names embedded, giving the people of two conversations rare names cost .07 of what was found.
    """
    if partition.kind == "people" and partition.named(text):
        return partition.nameless(text) or text
    return text


def search(partition: Partition, query: Query, settings: Settings = DEFAULT) -> Ranking:
    """Rank a user's turns for a question. Pure: equal inputs give equal results, to the last bit."""
    used = _searchable(partition, query, settings)
    if not query.small_talk and intent.is_small_talk(query.text):
        return Ranking((), (), "small talk", 0.0)
    if not used.any():
        return Ranking((), _standing(partition, query), "empty", 0.0)
    shape = rounds.shape_of(partition, query.text, settings)
    if shape is not None:
        settings = rounds.by_rounds(settings, shape)
    broad = shape is not None
    scored = Scored.of(partition, query, settings, used, broad=broad)
    score = scored.total()
    margin = abstain.margin(scored.lexical, scored.dense, used)
    floor = _floor(scored, abstain.Scores(margin, scored.lexical, scored.dense, score))
    if floor is None:
        return Ranking((), _standing(partition, query), "no margin", margin)
    rows = _best(partition, score, used, query.top_k)
    best, stale = score[rows], np.zeros(rows.size, dtype=np.bool_)
    if settings.alike and scored.dense is not None and not broad and _about_now(partition, query):
        rows, best, stale = updates.newest_first(partition, rows, best, settings.alike)
    reasons = scored.reasons(rows)
    if stale.any() and updates.asks_for_now(query.text):
        reasons = [
            (*why, "superseded") if old else why for why, old in zip(reasons, stale.tolist(), strict=True)
        ]
    hits = _hits(partition, rows, best, reasons, by_passage=scored.by_passage, shape=shape)
    if not query.small_talk and np.count_nonzero(used) < settings.few_turns:
        spoken_for = _spoken_for(scored.lexical[rows], reasons)
        hits = tuple(hit for hit, kept in zip(hits, spoken_for, strict=True) if kept)
    # Broad questions want a little of many places.
    return Ranking(hits, _standing(partition, query), "", margin, -np.inf if broad else floor)


_GENERAL: Final = frozenset({"user", "recent"})
"""Reasons that hold for a turn whatever is asked."""
_KEPT_ALL_THE_SAME: Final = 3
"""Turns of such a handful that stand where none of them shares a word."""


def _spoken_for(lexical: Floats, reasons: Sequence[tuple[str, ...]]) -> list[bool]:
    """Which of a handful of turns have to do with the message: by a shared word, or another special reason.

    Deviations of a handful say nothing, so no mark can be set. Where no turn shares a word, as across
    languages, the best few stand.
    """
    shares: list[bool] = (lexical > 0).tolist()
    spoken_for = [share or not _GENERAL.issuperset(why) for share, why in zip(shares, reasons, strict=True)]
    return spoken_for if any(spoken_for) else [place < _KEPT_ALL_THE_SAME for place in range(len(reasons))]


def _floor(scored: Scored, scores: abstain.Scores) -> float | None:
    """The score under which nothing is quoted; None when no turn has to do with the message."""
    partition, query, settings, used = scored.partition, scored.query, scored.settings, scored.used
    if query.small_talk:
        return -np.inf
    # Words cannot agree with vectors where nearly all turns are in another language.
    same_language = partition.turns.wide[used] == mostly_wide(query.text)
    rows = int(np.count_nonzero(used))
    few_turns = rows < settings.few_turns
    comparable = int(np.count_nonzero(same_language)) >= (rows / 2 if few_turns else settings.few_turns)
    asks = intent.is_question(query.text) or intent.question_share(query.text[:_JUDGED]) > _ASKED
    nearness = _nearness(partition, query, used)
    if not asks and nearness is None and comparable and not few_turns and scores.dense is not None:
        # What was said before the message is no reason to quote to it.
        scores = scores._replace(dense=dense_scores(partition, replace(query, exclude=()), settings))
    named = partition.kind == "people" and bool(partition.named(query.text))
    told = partition.nameless(query.text) if named else query.text
    signs = abstain.Signs(
        asks=asks,
        comparable=comparable,
        few_turns=few_turns,
        shared=shared.shared(partition, told, used, one_will_do=asks),
        nearness=nearness,
        pointed=named or (scored.dated and _about_then(query.text)),
    )
    return abstain.floor(scores, used, signs)


_ASKED: Final = 0.1
"""Share of a message's characters in questions from which it asks something, wherever the question stands."""
_JUDGED: Final = 4_000
"""Characters of a message in which a question is looked for."""


def _nearness(partition: Partition, query: Query, used: Mask) -> float | None:
    """How near the nearest turn is in meaning, 1 being chance; None where that is not known."""
    vectors = partition.vectors
    rows = np.flatnonzero(used & vectors.present)
    if query.cohort is None or query.vectors is None or not rows.size:
        return None
    if np.shape(query.vectors)[-1] != vectors.dim or query.cohort.dim != vectors.dim:
        return None
    if not np.isfinite(query.vectors).all():
        return None
    return query.cohort.nearness(
        query.vectors,
        wide=mostly_wide(query.text),
        matrix=vectors.matrix if rows.size == len(partition) else vectors.matrix[rows],
        turns_wide=partition.turns.wide[rows],
    )


def _about_then(text: str) -> bool:
    """Whether the time that a question names is the time of what it asks for: "today" mostly is not."""
    return intent.looks_back(text) or not updates.asks_for_now(text)


def _about_now(partition: Partition, query: Query) -> bool:
    """Whether a newer turn brings an older one up to date. Between people only where the question says "now".

    Two friends talk about one matter for months, and most of it stays true.
    """
    asks = updates.asks_for_now if partition.kind == "people" else updates.asks_for_state
    return asks(query.text)


def _searchable(partition: Partition, query: Query, settings: Settings) -> Mask:
    used = partition.distinct_terms >= settings.shortest
    used[[partition.row[id_] for id_ in query.exclude if id_ in partition.row]] = False
    if not query.small_talk:
        # The same words asked before tell nothing, and a few of them crowd out what does.
        same = query.digest if query.digest is not None else digest(query.text)
        used &= partition.turns.digest != np.uint64(same)
    if query.within is not None:
        wanted = {number for number, name in enumerate(partition.sessions) if name in query.within}
        used &= np.isin(partition.turns.session, np.fromiter(wanted, dtype=np.int32, count=len(wanted)))
    return used


def _best(partition: Partition, score: Floats, used: Mask, top_k: int) -> NDArray[np.intp]:
    """Rows by score, ties in journal order; of turns that say the same, the best one."""
    order = np.argsort(np.where(used, -score, np.inf), kind="stable")[: np.count_nonzero(used)]
    head = order[: max(4 * top_k, 64)]
    _, first = np.unique(partition.turns.digest[head], return_index=True)
    return head[np.sort(first)][:top_k]


def _hits(
    partition: Partition,
    rows: NDArray[np.intp],
    scores: Floats,
    why: Iterable[tuple[str, ...]],
    *,
    by_passage: Floats | None = None,
    shape: Shape | None = None,
) -> tuple[RankedTurn, ...]:
    turns = partition.turns
    first = partition.first_passage[rows]
    places: list[int] = rows.tolist()
    values: list[float] = scores.tolist()
    session: list[int] = turns.session[rows].tolist()
    role: list[int] = turns.role[rows].tolist()
    speaker: list[int] = turns.speaker[rows].tolist()
    at: list[float] = turns.at[rows].tolist()
    start: list[int] = turns.passage_start[first].tolist()
    end: list[int] = turns.passage_end[first].tolist()
    several: list[bool] = (turns.passages[rows] > 1).tolist()
    return tuple(
        RankedTurn(
            id=partition.ids[row],
            score=values[n],
            why=reasons,
            order=row,
            session=partition.sessions[session[n]],
            role=ROLES[role[n]],
            speaker=partition.speakers[speaker[n]],
            at=at[n],
            passages=partition.passages(row, by_passage) if several[n] else ((start[n], end[n]),),
            rules=partition.rules(row),
            most=0 if shape is None else shape.said if role[n] == USER else shape.replied,
        )
        for n, (row, reasons) in enumerate(zip(places, why, strict=True))
    )


def _standing(partition: Partition, query: Query) -> tuple[RankedTurn, ...]:
    """The user's lasting rules, newest first, each wording once."""
    if partition.kind == "people":
        return ()
    rows = np.flatnonzero(partition.turns.rules)[::-1]
    excluded = {partition.row[id_] for id_ in query.exclude if id_ in partition.row}
    if query.within is not None:
        rows = rows[np.isin(np.array(partition.sessions)[partition.turns.session[rows]], list(query.within))]
    _, first = np.unique(partition.turns.digest[rows], return_index=True)
    kept = [row for row in rows[np.sort(first)].tolist() if row not in excluded][:_MOST_RULES]
    return _hits(partition, np.array(kept, dtype=np.intp), np.zeros(len(kept)), [("rule",)] * len(kept))


_MOST_RULES: Final = 32
"""Rules that are handed to `pack`, which shows what fits of them."""
