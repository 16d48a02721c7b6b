"""Search one user's memory: from a question to ranked turns, each with the reasons for its place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from convmem.recall import abstain, dates, fuse, intent, rounds, shared, updates
from convmem.recall.analyze import count_terms, digest, mostly_wide, words
from convmem.recall.entry import ROLES
from convmem.recall.partition import ASSISTANT, USER, Partition
from convmem.recall.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from convmem.recall.breadth import Shape
    from convmem.recall.cohort import Cohort
    from convmem.recall.fuse import Floats, Mask

DEFAULT: Final = Settings()
"""The settings that are shipped."""


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
        cohort: Everyday sentences by the same embedder, to tell what is near from what is not; None while
            there are none.
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
class Hit:
    """A turn that was found.

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
    """The outcome of a search.

    Attributes:
        hits: Turns, best first; texts that were said twice appear once.
        standing: The user's lasting rules, newest first. They match no query.
        abstained: Why there are no hits (``"small talk"``, ``"no margin"``, ``"empty"``), else an empty
            string. Small talk gets no rules either.
        margin: How far the best turns stand out, see `abstain.margin`.
        least: The score under which a turn is not worth quoting to the message.
    """

    hits: tuple[Hit, ...]
    standing: tuple[Hit, ...]
    abstained: str
    margin: float
    least: float = -np.inf


@dataclass(slots=True, eq=False)
class _Evidence:
    """What speaks for each row, by name, in the order in which the steps ran."""

    parts: dict[str, Floats] = field(default_factory=dict[str, "Floats"])

    def add(self, name: str, part: NDArray[np.floating[Any]]) -> None:
        self.parts[name] = part.astype(np.float64)


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
    evidence, lexical, by_passage, dense = _evidence(partition, query, settings, used, broad=broad)
    score = sum(evidence.parts.values(), np.zeros(len(partition)))
    margin = abstain.margin(lexical, dense, used)
    dated = "date" in evidence.parts and bool(evidence.parts["date"][used].any())
    scores = abstain.Scores(margin, lexical, dense, score)
    least = _least(partition, query, settings, scores, used, dated=dated)
    if least is None:
        return Ranking((), _standing(partition, query), "no margin", margin)
    rows = _best(partition, score, used, query.top_k)
    best, stale = score[rows], np.zeros(rows.size, dtype=np.bool_)
    if settings.alike and dense is not None and not broad and _about_now(partition, query):
        rows, best, stale = updates.newest_first(partition, rows, best, settings.alike)
    reasons = _reasons(evidence, rows)
    if stale.any() and updates.asks_for_now(query.text):
        reasons = [
            (*why, "superseded") if old else why for why, old in zip(reasons, stale.tolist(), strict=True)
        ]
    hits = _hits(partition, rows, best, reasons, by_passage=by_passage, shape=shape)
    if not query.small_talk and np.count_nonzero(used) < settings.few:
        spoken_for = _spoken_for(lexical[rows], reasons)
        hits = tuple(hit for hit, kept in zip(hits, spoken_for, strict=True) if kept)
    # Broad questions want a little of many places.
    return Ranking(hits, _standing(partition, query), "", margin, -np.inf if broad else least)


_GENERAL: Final = frozenset({"user", "recent"})
"""Reasons that hold for a turn whatever is asked."""
_AT_LEAST: Final = 3


def _spoken_for(lexical: Floats, reasons: Sequence[tuple[str, ...]]) -> list[bool]:
    """Of a handful of turns, which have to do with the message: a word is shared, or something speaks for it.

    Deviations of a handful say nothing, so no mark can be set. Where no turn shares a word, as across
    languages, the best few stand.
    """
    shares: list[bool] = (lexical > 0).tolist()
    spoken_for = [share or not _GENERAL.issuperset(why) for share, why in zip(shares, reasons, strict=True)]
    return spoken_for if any(spoken_for) else [place < _AT_LEAST for place in range(len(reasons))]


def _least(
    partition: Partition,
    query: Query,
    settings: Settings,
    scores: abstain.Scores,
    used: Mask,
    *,
    dated: bool,
) -> float | None:
    """The least score that is worth quoting; None when nothing in this memory has to do with the message."""
    if query.small_talk:
        return -np.inf
    # Words cannot agree with vectors where nearly all turns are in another language.
    same_language = partition.turns.wide[used] == mostly_wide(query.text)
    rows = int(np.count_nonzero(used))
    few = rows < settings.few
    comparable = int(np.count_nonzero(same_language)) >= (rows / 2 if few else settings.few)
    asks = intent.is_question(query.text) or intent.question_share(query.text[:_JUDGED]) > _ASKED
    near = _near(partition, query, used)
    if not asks and near is None and comparable and not few and scores.dense is not None:
        # What was said before the message is no reason to quote to it.
        scores = scores._replace(dense=_dense(partition, replace(query, exclude=()), settings))
    named = partition.kind == "people" and bool(partition.named(query.text))
    told = partition.nameless(query.text) if named else query.text
    signs = abstain.Signs(
        asks=asks,
        comparable=comparable,
        few=few,
        shared=shared.shared(partition, told, used, one_will_do=asks),
        near=near,
        pointed=named or (dated and _about_then(query.text)),
    )
    return abstain.least(scores, used, signs)


