"""What speaks for each turn of a memory as an answer to one question, step by step, and the sum of it.

Parts are in standard deviations over the turns that may be found, so weights mean the same in every memory.
The order of the steps matters: several of them look at the sum of those before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from convmem.recall import dates, fuse, intent, rounds
from convmem.recall.analyze import count_terms, mostly_wide, words
from convmem.recall.partition import ASSISTANT, USER

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from convmem.recall.fuse import Floats, Mask
    from convmem.recall.partition import Partition
    from convmem.recall.question import Query
    from convmem.recall.settings import Settings

_MOSTLY: Final = 0.5
"""Share of a turn's characters in questions from which it counts as one that asks, not one that answers."""
_VECTOR_PENDING: Final = (-1.0, 3.0)
"""Between these the score by words stands for that by meaning, while a turn's vector is still being made."""
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
"""Parts that are told as reasons; of equal ones the earlier goes first."""
_COUNTS: Final = 0.25
"""Standard deviations that a part must have added to be told as a reason."""


@dataclass(slots=True, eq=False)
class Scored:
    """The turns of a partition, scored for a question.

    Attributes:
        partition, query, settings: what is asked of what, by which weights.
        used: which rows may be found.
        broad: the question wants a little of many places.
        parts: what speaks for each row, by name, in the order in which the steps ran.
        lexical, by_passage: the raw scores by words, of turns and of passages.
        dense: the raw scores by meaning, NaN for a row without a vector; None where there are no vectors.
    """

    partition: Partition
    query: Query
    settings: Settings
    used: Mask
    broad: bool
    parts: dict[str, Floats] = field(init=False, default_factory=dict[str, "Floats"])
    lexical: Floats = field(init=False)
    by_passage: Floats = field(init=False)
    dense: Floats | None = field(init=False)
    _linked: Floats = field(init=False)
    _topical: Floats | None = field(init=False, default=None)
    _deviation: float = field(init=False, default=0.0)

    @classmethod
    def of(cls, partition: Partition, query: Query, settings: Settings, used: Mask, *, broad: bool) -> Self:
        """Run the steps, in the order that must not change."""
        scored = cls(partition, query, settings, used, broad)
        lexical_z = scored._by_words()
        if scored.dense is not None:
            scored._by_meaning(scored.dense, lexical_z)
        before_rounds = scored.total()
        if broad:
            scored._by_round(before_rounds)
        scored._by_session(before_rounds)
        if partition.kind == "people":
            scored._between_people()
        elif partition.kind == "assistant":
            scored._with_an_assistant()
        scored._by_date()
        if broad:
            scored._add("early", settings.early * scored._deviation * rounds.earliness(partition))
        return scored

    def total(self) -> Floats:
        """The sum of the parts so far, by row."""
        return sum(self.parts.values(), np.zeros(len(self.partition)))

    def reasons(self, rows: NDArray[np.intp]) -> list[tuple[str, ...]]:
        """For each row the names of what raised its score by more than a little, the most telling first."""
        names = [name for name in _REASONS if name in self.parts]
        parts = np.stack([self.parts[name][rows] for name in names], axis=1)
        order: list[list[int]] = np.argsort(-parts, axis=1, kind="stable").tolist()
        counts: list[int] = np.count_nonzero(parts > _COUNTS, axis=1).tolist()
        return [tuple(names[n] for n in ranks[:count]) for ranks, count in zip(order, counts, strict=True)]

    @property
    def dated(self) -> bool:
        """Whether a turn that may be found was said at a time that the question names."""
        return "date" in self.parts and bool(self.parts["date"][self.used].any())

    def _add(self, name: str, part: NDArray[np.floating[Any]]) -> None:
        self.parts[name] = part.astype(np.float64)

    def _by_words(self) -> Floats:
        """A turn's own words, and what it takes from its neighbours; returns the standard scores of both."""
        partition, settings, used = self.partition, self.settings, self.used
        link = fuse.links(partition, settings)
        self._linked = fuse.linked(link, partition.by_session)
        self.lexical, self.by_passage = _by_bm25(partition, self.query, link, settings)
        self.dense = dense_scores(partition, self.query, settings)
        itself = self.lexical
        lent = fuse.from_neighbours(np.where(used, itself, 0.0), partition.by_session, link, settings)
        lexical_z = fuse.standardise(itself + lent, used, settings.few_turns)
        weight = 1.0 if self.dense is None else settings.lexical
        share = np.divide(itself, itself + lent, out=np.ones_like(itself), where=(itself + lent) > 0)
        self._add("lexical", weight * np.where(lexical_z > 0, lexical_z * share, lexical_z))
        self._add("neighbour", weight * np.where(lexical_z > 0, lexical_z * (1 - share), 0.0))
        return lexical_z

    def _by_meaning(self, dense: Floats, lexical_z: Floats) -> None:
        """A turn's cosine, and what it takes from the best of its session."""
        partition, settings = self.partition, self.settings
        known = self.used & np.isfinite(dense)
        filled = np.where(known, dense, 0.0)
        topical = fuse.session_top(filled, partition.by_session, known)
        topical = topical - topical[known].mean() if known.any() else topical
        dense_z = fuse.standardise(
            filled + settings.dense_session * self._linked * topical, known, settings.few_turns
        )
        dense_z = np.where(known, dense_z, np.clip(lexical_z, *_VECTOR_PENDING))
        self._add("dense", settings.dense * dense_z)
        self._topical = fuse.standardise(topical, known, settings.few_turns)

    def _by_round(self, score: Floats) -> None:
        """What the other half of a turn's round has: of a broad question each round stands by itself."""
        self._add("round", self.settings.round * (rounds.other_half(self.partition, score) - score))

    def _by_session(self, score: Floats) -> None:
        """What a turn takes from the best of its session; also how far apart scores lie, for what follows."""
        joint = fuse.session_top(score, self.partition.by_session, self.used)
        joint -= joint[self.used].mean()
        self._add("session", self.settings.session * self._linked * joint)
        self._deviation = float((score + self.parts["session"])[self.used].std())

    def _between_people(self) -> None:
        """For the one speaker who is named; against turns that ask."""
        turns, named = self.partition.turns, self.partition.named(self.query.text)
        if len(named) == 1:
            self._add("speaker", self.settings.speaker * self._deviation * (turns.speaker == named[0]))
        self._add("asking", -self.settings.asking * self._deviation * (turns.question > _MOSTLY))

    def _with_an_assistant(self) -> None:
        """For who said it, for preferences, for what is under way."""
        turns, text, settings, deviation = (
            self.partition.turns,
            self.query.text,
            self.settings,
            self._deviation,
        )
        looks_back = intent.looks_back(text)
        if settings.reply and intent.asks_for_reply(text):
            self._add("reply", settings.reply * deviation * (turns.role == ASSISTANT))
        else:
            weight = settings.user if looks_back else settings.user_forward
            self._add("user", weight * deviation * (turns.role == USER))
        if not looks_back and not self.broad:
            self._add("preference", settings.prefers * deviation * turns.prefers)
        if not looks_back and self._topical is not None:
            fading = np.exp(-self.partition.by_session.age / settings.recent_sessions)
            weight = settings.recent_asked if intent.is_question(text) else settings.recent
            self._add("recent", weight * deviation * self._linked * self._topical * fading)

    def _by_date(self) -> None:
        """For what was said at a time that the question names."""
        query, at = self.query, self.partition.turns.at
        if query.now is None or not self.settings.month:
            return
        inside = np.zeros(len(self.partition), dtype=np.bool_)
        for interval in dates.intervals(query.text, query.now):
            inside |= (at >= interval.start) & (at < interval.end)
        if inside.any():
            # Where no turn shares a word the scores are all alike, and the day that is named is all there is.
            self._add("date", self.settings.month * (self._deviation or 1.0) * inside)


def _by_bm25(partition: Partition, query: Query, link: Floats, settings: Settings) -> tuple[Floats, Floats]:
    """The scores by words of each turn, and of each passage."""
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
    by_turn = settings.pair * by_pair + (1 - settings.pair) * fuse.best_passage(by_passage, partition)
    return by_turn, by_passage


def dense_scores(partition: Partition, query: Query, settings: Settings) -> Floats | None:
    """The score by meaning of each turn, NaN for one without a vector; None where there are no vectors."""
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
