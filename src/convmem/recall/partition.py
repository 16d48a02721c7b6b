"""One user's memory as contiguous arrays: what a query runs over."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from convmem.recall.analyze import CJK, fold, words
from convmem.recall.codec import Columns, decode_many, encode
from convmem.recall.entry import ROLES, Entry
from convmem.recall.postings import Postings
from convmem.recall.turns import Sessions, Turns
from convmem.recall.vectors import Vectors
from convmem.threads.once import lazy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

Kind = Literal["people", "assistant", "notes"]
"""What a user's memory is made of: people who are named, a user and an assistant, or facts without
replies.
"""

USER: Final = ROLES.index("user")
ASSISTANT: Final = ROLES.index("assistant")


class Partition:
    """The memory of one user, ready to be searched. Immutable: changes return a new partition.

    Rows are turns in the order they were given, which is the journal's. Statistics (document
    frequencies, mean vector, coherence) are this user's own and computed from these rows alone: nothing
    another user says or deletes can move a score. A partition that grew by `append` or shrank by
    `remove` gives bit-identical scores to one that was built from the remaining entries at once.
    """

    def __init__(
        self,
        *,
        ids: list[str],
        sessions: list[str],
        speakers: list[str],
        turns: Turns,
        postings: Postings,
        vectors: Vectors,
    ) -> None:
        self.ids = ids
        self.sessions = sessions
        self.speakers = speakers
        self.turns = turns
        self.postings = postings
        self.vectors = vectors

    # ---- building

    @staticmethod
    def from_encoded(blobs: Sequence[bytes], vectors: NDArray[Any] | None = None) -> Partition:
        """Build from encoded entries and their vectors.

        Vectors are float16 or float32 [turns, dim]; a row of NaN is absent.

        Raises:
            DamagedEntryError: naming the entries to analyse again.
        """
        columns = decode_many(blobs)
        if len(set(columns.ids)) != len(columns.ids):
            raise ValueError("a turn was given twice: ids must be distinct")
        sessions: dict[str, int] = {}
        speakers: dict[str, int] = {}
        turns = _turns(columns, sessions, speakers)
        return Partition(
            ids=columns.ids,
            sessions=list(sessions),
            speakers=list(speakers),
            turns=turns,
            postings=Postings.build(*_triples(columns, 0)),
            vectors=Vectors.build(vectors, len(columns.ids)),
        )

    @staticmethod
    def from_entries(entries: Sequence[Entry], vectors: NDArray[Any] | None = None) -> Partition:
        """Build from entries; the same as from their encoded form."""
        return Partition.from_encoded([encode(entry) for entry in entries], vectors)

    def append(self, entries: Sequence[Entry], vectors: NDArray[Any] | None = None) -> Partition:
        """Return a partition with more turns at its end.

        Raises:
            ValueError: when a turn is there already, or the vectors come from a model of another dimension.
        """
        return self.append_encoded([encode(entry) for entry in entries], vectors)

    def append_encoded(self, blobs: Sequence[bytes], vectors: NDArray[Any] | None = None) -> Partition:
        """`append`, from encoded entries.

        Raises:
            DamagedEntryError: naming the entries to analyse again.
            ValueError: as `append`.
        """
        columns = decode_many(blobs)
        twice = self.row.keys() & set(columns.ids)
        if twice or len(set(columns.ids)) != len(columns.ids):
            raise ValueError(f"a turn was given twice: {sorted(twice) or columns.ids}")
        sessions = {name: number for number, name in enumerate(self.sessions)}
        speakers = {name: number for number, name in enumerate(self.speakers)}
        turns = _turns(columns, sessions, speakers)
        first_passage = self.turns.passage_length.size
        return Partition(
            ids=self.ids + columns.ids,
            sessions=list(sessions),
            speakers=list(speakers),
            turns=self.turns.append(turns),
            postings=self.postings.append(*_triples(columns, first_passage)),
            vectors=self.vectors.append(vectors, len(blobs)),
        )

    def remove(self, ids: Collection[str]) -> Partition:
        """Return a partition without these turns, as if they had never been there.

        Unknown ids are ignored.
        """
        kept = np.ones(len(self), dtype=np.bool_)
        kept[[self.row[id_] for id_ in ids if id_ in self.row]] = False
        turns = self.turns.select(kept)
        session, sessions = _recode(turns.session, self.sessions)
        speaker, speakers = _recode(turns.speaker, self.speakers)
        return Partition(
            ids=[id_ for id_, stays in zip(self.ids, kept.tolist(), strict=True) if stays],
            sessions=sessions,
            speakers=speakers,
            turns=replace(turns, session=session, speaker=speaker),
            postings=self.postings.select(np.repeat(kept, self.turns.passages)),
            vectors=self.vectors.select(kept),
        )

    def with_vectors(self, ids: Sequence[str], vectors: NDArray[Any]) -> Partition:
        """Return a partition in which these turns have these vectors.

        Ids that are gone meanwhile are ignored.
        """
        known = [place for place, id_ in enumerate(ids) if id_ in self.row]
        index = np.array([self.row[ids[place]] for place in known], dtype=np.intp)
        return Partition(
            ids=self.ids,
            sessions=self.sessions,
            speakers=self.speakers,
            turns=self.turns,
            postings=self.postings,
            vectors=self.vectors.put(index, vectors[known]),
        )

    # ---- what queries ask of it

    def __len__(self) -> int:
        return len(self.ids)

    @lazy
    def row(self) -> dict[str, int]:
        """The row of each turn id."""
        return {id_: row for row, id_ in enumerate(self.ids)}

    @lazy
    def by_session(self) -> Sessions:
        """Rows grouped by session."""
        return Sessions.group(self.turns.session)

    @lazy
    def first_passage(self) -> NDArray[np.int64]:
        """Where each turn's passages begin."""
        return np.cumsum(self.turns.passages) - self.turns.passages

    @lazy
    def first_rule(self) -> NDArray[np.int64]:
        """Where each turn's rules begin."""
        return np.cumsum(self.turns.rules) - self.turns.rules

    @lazy
    def turn_of_passage(self) -> NDArray[np.int64]:
        """The row each passage belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.turns.passages)

    @lazy
    def length(self) -> NDArray[np.int64]:
        """Terms of each turn."""
        if not len(self):
            return np.empty(0, dtype=np.int64)
        return np.add.reduceat(self.turns.passage_length.astype(np.int64), self.first_passage)

    @lazy
    def distinct_terms(self) -> NDArray[np.int64]:
        """Distinct terms of each turn's passages, summed; names of speakers are not counted."""
        held = np.bincount(self.turn_of_passage[self.postings.passages], minlength=len(self))
        return held - self._name_terms

    @lazy
    def _name_terms(self) -> NDArray[np.int64]:
        sizes = np.array([len(set(words(name))) for name in self.speakers], dtype=np.int64)
        return sizes[self.turns.speaker] * self.turns.passages

    def frequency(self, terms: NDArray[np.uint64]) -> NDArray[np.int64]:
        """In how many passages each term stands."""
        which, _ = self.postings.find(terms)
        return np.bincount(which, minlength=terms.size)

    def passages(
        self, row: int, by_passage: NDArray[np.float64] | None = None
    ) -> tuple[tuple[int, int], ...]:
        """Spans of a turn's passages, best first by the scores given."""
        first, count = int(self.first_passage[row]), int(self.turns.passages[row])
        places = list(range(first, first + count))
        if count > 1 and by_passage is not None:
            scores = by_passage[first : first + count].tolist()
            places.sort(key=lambda place: (-scores[place - first], place))
        starts, ends = self.turns.passage_start, self.turns.passage_end
        return tuple((int(starts[place]), int(ends[place])) for place in places)

    def rules(self, row: int) -> tuple[tuple[int, int], ...]:
        """Spans of the lasting rules in a turn."""
        count = int(self.turns.rules[row])
        if not count:
            return ()
        first = int(self.first_rule[row])
        starts, ends = self.turns.rule_start, self.turns.rule_end
        return tuple((int(starts[place]), int(ends[place])) for place in range(first, first + count))

    @lazy
    def kind(self) -> Kind:
        """What this memory is made of, by its speakers and roles.

        People: at least two names, and nearly all turns have one. Assistant: a good part of the turns
            are replies.
        Notes: neither.
        """
        if not len(self):
            return "assistant"
        named = np.flatnonzero([bool(name) for name in self.speakers])
        shares = np.bincount(self.turns.speaker, minlength=len(self.speakers))[named] / len(self)
        if shares.sum() > 0.9 and np.count_nonzero(shares > 0.05) > 1:  # noqa: PLR2004
            return "people"
        replies = np.count_nonzero(self.turns.role == ASSISTANT) / len(self)
        return "assistant" if replies > 0.15 else "notes"  # noqa: PLR2004

    @lazy
    def answers(self) -> Mask:
        """Rows that another speaker or role said than the turn before them in the session."""
        before = self.by_session.previous
        turns = self.turns
        other = (turns.role != turns.role[before]) | (turns.speaker != turns.speaker[before])
        result: Mask = np.logical_and(before >= 0, other)
        return result

    @lazy
    def coherence(self) -> tuple[float, float]:
        """How alike adjacent turns are: (answers, turns that go on from one of the same speaker).

        In standard deviations of random pairs above their mean: about .4 for unordered facts, 1.3 to 2
        for people chatting, 2 to 3 for user and assistant. NaN where too few such pairs have vectors.
        """
        return self._coherence(self.answers), self._coherence(~self.answers & (self.by_session.previous >= 0))

    def _coherence(self, rows: Mask) -> float:
        """Of at most 512 of these rows with the turns before them, spread evenly."""
        present, before = self.vectors.present, self.by_session.previous
        after = np.flatnonzero(rows & present & present[before])
        if after.size < _FEWEST_PAIRS:
            return float("nan")
        after = after[np.linspace(0, after.size - 1, min(after.size, 512)).astype(np.intp)]
        here = _directions(self.vectors.matrix[after] - self.vectors.mean)
        there = _directions(self.vectors.matrix[before[after]] - self.vectors.mean)
        adjacent = np.einsum("ij,ij->i", here, there)
        random = np.einsum("ij,ij->i", here, np.roll(there, after.size * 2 // 5, axis=0))
        return float((adjacent.mean() - random.mean()) / (random.std() + 1e-9))

    def named(self, text: str) -> list[int]:
        """Return the speakers (numbers) whose name, or a word of whose name, stands in a text."""
        folded = fold(text)
        return [number for number, pattern in self._names if pattern.search(folded)]

    def nameless(self, text: str) -> str:
        """Return a text without the speakers' names: what a question asks about them."""
        for _, pattern in self._names:
            text = re.sub(pattern.pattern, "", text, flags=re.IGNORECASE)
        return re.sub(r"\s+", " ", text).strip()

    @lazy
    def _names(self) -> list[tuple[int, re.Pattern[str]]]:
        patterns: list[tuple[int, re.Pattern[str]]] = []
        for number, name in enumerate(self.speakers):
            words = {word for word in [fold(name), *fold(name).split()] if len(word) > 1}
            if words:
                found = "|".join(
                    _bounded(word) for word in sorted(words, key=lambda word: (-len(word), word))
                )
                patterns.append((number, re.compile(found)))
        return patterns


_FEWEST_PAIRS: Final = 16
"""Neighbours with vectors below which coherence is not measured: a handful says nothing."""


def _directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows)) + np.float32(1e-9)
    result: NDArray[np.float32] = rows / lengths[:, None]
    return result


