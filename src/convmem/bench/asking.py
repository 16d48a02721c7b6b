"""Questions put to convmem and to what it is compared with, over one conversation."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmem.bench import ablation, answers, peers
from convmem.bench.baselines import DENSE
from convmem.bench.measures import judge
from convmem.bench.peers import Embedding
from convmem.bench.replay import Replay
from convmem.bench.rivals import Rivals, ranked
from convmem.bench.rows import ALL, Outcome, Row
from convmem.bench.summary import CONVMEM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from convmem.bench.answers import Model
    from convmem.bench.datasets import Conversation, Question
    from convmem.bench.peers import Peer
    from convmem.bench.replay import Context
    from convmem.bench.rivals import Asked
    from convmem.bench.rows import Answered
    from convmem.bench.vectors import CachedOnDisk
    from convmem.policy import Policy

__all__ = ["Ablating", "Asking", "BudgetExceededError", "Means"]


class BudgetExceededError(AssertionError):
    """A context had more tokens than were allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What questions are put with.

    Attributes:
        budgets: tokens that recall may take.
        baselines, peers: what convmem is compared with.
        policy: what convmem sends.
        cached: makes vectors, and remembers them; None for words alone.
        count: counts tokens.
        model: also what this model answers.
    """

    budgets: Sequence[int]
    baselines: Sequence[str]
    peers: Sequence[str]
    policy: Policy
    cached: CachedOnDisk | None
    count: Callable[[str], int]
    model: Model | None = None

    def judged(self, question: Question, context: Context, budget: int, system: str) -> Outcome:
        """What a context is worth.

        Raises:
            BudgetExceededError: it has more tokens than the budget; counted by tiktoken, not by convmem.
        """
        tokens = self.count(context.text) if context.text else 0
        if budget != ALL and tokens > budget:
            raise BudgetExceededError(f"{system} took {tokens} tokens of {budget} for {question.id}")
        tokens += self.count(context.more) if context.more else 0
        if not question.answerable:
            return Outcome(0.0, 0.0, 0.0, 0.0, 0.0, tokens, context.ms)
        lengths = dict(zip(question.gold, question.gold_lengths, strict=True))
        found = judge(lengths, context.shares, context.whole)
        return Outcome(found.strict, found.kept, found.touched, found.any, found.all, tokens, context.ms)


class Asking:
    """Questions to convmem and its rivals, over one conversation."""

    def __init__(self, means: Means, conversation: Conversation) -> None:
        self._means = means
        self._conversation = conversation

    def __enter__(self) -> Self:
        means = self._means
        with ExitStack() as stack:
            self._replay = stack.enter_context(Replay(self._conversation, means.cached, means.policy))
            made: dict[str, Peer] = {}
            for name in means.peers:
                if means.cached is not None:
                    made[name] = peer = peers.maker(name)(Embedding(means.cached))
                    stack.callback(peer.close)
            wanted = [name for name in means.baselines if means.cached is not None or name not in DENSE]
            self._rivals = Rivals(self._conversation, means.cached, wanted, made, means.count)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rows(self, questions: Sequence[Question]) -> Iterator[Row]:
        """One row after the other, of questions that know the same turns."""
        self._replay.record(questions[0].known)
        for question in questions:
            row = _row(question)
            self._replay.ask(question, self._means.budgets[0])  # reads what is new, which is not timed
            row.found[CONVMEM] = _recalled(self._means, self._replay, question)
            found, margin = self._replay.rank(question)
            row.ranked[CONVMEM] = ranked(found, margin)
            everything = None
            for system, asked in self._rivals.ask(question).items():
                if system not in {"full", "oracle", "last-n"}:
                    row.ranked[system] = asked.ranked()
                if system == "full":
                    everything = asked
                if question.answerable:
                    row.found[system] = self._outcomes(question, system, asked)
            if self._means.model is not None and question.answerable and question.answer:
                row.answers.update(self._answers(self._means.model, question, everything))
            yield row

    def _outcomes(self, question: Question, system: str, asked: Asked) -> dict[int, Outcome]:
        if system == "full":
            return {ALL: Outcome(1.0, 1.0, 1.0, 1.0, 1.0, self._rivals.all_tokens(asked), None)}
        return {
            budget: self._means.judged(question, self._rivals.context(asked, budget), budget, system)
            for budget in self._means.budgets
        }

    def _answers(self, model: Model, question: Question, everything: Asked | None) -> dict[str, Answered]:
        *running, last = self._replay.own(question)
        requests: dict[str, Any] = {answers.WITHOUT: [*running, last]}
        for budget in self._means.budgets:
            requests[answers.memory_at(budget)] = self._replay.prepare(question, budget).messages
        if everything is not None:
            context = self._rivals.context(everything, None)
            requests[answers.FULL] = [*running, {**last, "content": context.text + question.text}]
        return model.answers(question, requests)


class Ablating:
    """The same questions with each step of the ranking off, over one conversation."""

    def __init__(self, means: Means, conversation: Conversation) -> None:
        self._means = means
        self._replay = Replay(conversation, means.cached, means.policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replay.close()

    def rows(self, questions: Sequence[Question]) -> Iterator[Row]:
        """All rows, when every variant was asked."""
        self._replay.record(questions[0].known)
        rows = [_row(question) for question in questions]
        for name, settings in ablation.variants().items():
            self._replay.use(settings)
            for row, question in zip(rows, questions, strict=True):
                if question.answerable:
                    row.found[name] = _recalled(self._means, self._replay, question)
        yield from rows


def _row(question: Question) -> Row:
    return Row(
        question.id,
        question.conversation.id,
        question.category,
        question.answerable,
        question.gold,
        question.gold_sessions,
    )


def _recalled(means: Means, replay: Replay, question: Question) -> dict[int, Outcome]:
    contexts = {budget: replay.ask(question, budget) for budget in means.budgets}
    return {budget: means.judged(question, made, budget, CONVMEM) for budget, made in contexts.items()}
