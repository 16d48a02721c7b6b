"""Does what was said come back? Gold turns inside the context that convmem puts in front of a question.

    python benchmarks/recall.py --data DIR --out results --cache vectors
    python benchmarks/recall.py --data DIR --sets locomo,locomo_zh --budget 512,1024 --baselines bm25,dense
    python benchmarks/recall.py --data DIR --embedder none --limit 50 --seed 1

DIR holds a data set, or folders that do (see `datasets.py`). Each conversation is recorded with
`Memory.record` and each question goes through `Memory.prepare`, so this measures what an app gets: ranking,
packing, fence and date headers. A gold turn counts when its whole text stands in what was added (strict), or
by the share of its characters that does (kept). Tokens are those of everything that was added, by o200k.
No model is asked anything.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import baselines
import datasets
from convmem import Turn
from convmem.embed.resolve import resolve
from convmem.indexer import spoken
from counting import counter
from measures import judge
from progress import Progress
from replay import Context, Replay, message
from report import ALL, Answer, Outcome, Row, markdown, note, surroundings, write
from vectors import CachedOnDisk

if TYPE_CHECKING:
    from convmem.embed import Embedder, Kind
    from datasets import Conversation, DataSet, Question

Count = Callable[[str], int]

_EMBEDDED_AT_ONCE = 16


class BudgetExceededError(AssertionError):
    """A context had more tokens than were allowed."""


def main(arguments: Sequence[str] | None = None, *, embedder: Embedder | None = None) -> int:
    """Do what the command line says; `embedder` stands in for the one named there."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="convmem-recall-") as scratch:
        tables = options.cache or Path(scratch)
        count, counted = counter(tables / "tiktoken")
    if counted.startswith("estimate"):
        note(f"NOTE: tokens are not counted but {counted}")
    made = embedder if embedder is not None else resolve(options.embedder)
    cached = CachedOnDisk(made, options.cache) if made is not None else None
    wanted = list(options.baselines)
    if cached is None and "dense" in wanted:
        wanted.remove("dense")
        note("No embedder: the baseline dense is left out")
    settings = {
        "budgets": options.budget,
        "tokens": counted,
        "embedder": made.fingerprint if made is not None else "none",
        "limit": options.limit,
        "seed": options.seed,
        "versions": surroundings(),
    }
    try:
        for folder in datasets.find(options.data, options.sets):
            chosen = _chosen(datasets.load(folder), options.limit, options.seed)
            if cached is not None:
                _embed(chosen, cached)
            rows = list(_rows(chosen, cached, options.budget, wanted, count))
            answer = Answer(chosen.name, rows, chosen.left_out, settings)
            if options.out is not None:
                write(answer, options.out)
            print(markdown(answer), flush=True)
    finally:
        if cached is not None:
            cached.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Does what was said come back?", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a data set, or a folder of data sets")
    parser.add_argument("--sets", type=_words, default=[], help="of a folder of data sets, only these")
    parser.add_argument("--budget", type=_numbers, default="512,1024,2048,4096", help="tokens")
    parser.add_argument(
        "--baselines", type=_baselines, default=",".join(baselines.NAMES), help="to compare with, or none"
    )
    parser.add_argument("--embedder", default="auto", help="as for Memory: auto, none, local, …")
    parser.add_argument("--cache", type=Path, help="where embeddings are kept between runs")
    parser.add_argument("--limit", type=int, help="so many questions of each set, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where SET.jsonl and SET.md are written")
    return parser


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return sorted({int(word) for word in _words(text)})


