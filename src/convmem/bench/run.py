"""A run: every set's questions to convmem and to what it is compared with."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from convmem.bench import peers, renaming, summary
from convmem.bench.asking import Ablating, Asking
from convmem.bench.baselines import DENSE
from convmem.bench.progress import Progress
from convmem.bench.replay import embedded_texts, spoken_texts
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked, and with what.

    Attributes:
        means: what questions are put with.
        embedder: the one behind the cache, to time it.
        limit, seed: so many questions of each set, drawn by the seed.
        timed: so many questions are embedded anew.
        ablation: also every step off, one at a time.
        rename, shift_days: also under other names and dates.
        out: where lines go.
        settings: what is told of all this.
    """

    means: Means
    embedder: Embedder | None
    limit: int | None = None
    seed: int = 0
    timed: int = 0
    ablation: bool = False
    rename: bool = False
    shift_days: int = 0
    out: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def measure(self, whole: DataSet) -> Report:
        """Put a set's questions, and what else was asked for; what is on disk already is not done again."""
        data = self._chosen(whole)
        self._embed(data)
        rows = self._rows(data, "", lambda conversation: Asking(self.means, conversation))
        more: dict[str, Any] = {}
        if self.means.peers:
            more["peers"] = {
                name: {"releases": peers.releases(name), "embeds": peers.embedded(peers.maker(name))}
                for name in self.means.peers
            }
        if self.timed and self.embedder is not None and rows:
            more["latency"] = summary.timed(rows, self._embedding_ms(data, self.embedder))
        if self.means.model is not None:
            more["answers"] = summary.answered(rows)
        if self.ablation:
            made = self._rows(data, ".ablation", lambda conversation: Ablating(self.means, conversation))
            more["ablation"] = summary.ablated(made, self.seed)
        if self.rename or self.shift_days:
            more["renaming"] = self._renamed(data, rows)
        return Report(data.name, data.left_out, self.settings, summary.summarize(rows, self.seed), more)

    def _chosen(self, data: DataSet) -> DataSet:
        if self.limit is None or self.limit >= len(data.questions):
            return data
        drawn = sorted(random.Random(self.seed).sample(range(len(data.questions)), self.limit))
        return replace(data, questions=tuple(data.questions[i] for i in drawn))

    def _embed(self, data: DataSet) -> None:
        """Embed what is not kept yet."""
        cached = self.means.cached
        if cached is None:
            return
        conversations = {id(q.conversation): q.conversation for q in data.questions}.values()
        others = bool(self.means.peers) or not DENSE.isdisjoint(self.means.baselines)
        kinds = (embedded_texts, spoken_texts) if others else (embedded_texts,)
        passages = (text for told in kinds for conversation in conversations for text in told(conversation))
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

    def _rows(
        self, data: DataSet, what: str, open_: Callable[[Conversation], Asking | Ablating]
    ) -> list[Row]:
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

    def _renamed(self, data: DataSet, rows: Sequence[Row]) -> dict[str, Any]:
        changed = renaming.changed(data, rename=self.rename, days=self.shift_days)
        self._embed(changed)
        alone = replace(self.means, baselines=(), peers=(), model=None)
        made = self._rows(changed, ".renamed", lambda conversation: Asking(alone, conversation))
        named = any(turn.speaker for question in data.questions for turn in question.conversation.turns)
        names = "other names" if named else "other names (nobody has one)"
        what = [names] if self.rename else []
        what += [f"{self.shift_days:+} days"] if self.shift_days else []
        return {"what": ", ".join(what), **summary.renamed(rows, made, self.seed)}

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