def _bounded(name: str) -> str:
    """Match a name as a word of its own; between CJK characters there are no word bounds."""
    latin = rf"[^\W{CJK}]"
    return (
        rf"(?<!{latin}){re.escape(name)}(?!{latin})" if not re.search(f"[{CJK}]", name) else re.escape(name)
    )


def _turns(columns: Columns, sessions: dict[str, int], speakers: dict[str, int]) -> Turns:
    """Number sessions and speakers (continuing the given numbering) and sum up passage lengths."""
    ends = np.cumsum(columns.passage_terms)
    sums = np.concatenate(([0], np.cumsum(columns.counts, dtype=np.int64)))
    return Turns(
        session=_numbers(columns.sessions, sessions),
        speaker=_numbers(columns.speakers, speakers),
        role=columns.role,
        wide=columns.wide,
        prefers=columns.prefers,
        at=columns.at,
        digest=columns.digest,
        question=columns.question,
        passages=columns.passages,
        rules=columns.rules,
        passage_start=columns.passage_start,
        passage_end=columns.passage_end,
        passage_length=(sums[ends] - sums[ends - columns.passage_terms]).astype(np.int32),
        rule_start=columns.rule_start,
        rule_end=columns.rule_end,
    )


def _numbers(names: list[str], known: dict[str, int]) -> NDArray[np.int32]:
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int32)


def _triples(
    columns: Columns, first_passage: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint16], NDArray[np.int32]]:
    passages = np.arange(first_passage, first_passage + columns.passage_terms.size, dtype=np.int32)
    return columns.terms, columns.counts, np.repeat(passages, columns.passage_terms)


def _recode(numbers: NDArray[np.int32], names: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Number again in order of first appearance, so that what is gone leaves no trace."""
    used, first = np.unique(numbers, return_index=True)
    order = np.argsort(first)
    new = np.zeros(len(names), dtype=np.int32)
    new[used[order]] = np.arange(used.size, dtype=np.int32)
    return new[numbers], [names[number] for number in used[order].tolist()]
