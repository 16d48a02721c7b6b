"""A run: every set's questions to convmem, and the figures of the answers."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from convmem.bench import summary
from convmem.bench.asking import Asking
from convmem.bench.progress import Progress
from convmem.bench.replay import embedded_texts
from convmem.bench.report import Report, note
from convmem.bench.rows import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from convmem.bench.asking import Means
    from convmem.bench.datasets import Conversation, DataSet, Question
    from convmem.bench.rows import Row
    from convmem.embed import Embedder, Kind

__all__ = ["Run"]

_EMBEDDED_AT_ONCE = 16
_ASKED_AT_ONCE = 25


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the benchmark: who is asked, which questions, and where the rows are kept.

    Attributes:
        means: what questions are put with.
        embedder: the one behind the cache, to time it.
        limit, seed: so many questions of each set, drawn by the seed.
        timed: so many questions are embedded anew.
        out: where lines go.
        settings: what is told of all this.
    """

    means: Means
    embedder: Embedder | None
    limit: int | None = None
    seed: int = 0
    timed: int = 0
    out: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def measure(self, whole: DataSet) -> Report:
        """Put a set's questions, and what else was asked for; what is on disk already is not done again."""
        data = self._chosen(whole)
        self.embed(data)
        rows = self.rows(data, "", self.asking)
        more: dict[str, Any] = {}
        if self.timed and self.embedder is not None and rows:
            more["latency"] = summary.timed(rows, self._embedding_ms(data, self.embedder))
        if self.means.model is not None:
            more["answers"] = summary.answered(rows)
        besides, said = self.besides(data, rows)
        figures = summary.summarize(rows, self.seed)
        return Report(data.name, data.left_out, self.settings, figures, more | besides, said)

    # What a run that asks for more does otherwise.

    def asking(self, conversation: Conversation) -> Asking:
        """What puts the questions about a conversation."""
        return Asking(self.means, conversation)

    def texts(self, conversation: Conversation) -> Iterator[str]:
        """What is embedded of a conversation."""
        yield from embedded_texts(conversation)

    def besides(self, data: DataSet, rows: Sequence[Row]) -> tuple[dict[str, Any], list[str]]:  # noqa: ARG002
        """More figures by name, and paragraphs about them; there are none here."""
        return {}, []

    def _chosen(self, data: DataSet) -> DataSet:
        if self.limit is None or self.limit >= len(data.questions):
            return data
        drawn = sorted(random.Random(self.seed).sample(range(len(data.questions)), self.limit))
        return replace(data, questions=tuple(data.questions[i] for i in drawn))

    def embed(self, data: DataSet) -> None:
        """Embed those texts of a set whose vectors are not kept yet."""
        cached = self.means.cached
        if cached is None:
            return
        conversations = {id(q.conversation): q.conversation for q in data.questions}.values()
        passages = (text for conversation in conversations for text in self.texts(conversation))
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

    def rows(self, data: DataSet, what: str, open_: Callable[[Conversation], Asking]) -> list[Row]:
        """The rows of all questions, in their order."""
        path = self.out / f"{data.name}{what}.jsonl" if self.out is not None else None
        lines = Lines(path, {**self.settings, "data": _digest(data)})
        if lines.anew and path is not None:
            note(f"{path.name}: begun anew, for the earlier run differs in {lines.anew}")
        elif lines.rows:
            note(f"{data.name}{what}: {len(lines.rows)} of {len(data.questions)} questions are there already")
        open_questions = [question for question in data.questions if question.id not in lines.rows]
        label = f"{data.name}{what.replace('.', ' ')}"
        with Progress(label, len(open_questions), "questions") as progress:
            for _, asked in groupby(open_questions, key=lambda question: question.conversation.id):
                questions = list(asked)
                with open_(questions[0].conversation) as asking:
                    for together in _together(questions):
                        for row in asking.rows(together):
                            lines.add(row)
                            progress.add()
        return [lines.rows[question.id] for question in data.questions]

    def _embedding_ms(self, data: DataSet, embedder: Embedder) -> dict[str, float]:
        """Milliseconds of embedding by question, one by one, past the cache; the first is not timed."""
        answerable = [question for question in data.questions if question.answerable]
        drawn = random.Random(self.seed).sample(answerable, min(self.timed, len(answerable)))
        embedder.embed(["warm"], "query")
        taken: dict[str, float] = {}
        for question in drawn:
            began = time.perf_counter()
            embedder.embed([question.text], "query")
            taken[question.id] = (time.perf_counter() - began) * 1_000
        return taken


def _together(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions that know the same turns, some at a time: what is done for them together is lost together."""
    for _, same in groupby(questions, key=lambda question: question.known):
        asked = list(same)
        for begin in range(0, len(asked), _ASKED_AT_ONCE):
            yield asked[begin : begin + _ASKED_AT_ONCE]


def _digest(data: DataSet) -> str:
    """A short hash of what is asked about what."""
    digest = hashlib.blake2b(digest_size=6)
    seen: set[int] = set()
    for question in data.questions:
        digest.update(repr((question.id, question.text, question.answer, question.gold)).encode())
        if id(question.conversation) not in seen:
            seen.add(id(question.conversation))
            digest.update(repr(question.conversation).encode("utf-8", "replace"))
    return digest.hexdigest()
