"""How long one user's memory takes to answer, without embedding: ranking and packing into a budget.

    .venv/.test/bin/python benchmarks/speed.py --turns 10000,100000 --embed 200 --profile

The turns are made by seed: words after Zipf's law, half of the sessions in Chinese, lengths as in chats;
vectors lie around topics. Beside convmem, in the same run and over the same arrays, plain reciprocal rank
fusion: BM25 ranks and cosine ranks, the best turns whole until the budget is full. `cold` is reading the
partition from its stored bytes, and the first query.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from convmem.bench.machine import surroundings
from convmem.embed.resolve import resolve
from convmem.recall import Partition, Query, analyze_turn, encode, pack, search
from convmem.recall.analyze import count_terms, words
from convmem.tokens.estimate import Remembered, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_DIM = 384
_TOPICS = 200
_SESSION = 20
_K = 60
_DAY = 86_400
_NOW = datetime(2026, 11, 20, tzinfo=UTC)

# The conversation.


class Vocabulary:
    """Words that nobody has, as many as a chat has, and as often as Zipf's law says."""

    def __init__(self, chance: random.Random, size: int, *, chinese: bool) -> None:
        self._chance = chance
        self._between = "" if chinese else " "
        self._words = [self._word(chinese=chinese) for _ in range(size)]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(size)))

    def _word(self, *, chinese: bool) -> str:
        if chinese:
            return "".join(chr(0x4E00 + int(self._chance.triangular(0, 5_000, 0))) for _ in range(2))
        syllables = self._chance.choice((1, 2, 2, 3, 3, 4))
        pick = self._chance.choice
        return "".join(
            pick("bcdfghklmnprstvw") + pick("aeiou") + pick(("", "n", "r", "s")) for _ in range(syllables)
        )

    def text(self, length: int) -> str:
        """So many words in sentences of a dozen."""
        found = self._chance.choices(self._words, cum_weights=self._weights, k=length)
        stop = ". " if self._between else "。"
        return (
            stop.join(self._between.join(found[at : at + 12]) for at in range(0, length, 12)) + stop.strip()
        )


@dataclass(frozen=True, slots=True)
class History:
    """One user's turns: their texts, their entries as stored, their vectors."""

    texts: dict[str, str]
    stored: list[bytes]
    vectors: NDArray[np.float32]


