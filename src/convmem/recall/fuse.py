"""The arithmetic of ranking: standard scores, neighbours, sessions, BM25. Arrays in, arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convmem.recall.partition import Partition
    from convmem.recall.settings import Settings
    from convmem.recall.turns import Sessions

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def standardise(scores: Floats, used: Mask, few_turns: int) -> Floats:
    """Scores as standard deviations from the mean, over the rows in use; 0 when they are all alike.

    With fewer than `few_turns` rows the ranks take the scores' place (ties share theirs), scaled to a
    deviation of 1.
    """
    values = scores[used]
    if values.size and values.size < few_turns:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        upto = np.cumsum(counts)
        values = (upto - (counts - 1) / 2)[inverse]
    result = np.zeros(scores.size)
    deviation = float(values.std()) if values.size else 0.0
    if deviation > 1e-12:  # noqa: PLR2004
        result[used] = (values - values.mean()) / deviation
    return result


def session_top(scores: Floats, sessions: Sessions, used: Mask, best: int = 3) -> Floats:
    """For each row the mean of the best scores in its session, over the rows in use."""
    if not scores.size:
        return scores
    left = np.where(used, scores, -np.inf)[sessions.order]
    total = np.zeros(sessions.starts.size)
    count = np.zeros(sessions.starts.size)
    for _ in range(best):
        top = np.maximum.reduceat(left, sessions.starts)
        there = np.isfinite(top)
        total[there] += top[there]
        count += there
        places = np.flatnonzero(left == top[sessions.of])
        first = places[np.concatenate(([True], sessions.of[places][1:] != sessions.of[places][:-1]))]
        left[first] = -np.inf
    by_row = np.empty(scores.size)
    by_row[sessions.order] = (total / np.maximum(count, 1))[sessions.of]
    return by_row


def links(partition: Partition, settings: Settings) -> Floats:
    """How much each row has to do with the turn before it in its session, 0 to 1.

    By the coherence that this memory's answers, and its turns that go on, were measured to have.
    Without vectors answers are taken at their word, and turns that go on only between people.
    """
    guess = (1.0, 1.0) if partition.kind == "people" else (1.0, 0.0)
    span = max(settings.coherence_high - settings.coherence_low, 1e-9)
    weights = [
        default if np.isnan(measured) else min(1.0, max(0.0, (measured - settings.coherence_low) / span))
        for measured, default in zip(partition.coherence, guess, strict=True)
    ]
    linked = np.where(partition.answers, weights[0], weights[1])
    return np.where(partition.by_session.previous >= 0, linked, 0.0)


def linked(link: Floats, sessions: Sessions) -> Floats:
    """For each row the stronger of its links to the turns before and after it."""
    return np.maximum(link, np.where(sessions.next >= 0, link[sessions.next], 0.0))


def from_neighbours(scores: Floats, sessions: Sessions, link: Floats, settings: Settings) -> Floats:
    """What each row takes from the two turns before it and the two after it, through its links to them."""

    def before(values: Floats) -> Floats:
        return np.where(sessions.previous >= 0, values[sessions.previous], 0.0) * link

    def after(values: Floats) -> Floats:
        return np.where(sessions.next >= 0, values[sessions.next] * link[sessions.next], 0.0)

    one_before, one_after = before(scores), after(scores)
    return (
        settings.previous * one_before
        + settings.next * one_after
        + settings.second_previous * before(one_before)
        + settings.second_next * after(one_after)
    )


def bm25(
    partition: Partition, terms: NDArray[np.uint64], weights: Floats, link: Floats, settings: Settings
) -> tuple[Floats, Floats]:
    """BM25 of each turn together with the one before it in its session, and of each passage.

    Document frequencies and lengths are those of the pairs, and of the passages. One gather of the
    query's postings serves both.
    """
    turns, sessions, postings = len(partition), partition.by_session, partition.postings
    which, where = postings.find(terms)
    passages = postings.passages[where]
    counts = postings.counts[where].astype(np.float64)
    lengths = partition.turns.passage_length.astype(np.float64)
    frequency = np.bincount(which, minlength=terms.size)
    idf = weights * np.log1p((lengths.size - frequency + 0.5) / (frequency + 0.5))
    norm = settings.k1 * (1 - settings.b + settings.b * lengths / max(float(lengths.mean()), 1e-9))
    saturated = counts * (settings.k1 + 1) / (counts + norm[passages])
    by_passage = np.bincount(passages, idf[which] * saturated, minlength=lengths.size)

    # Of the table of terms and turns only the cells that hold something: it would be of millions.
    turn = partition.turn_of_passage[passages]
    after = sessions.next[turn]
    leads = np.flatnonzero((after >= 0) & (link[after] > 0))
    places = np.concatenate((which * turns + turn, which[leads] * turns + after[leads]))
    cells, cell = np.unique(places, return_inverse=True)
    found = np.bincount(cell, np.concatenate((counts, counts[leads] * link[after[leads]])))
    rows, columns = np.divmod(cells, max(turns, 1))
    led = np.flatnonzero(link)
    length = partition.length.astype(np.float64)
    length[led] += partition.length[sessions.previous[led]] * link[led]
    frequency = np.bincount(rows, minlength=terms.size)
    idf = weights * np.log1p((turns - frequency + 0.5) / (frequency + 0.5))
    norm = settings.k1 * (1 - settings.b + settings.b * length / max(float(length.mean()), 1e-9))
    by_pair = np.bincount(
        columns, idf[rows] * found * (settings.k1 + 1) / (found + norm[columns]), minlength=turns
    )
    return by_pair.astype(np.float64), by_passage.astype(np.float64)


def best_passage(by_passage: Floats, partition: Partition) -> Floats:
    """For each turn the score of its best passage."""
    return np.maximum.reduceat(by_passage, partition.first_passage) if by_passage.size else by_passage