_ASKED: Final = 0.1
"""Share of a message's characters in questions from which it asks something, wherever the question stands."""
_JUDGED: Final = 4_000
"""Characters of a message in which a question is looked for."""


def _near(partition: Partition, query: Query, used: Mask) -> float | None:
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


def _evidence(
    partition: Partition, query: Query, settings: Settings, used: Mask, *, broad: bool
) -> tuple[_Evidence, Floats, Floats, Floats | None]:
    """Run the steps. Returns their parts of the score, and the raw lexical, passage and dense scores."""
    link = fuse.links(partition, settings)
    belongs = fuse.linked(link, partition.by_session)
    own, by_passage = _lexical(partition, query, link, settings)
    near = fuse.from_neighbours(np.where(used, own, 0.0), partition.by_session, link, settings)
    dense = _dense(partition, query, settings)
    lexical_z = fuse.standardise(own + near, used, settings.few)
    evidence = _Evidence()
    if dense is None:
        weight_lexical, weight_dense = 1.0, 0.0
    else:
        weight_lexical, weight_dense = settings.lexical, settings.dense
    share = np.divide(own, own + near, out=np.ones_like(own), where=(own + near) > 0)
    evidence.add("lexical", weight_lexical * np.where(lexical_z > 0, lexical_z * share, lexical_z))
    evidence.add("neighbour", weight_lexical * np.where(lexical_z > 0, lexical_z * (1 - share), 0.0))
    session_z: Floats | None = None
    if dense is not None:
        known = used & np.isfinite(dense)
        filled = np.where(known, dense, 0.0)
        topical = fuse.session_top(filled, partition.by_session, known)
        topical = topical - topical[known].mean() if known.any() else topical
        dense_z = fuse.standardise(filled + settings.dense_session * belongs * topical, known, settings.few)
        # A turn whose vector is still being made stands by its words alone.
        dense_z = np.where(known, dense_z, np.clip(lexical_z, -1, 3))
        evidence.add("dense", weight_dense * dense_z)
        session_z = fuse.standardise(topical, known, settings.few)
    score = sum(evidence.parts.values(), np.zeros(len(partition)))
    if broad:
        evidence.add("round", settings.round * (rounds.other_half(partition, score) - score))
    joint = fuse.session_top(score, partition.by_session, used)
    joint -= joint[used].mean()
    evidence.add("session", settings.session * belongs * joint)
    deviation = float((score + evidence.parts["session"])[used].std())
    _by_kind(
        partition,
        query,
        settings,
        evidence,
        deviation=deviation,
        session_z=session_z,
        belongs=belongs,
        broad=broad,
    )
    _by_date(partition, query, settings, evidence, deviation)
    if broad:
        evidence.add("early", settings.early * deviation * rounds.earliness(partition))
    return evidence, own, by_passage, dense


def _lexical(partition: Partition, query: Query, link: Floats, settings: Settings) -> tuple[Floats, Floats]:
    terms, _ = count_terms(words(query.text))
    weights = np.ones(terms.size)
    if partition.kind == "assistant" and settings.context and query.context:
        more, _ = count_terms(word for text in query.context for word in words(text))
        more = np.setdiff1d(more, terms)
        terms = np.concatenate((terms, more))
        weights = np.concatenate((weights, np.full(more.size, settings.context)))
    longest = settings.longest_query_wide if mostly_wide(query.text) else settings.longest_query
    if terms.size > longest:
        frequency = partition.frequency(terms)
        rarest = np.argsort(frequency / weights, kind="stable")
        kept = np.sort(rarest[:longest])
        terms, weights = terms[kept], weights[kept]
    by_pair, by_passage = fuse.bm25(partition, terms, weights, link, settings)
    own = settings.pair * by_pair + (1 - settings.pair) * fuse.best_passage(by_passage, partition)
    return own, by_passage


