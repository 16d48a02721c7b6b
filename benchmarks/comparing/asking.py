"""Questions put to convmem and to what it is compared with, over one conversation."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmem.bench.asking import Asking, Means, recalled
from convmem.bench.rows import ALL, Outcome, Row

from . import ablation, peers
from .baselines import DENSE
from .peers import Embedding
from .rivals import Rivals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from convmem.bench.datasets import Conversation, Question

    from .peers import Peer
    from .rivals import Asked

__all__ = ["FULL", "Ablating", "Comparing", "ComparingMeans"]

FULL = "full history"


@dataclass(frozen=True, kw_only=True)
class ComparingMeans(Means):
    """What questions are put with, and to whom besides: baselines and other memories, by name."""

    baselines: Sequence[str] = ()
    peers: Sequence[str] = ()


class Comparing(Asking):
    """Questions to convmem and its rivals, over one conversation."""

    means: ComparingMeans

    def __init__(self, means: ComparingMeans, conversation: Conversation) -> None:
        super().__init__(means, conversation)
        self._everything: Asked | None = None

    def __enter__(self) -> Self:
        means = self.means
        with ExitStack() as stack:
            stack.callback(self.replay.close)
            made: dict[str, Peer] = {}
            for name in means.peers:
                if means.cached is not None:
                    made[name] = peer = peers.maker(name)(Embedding(means.cached))
                    stack.callback(peer.close)
            wanted = [name for name in means.baselines if means.cached is not None or name not in DENSE]
            self._rivals = Rivals(self.conversation, means.cached, wanted, made, means.count)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def compare(self, row: Row, question: Question) -> None:
        """Put the question to the rivals."""
        self._everything = None
        for system, asked in self._rivals.ask(question).items():
            if system not in {"full", "oracle", "last-n"}:
                row.ranked[system] = asked.ranked()
            if system == "full":
                self._everything = asked
            if question.answerable:
                row.found[system] = self._outcomes(question, system, asked)

    def _outcomes(self, question: Question, system: str, asked: Asked) -> dict[int, Outcome]:
        if system == "full":
            return {ALL: Outcome(1.0, 1.0, 1.0, 1.0, 1.0, self._rivals.all_tokens(asked), None)}
        return {
            budget: self.means.judged(question, self._rivals.context(asked, budget), budget, system)
            for budget in self.means.budgets
        }

    def requests(self, question: Question) -> dict[str, Any]:
        """Also the full history, where that is among the baselines."""
        requests = super().requests(question)
        if self._everything is not None:
            *running, last = self.replay.own(question)
            context = self._rivals.context(self._everything, None)
            requests[FULL] = [*running, {**last, "content": context.text + question.text}]
        return requests


class Ablating(Asking):
    """The same questions with each step of the ranking off, over one conversation."""

    def rows(self, questions: Sequence[Question]) -> Iterator[Row]:
        """All rows, when every variant was asked."""
        self.replay.record(questions[0].known)
        rows = [Row.of(question) for question in questions]
        for name, settings in ablation.variants().items():
            self.replay.use(settings)
            for row, question in zip(rows, questions, strict=True):
                if question.answerable:
                    row.found[name] = recalled(self.means, self.replay, question)
        yield from rows
