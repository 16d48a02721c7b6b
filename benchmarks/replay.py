"""A conversation lived through with convmem, by its public API alone, and questions put to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import convmem
from counting import MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from convmem.types import Prepared
    from datasets import Conversation, Question, Turn
    from vectors import CachedOnDisk

__all__ = ["Context", "Replay", "message"]

_SESSION = "benchmark"
_ELLIPSIS = " … "


@dataclass(frozen=True, slots=True)
class Context:
    """What a system put in front of a question.

    Attributes:
        text: all of it, fence and separators included.
        whole: ids of the turns that stand in it whole.
        shares: for turns of which passages stand in it, the share of their characters.
        ms: how long recall took, the embedding of the question not included.
    """

    text: str
    whole: set[str]
    shares: dict[str, float] = field(default_factory=dict[str, float])
    ms: float | None = None


def message(turn: Turn) -> dict[str, Any]:
    """A turn as a chat message."""
    made = {"role": turn.role, "content": turn.text}
    return {**made, "name": turn.speaker} if turn.speaker else made


class Replay:
    """One user's memory of one conversation, filled as far as the questions need.

    Args:
        conversation: what is recorded, session by session.
        embedder: None for words alone.
    """

    def __init__(self, conversation: Conversation, embedder: CachedOnDisk | None) -> None:
        self._conversation = conversation
        self._now = datetime(2000, 1, 1, tzinfo=UTC)
        self._known = 0
        self._turn_of: dict[str, Turn] = {}
        # "full" adds nothing but recall: an app that sends a session's turns itself gets no summary of them.
        self._memory = convmem.Memory(
            ":memory:",
            policy="full",
            embedder=embedder,
            deadline_ms=60_000,
            tz=UTC,
            clock=lambda: self._now,
        )

    def record(self, known: int) -> None:
        """Record the turns before this position that were not recorded yet, and make their views."""
        begin = 0
        for session in self._conversation.sessions:
            turns = list(islice(session.turns, max(0, self._known - begin), max(0, known - begin)))
            begin += len(session.turns)
            if turns:
                ids = self._memory.record(
                    [message(turn) for turn in turns],
                    user=self._conversation.id,
                    session=session.name,
                    at=session.at,
                    append=True,
                )
                self._turn_of.update(zip(ids, turns, strict=True))
        self._known = max(self._known, known)
        if not self._memory.reindex():
            raise RuntimeError(f"the views of {self._conversation.id} cannot be made: is the embedder well?")

    def ask(self, question: Question, budget: int) -> Context:
        """Have a request prepared that ends with the question, and read what was put in front of it."""
        self._now = question.now
        before = [message(turn) for turn in self._running(question)]
        prepared = self._memory.prepare(
            [*before, {"role": "user", "content": question.text}],
            user=self._conversation.id,
            session=question.session or _SESSION,
            model=MODEL,
            budget=budget,
        )
        return self._read(prepared, question.text, before)

    def _running(self, question: Question) -> Sequence[Turn]:
        """The turns of the session in which the question is put: the app sends them itself."""
        begin = 0
        for session in self._conversation.sessions:
            if session.name == question.session:
                return session.turns[: question.known - begin]
            begin += len(session.turns)
        return ()

    def _read(self, prepared: Prepared, question: str, before: Sequence[dict[str, Any]]) -> Context:
        *earlier, last = prepared.messages
        content = str(last["content"])
        if earlier != list(before) or not content.endswith(question):
            raise RuntimeError("more was added than a block in front of the question")
        text = content.removesuffix(question)
        whole: set[str] = set()
        shares: dict[str, float] = {}
        for recalled in prepared.receipt.recalled:
            turn = self._turn_of[recalled.id]
            if not recalled.trimmed and recalled.text in text:
                whole.add(turn.id)
            elif recalled.trimmed:
                shown = sum(len(passage) for passage in recalled.text.split(_ELLIPSIS) if passage in text)
                shares[turn.id] = max(shares.get(turn.id, 0.0), shown / len(turn.text))
        return Context(text, whole, shares, prepared.receipt.ms.get("recall"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()