def _baselines(text: str) -> list[str]:
    names = [] if text == "none" else _words(text)
    if unknown := set(names) - set(baselines.NAMES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def _chosen(data: DataSet, limit: int | None, seed: int) -> DataSet:
    if limit is None or limit >= len(data.questions):
        return data
    drawn = sorted(random.Random(seed).sample(range(len(data.questions)), limit))
    return replace(data, questions=tuple(data.questions[i] for i in drawn))


def _embed(data: DataSet, cached: CachedOnDisk) -> None:
    """Embed what is not kept yet."""
    conversations = {id(q.conversation): q.conversation for q in data.questions}.values()
    passages = (text for conversation in conversations for text in _spoken(conversation))
    work: list[tuple[Kind, list[str]]] = [
        ("passage", cached.missing(passages, "passage")),
        ("query", cached.missing((question.text for question in data.questions), "query")),
    ]
    for kind, texts in work:
        if not texts:
            continue
        with Progress(f"{data.name}: embedding", len(texts), f"{kind} texts") as progress:
            for begin in range(0, len(texts), _EMBEDDED_AT_ONCE):
                batch = texts[begin : begin + _EMBEDDED_AT_ONCE]
                cached.embed(batch, kind)
                progress.add(len(batch))


def _spoken(conversation: Conversation) -> list[str]:
    """What convmem embeds of each turn."""
    return [
        spoken(
            Turn(
                id=turn.id,
                seq=0,
                session=session.name,
                user=None,
                parent=None,
                role=turn.role,
                text=turn.text,
                payload=message(turn),
                state="answered",
                at=session.at,
            )
        )
        for session in conversation.sessions
        for turn in session.turns
    ]


def _rows(
    data: DataSet, cached: CachedOnDisk | None, budgets: Sequence[int], wanted: Sequence[str], count: Count
) -> Sequence[Row]:
    rows: list[Row] = []
    with Progress(data.name, len(data.questions), "questions") as progress:
        for _, asked in groupby(data.questions, key=lambda question: question.conversation.id):
            questions = list(asked)
            conversation = questions[0].conversation
            rivals = _Rivals(conversation, cached, wanted, count)
            with Replay(conversation, cached) as replay:
                for question in questions:
                    replay.record(question.known)
                    row = Row(question.id, conversation.id, question.category, question.gold)
                    row.found["convmem"] = _recalled(replay, question, budgets, count)
                    row.found.update(rivals.found(question, budgets))
                    rows.append(row)
                    progress.add()
    return rows


def _recalled(replay: Replay, question: Question, budgets: Sequence[int], count: Count) -> dict[int, Outcome]:
    replay.ask(question, budgets[0])  # embeds the question and reads what is new, which is not timed
    return {
        budget: _judged(question, replay.ask(question, budget), budget, count, "convmem")
        for budget in budgets
    }


def _judged(question: Question, context: Context, budget: int, count: Count, system: str) -> Outcome:
    tokens = count(context.text) if context.text else 0
    if budget != ALL and tokens > budget:
        raise BudgetExceededError(f"{system} took {tokens} tokens of {budget} for {question.id}")
    found = judge(question.gold, context.shares, context.whole)
    return Outcome(found.strict, found.kept, tokens, context.ms)


class _Rivals:
    """The baselines, over one conversation."""

    def __init__(
        self, conversation: Conversation, cached: CachedOnDisk | None, wanted: Sequence[str], count: Count
    ) -> None:
        self._wanted = wanted
        self._count = count
        self._cached = cached
        turns = [(session, turn) for session in conversation.sessions for turn in session.turns]
        labels = [f"{turn.speaker or turn.role}: {turn.text}" for _, turn in turns]
        self._lines = [
            baselines.Line(turn.id, session.name, session.at.date().isoformat(), label)
            for (session, turn), label in zip(turns, labels, strict=True)
        ]
        self._sessions = np.array([session.name for session, _ in turns])
        texts = [label if turn.speaker else turn.text for (_, turn), label in zip(turns, labels, strict=True)]
        vectors = cached.embed(_spoken(conversation), "passage") if cached and "dense" in wanted else None
        self._corpus = baselines.Corpus(texts, vectors)
        self._everything: dict[tuple[int, str | None], int] = {}

    def found(self, question: Question, budgets: Sequence[int]) -> dict[str, dict[int, Outcome]]:
        """The outcomes by system and budget."""
        usable = np.arange(len(self._lines)) < question.known
        if question.session is not None:
            usable &= self._sessions != question.session
        vector = self._cached.embed([question.text], "query")[0] if self._cached is not None else None
        found: dict[str, dict[int, Outcome]] = {}
        for system in self._wanted:
            order = self._corpus.order(system, question.text, vector, usable)
            if system == "full":
                found[system] = {ALL: self._all(question, order)}
                continue
            found[system] = {}
            for budget in budgets:
                text, whole = baselines.fill(
                    order, self._lines, budget, self._count, question=question.text, now=question.now
                )
                found[system][budget] = _judged(question, Context(text, whole), budget, self._count, system)
        return found

    def _all(self, question: Question, order: baselines.Order) -> Outcome:
        """All turns; their tokens are counted once, line by line (a whole of megabytes takes too long)."""
        key = (question.known, question.session)
        if key not in self._everything:
            self._everything[key] = sum(self._count(self._lines[row].text + "\n") for row in order.tolist())
        return Outcome(1.0, 1.0, self._everything[key], None)


if __name__ == "__main__":
    sys.exit(main())
