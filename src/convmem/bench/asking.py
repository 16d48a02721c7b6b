"""Questions put to convmem over one conversation, one row each.

`benchmarks/comparing/` in the repository puts the same questions to baselines and to other memories besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convmem.bench import answers
from convmem.bench.measures import judge
from convmem.bench.replay import Replay
from convmem.bench.rows import ALL, Outcome, Row, ranked
from convmem.bench.summary import CONVMEM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from convmem.bench.answers import Model
    from convmem.bench.datasets import Conversation, Question
    from convmem.bench.replay import Context
    from convmem.bench.vectors import CachedOnDisk
    from convmem.policy import Policy

__all__ = ["Asking", "BudgetExceededError", "Means", "recalled"]


class BudgetExceededError(AssertionError):
    """A context had more tokens than were allowed."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """The means by which questions are asked.

    Attributes:
        budgets: tokens that recall may take.
        policy: what convmem sends.
        cached: makes vectors, and remembers them; None for words alone.
        count: counts tokens.
        model: also what this model answers.
    """

    budgets: Sequence[int]
    policy: Policy
    cached: CachedOnDisk | None
    count: Callable[[str], int]
    model: Model | None = None

    def judged(self, question: Question, context: Context, budget: int, system: str) -> Outcome:
        """The outcome of a context: what of the gold turns stands in it, and its tokens.

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
    """Questions to convmem, over one conversation."""

    def __init__(self, means: Means, conversation: Conversation) -> None:
        self.means = means
        self.conversation = conversation
        self.replay = Replay(conversation, means.cached, means.policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.replay.close()

    def rows(self, questions: Sequence[Question]) -> Iterator[Row]:
        """One row after the other, of questions that know the same turns."""
        self.replay.record(questions[0].known)
        for question in questions:
            row = Row.of(question)
            self.replay.ask(question, self.means.budgets[0])  # reads what is new, which is not timed
            row.found[CONVMEM] = recalled(self.means, self.replay, question)
            row.ranked[CONVMEM] = ranked(*self.replay.rank(question))
            self.compare(row, question)
            if self.means.model is not None and question.answerable and question.answer:
                row.answers.update(self.means.model.answers(question, self.requests(question)))
            yield row

    def compare(self, row: Row, question: Question) -> None:
        """Ask others the same question; there are none here, `benchmarks/comparing/` overrides it."""

    def requests(self, question: Question) -> dict[str, Any]:
        """The messages that a model is asked with, by what they hold."""
        requests: dict[str, Any] = {answers.WITHOUT: self.replay.own(question)}
        for budget in self.means.budgets:
            requests[answers.memory_at(budget)] = self.replay.prepare(question, budget).messages
        return requests


def recalled(means: Means, replay: Replay, question: Question) -> dict[int, Outcome]:
    """The outcomes of convmem's contexts, by budget."""
    contexts = {budget: replay.ask(question, budget) for budget in means.budgets}
    return {budget: means.judged(question, made, budget, CONVMEM) for budget, made in contexts.items()}