def _dense(partition: Partition, query: Query, settings: Settings) -> Floats | None:
    if query.vectors is None or not partition.vectors.count:
        return None
    vectors = np.atleast_2d(np.asarray(query.vectors, dtype=np.float32))
    if vectors.shape[1] != partition.vectors.dim or not np.isfinite(vectors).all():
        return None
    weights = np.full(len(vectors), 1 / len(vectors), dtype=np.float32)
    if (
        partition.kind == "assistant"
        and settings.context
        and (newest := _newest_said(partition, query)) is not None
    ):
        vectors = np.vstack((vectors, partition.vectors.matrix[newest]))
        weights = np.append(weights, np.float32(settings.context))
    return partition.vectors.centred_cosines(vectors, partition.turns.wide, weights)


def _newest_said(partition: Partition, query: Query) -> int | None:
    """The row of what was said last in the running session, where it is visible and has a vector."""
    rows = (partition.row[id_] for id_ in query.exclude if id_ in partition.row)
    turns = partition.turns
    said = [row for row in rows if partition.sessions[int(turns.session[row])] == query.session]
    newest = max(said, default=None)
    return newest if newest is not None and partition.vectors.present[newest] else None


def _by_kind(
    partition: Partition,
    query: Query,
    settings: Settings,
    evidence: _Evidence,
    *,
    deviation: float,
    session_z: Floats | None,
    belongs: Floats,
    broad: bool,
) -> None:
    """Add what holds for people only, or for user and assistant only."""
    turns = partition.turns
    if partition.kind == "people":
        named = partition.named(query.text)
        if len(named) == 1:
            evidence.add("speaker", settings.speaker * deviation * (turns.speaker == named[0]))
        evidence.add("asking", -settings.asking * deviation * (turns.question > _MOSTLY))
    elif partition.kind == "assistant":
        back = intent.looks_back(query.text)
        if settings.reply and intent.asks_for_reply(query.text):
            evidence.add("reply", settings.reply * deviation * (turns.role == ASSISTANT))
        else:
            weight = settings.user if back else settings.user_forward
            evidence.add("user", weight * deviation * (turns.role == USER))
        if not back and not broad:
            evidence.add("preference", settings.prefers * deviation * turns.prefers)
        if not back and session_z is not None:
            fading = np.exp(-partition.by_session.age / settings.recent_sessions)
            weight = settings.recent_asked if intent.is_question(query.text) else settings.recent
            evidence.add("recent", weight * deviation * belongs * session_z * fading)


_MOSTLY: Final = 0.5


def _by_date(
    partition: Partition, query: Query, settings: Settings, evidence: _Evidence, deviation: float
) -> None:
    if query.now is None or not settings.month:
        return
    inside = np.zeros(len(partition), dtype=np.bool_)
    for interval in dates.intervals(query.text, query.now):
        inside |= (partition.turns.at >= interval.start) & (partition.turns.at < interval.end)
    if inside.any():
        # Where no turn shares a word the scores are all alike, and the day that is named is all there is.
        evidence.add("date", settings.month * (deviation or 1.0) * inside)


def _best(partition: Partition, score: Floats, used: Mask, top_k: int) -> NDArray[np.intp]:
    """Rows by score, ties in journal order; of turns that say the same, the best one."""
    order = np.argsort(np.where(used, -score, np.inf), kind="stable")[: np.count_nonzero(used)]
    head = order[: max(4 * top_k, 64)]
    _, first = np.unique(partition.turns.digest[head], return_index=True)
    return head[np.sort(first)][:top_k]


_REASONS: Final = (
    "lexical",
    "dense",
    "neighbour",
    "session",
    "speaker",
    "date",
    "user",
    "reply",
    "preference",
    "recent",
)
_COUNTS: Final = 0.25


def _reasons(evidence: _Evidence, rows: NDArray[np.intp]) -> list[tuple[str, ...]]:
    """For each row the names of what raised its score by more than a little, the most telling first."""
    names = [name for name in _REASONS if name in evidence.parts]
    parts = np.stack([evidence.parts[name][rows] for name in names], axis=1)
    order: list[list[int]] = np.argsort(-parts, axis=1, kind="stable").tolist()
    counts: list[int] = np.count_nonzero(parts > _COUNTS, axis=1).tolist()
    return [tuple(names[n] for n in ranks[:count]) for ranks, count in zip(order, counts, strict=True)]


def _hits(
    partition: Partition,
    rows: NDArray[np.intp],
    scores: Floats,
    why: Iterable[tuple[str, ...]],
    *,
    by_passage: Floats | None = None,
    shape: Shape | None = None,
) -> tuple[Hit, ...]:
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
        Hit(
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


def _standing(partition: Partition, query: Query) -> tuple[Hit, ...]:
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