def history(count: int, seed: int) -> History:
    """Sessions of twenty turns, user and assistant by turns, every other session in Chinese."""
    chance = random.Random(seed)
    spoken = [Vocabulary(chance, 30_000, chinese=chinese) for chinese in (False, True)]
    noise = np.random.default_rng(seed)
    topics = noise.standard_normal((_TOPICS, _DIM))
    texts: dict[str, str] = {}
    stored: list[bytes] = []
    about: list[int] = []
    for n in range(count):
        session, user = n // _SESSION, n % 2 == 0
        if n % _SESSION == 0:
            topic = chance.randrange(_TOPICS)
        length = int(chance.lognormvariate(2.9, 0.7) if user else chance.lognormvariate(4.2, 0.8)) + 2
        texts[f"t{n}"] = text = spoken[session % 2].text(min(length, 600))
        at = _NOW.timestamp() - _DAY * (count - n) / 100
        role = "user" if user else "assistant"
        stored.append(encode(analyze_turn(text, id=f"t{n}", session=f"s{session}", role=role, at=at)))
        about.append(topic)
    vectors = topics[about] + 1.5 * noise.standard_normal((count, _DIM))
    return History(texts, stored, _unit(vectors))


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def questions(of: History, count: int, seed: int) -> list[Query]:
    """Questions with some words of a turn, whose vectors are near that turn's."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    found: list[Query] = []
    for n in (chance.randrange(len(of.stored)) for _ in range(count)):
        said = of.texts[f"t{n}"]
        start = chance.randrange(max(1, len(said) - 40))
        vector = _unit(of.vectors[n] + 0.05 * noise.standard_normal(_DIM))
        found.append(Query(f"{said[start : start + 40].strip('.。')}?", vectors=vector, now=_NOW))
    return found


# What is timed.


def convmem_answer(
    of: History, budget: int, count: Callable[[str], int]
) -> Callable[[Partition, Query], int]:
    """Search and pack; answers the tokens that were used."""

    def texts(ids: Sequence[str]) -> dict[str, str]:
        return {name: of.texts[name] for name in ids}

    return lambda partition, query: pack(search(partition, query), texts, budget, count, fence=40).tokens


def fused_answer(of: History, budget: int, count: Callable[[str], int]) -> Callable[[Partition, Query], int]:
    """Reciprocal rank fusion (Cormack et al. 2009) of BM25 and cosines, nothing else."""

    def answer(partition: Partition, query: Query) -> int:
        lexical = _bm25(partition, query.text)
        dense = partition.vectors.matrix @ np.asarray(query.vectors, dtype=np.float32)
        fused = np.zeros(len(partition))
        for scores in (lexical, dense):
            fused[np.argsort(-scores, kind="stable")] += 1 / (_K + np.arange(1, len(partition) + 1))
        used = 0
        for row in np.argsort(-fused, kind="stable")[:200]:
            tokens = count(of.texts[partition.ids[row]])
            if used + tokens > budget:
                break
            used += tokens
        return used

    return answer


def _bm25(partition: Partition, text: str) -> NDArray[np.float64]:
    terms, _ = count_terms(words(text))
    which, where = partition.postings.find(terms)
    turns = partition.turn_of_passage[partition.postings.passages[where]]
    counts = partition.postings.counts[where].astype(np.float64)
    frequency = np.bincount(which, minlength=terms.size)
    idf = np.log1p((len(partition) - frequency + 0.5) / (frequency + 0.5))
    length = partition.length
    norm = 1.2 * (0.25 + 0.75 * length / max(1.0, float(length.mean())))
    return np.bincount(turns, idf[which] * counts * 2.2 / (counts + norm[turns]), minlength=len(partition))


def timed(
    answer: Callable[[Partition, Query], int], partition: Partition, asked: Sequence[Query]
) -> list[float]:
    """Milliseconds of each question, in ascending order."""
    took: list[float] = []
    for query in asked:
        started = time.perf_counter()
        answer(partition, query)
        took.append((time.perf_counter() - started) * 1_000)
    return sorted(took)


def row(name: str, took: Sequence[float]) -> str:
    """A row of the table."""
    return f"| {name} | {took[len(took) // 2]:.1f} | {took[int(len(took) * 0.95)]:.1f} |"


def measure(count: int, *, budget: int, asked: int, seed: int, profile: bool) -> None:
    """Print the figures for a memory of so many turns."""
    started = time.perf_counter()
    of = history(count, seed)
    print(f"\n## {count:,} turns, {sum(map(len, of.stored)) / 1e6:.0f} MB of entries\n")
    print(f"made and analysed {count / (time.perf_counter() - started):,.0f} turns a second\n")
    tokens = Remembered(estimate)
    ours, plain = convmem_answer(of, budget, tokens), fused_answer(of, budget, tokens)
    queries = questions(of, asked + 1, seed)
    started, used = time.perf_counter(), time.process_time()
    partition = Partition.from_encoded(of.stored, of.vectors)
    read = time.perf_counter()
    ours(partition, queries[0])
    first, used = time.perf_counter(), time.process_time() - used
    print(f"cold: {(first - started) * 1e3:.0f} ms, of them {(read - started) * 1e3:.0f} reading;")
    print(f"{used * 1e3:.0f} ms of processor time\n")
    print("| | p50 ms | p95 ms |\n|---|---|---|")
    plain(partition, queries[0])
    took, fused = timed(ours, partition, queries[1:]), timed(plain, partition, queries[1:])
    print(row(f"convmem, {budget} tokens packed", took))
    print(row("plain RRF over the same arrays", fused))
    print(f"| ratio | {took[len(took) // 2] / fused[len(took) // 2]:.1f} | |")
    if profile:
        profiler = cProfile.Profile()
        profiler.runcall(timed, ours, partition, queries[1:51])
        pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def embedding(count: int, seed: int) -> None:
    """Print how many turns a second the local embedder takes, on one core."""
    embedder = resolve("local")
    if embedder is None:
        return
    texts = list(history(count, seed).texts.values())
    embedder.embed(texts[:8], "passage")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    started = time.process_time()
    embedder.embed(texts, "passage")
    print(f"\nembedding: {count / (time.process_time() - started):.1f} turns per second of one core's time")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", default="10000", help="sizes of the memory, with commas")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--budget", type=int, default=2_000)
    parser.add_argument("--embed", type=int, default=0, help="how many turns to embed; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", action="store_true", help="also print where the time goes")
    given = parser.parse_args()
    print(
        {name: value for name, value in surroundings().items() if name in {"numpy", "python", "cpu", "cores"}}
    )
    for count in map(int, given.turns.split(",")):
        measure(count, budget=given.budget, asked=given.queries, seed=given.seed, profile=given.profile)
    if given.embed:
        embedding(given.embed, given.seed)


if __name__ == "__main__":
    main()
