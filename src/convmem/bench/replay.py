"""A conversation lived through with convmem, by its public API, and questions put to it.

Only the ranking, its margin and its weights are no part of that API; for these `Memory._engine` is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import convmem
from convmem.abilities import OwnerRef
from convmem.bench.counting import MODEL
from convmem.retrieve.indexer import spoken
from convmem.retrieve.recaller import Question as Search
from convmem.wire.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from convmem.bench.datasets import Conversation, Question, Turn
    from convmem.bench.vectors import CachedOnDisk
    from convmem.policy import Policy
    from convmem.recall import Settings
    from convmem.types import Message, Prepared

__all__ = ["Context", "Replay", "embedded_texts", "message"]

_SESSION = "benchmark"
_ELLIPSIS = " … "
_SUMMARY_ENDS = "</summary>\n\n"
"""No quoted text can hold this."""
_CONTEXT_TURNS = 2
_RANKED = 200


@dataclass(frozen=True, slots=True)
class Context:
    """What a system put in front of a question.

    Attributes:
        text: all of it, fence and separators included.
        whole: ids of the turns that stand in it whole.
        shares: for turns of which passages stand in it, the share of their characters.
        ms: how long recall took, the embedding of the question not included.
        more: what else was added to the request: the summary of rounds that left the window.
    """

    text: str
    whole: set[str]
    shares: dict[str, float] = field(default_factory=dict[str, float])
    ms: float | None = None
    more: str = ""


def message(turn: Turn) -> dict[str, Any]:
    """A turn as a chat message."""
    made = {"role": turn.role, "content": turn.text}
    return {**made, "name": turn.speaker} if turn.speaker else made


def embedded_texts(conversation: Conversation) -> list[str]:
    """What convmem embeds of each turn."""
    return [spoken(turn.text) for turn in conversation.turns]


class Replay:
    """One user's memory of one conversation, filled as far as the questions need.

    Args:
        conversation: what is recorded, session by session.
        embedder: None for words alone.
        policy: what is sent. "full" adds nothing but recall.
    """

    def __init__(
        self, conversation: Conversation, embedder: CachedOnDisk | None, policy: str | Policy = "full"
    ) -> None:
        self._conversation = conversation
        self._now = datetime(2000, 1, 1, tzinfo=UTC)
        self._known = 0
        self._turn_of: dict[str, Turn] = {}
        self._id_of: dict[str, str] = {}
        self._memory = convmem.Memory(
            ":memory:",
            policy=policy,
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
                self._id_of.update((turn.id, id_) for id_, turn in zip(ids, turns, strict=True))
        self._known = max(self._known, known)
        if not self._memory.reindex():
            raise RuntimeError(f"the views of {self._conversation.id} cannot be made: is the embedder well?")

    def own(self, question: Question) -> list[dict[str, Any]]:
        """What the app itself sends: the running session, and the question."""
        running = [message(turn) for turn in self._running(question)]
        return [*running, {"role": "user", "content": question.text}]

    def prepare(self, question: Question, budget: int) -> Prepared:
        """A request that ends with the question, as it would be sent."""
        self._now = question.now
        return self._memory.prepare(
            self.own(question),
            user=self._conversation.id,
            session=question.session or _SESSION,
            model=MODEL,
            budget=budget,
        )

    def ask(self, question: Question, budget: int) -> Context:
        """What a request that ends with the question has put in front of it."""
        prepared = self.prepare(question, budget)
        return self._read(prepared, question.text, self.own(question)[:-1])

    def rank(self, question: Question) -> tuple[list[tuple[str, str]], float]:
        """The best turns with their sessions, best first; and how far the best stands out.

        Here small talk is searched for too, and what does not stand out is ranked all the same.
        """
        self._now = question.now
        recaller = self._memory._engine.recaller  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        owner = OwnerRef(self._conversation.id)
        vectors, note = recaller.vectors_of(recaller.ask_soon(question.text, owner).wait().vectors)
        if note:
            raise RuntimeError(note)
        running = self._running(question)
        search = Search(
            owner=owner,
            text=question.text,
            now=question.now,
            context=tuple(turn.text for turn in running[-_CONTEXT_TURNS:]),
            session=question.session,
            exclude={self._id_of[turn.id] for turn in running},
            top_k=_RANKED,
            searching=True,
        )
        ranking = recaller.rank(recaller.load(owner), search, vectors)
        return [(self._turn_of[hit.id].id, hit.session) for hit in ranking.hits], ranking.margin

    def close(self) -> None:
        """Forget it all."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use(self, settings: Settings | None) -> None:
        """Rank by these weights from now on; None for those shipped."""
        recaller = self._memory._engine.recaller  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        recaller.settings = settings
        recaller.partitions.drop()  # whatever was computed by the weights of before

    def _running(self, question: Question) -> Sequence[Turn]:
        """The turns of the session in which the question is put: the app sends them itself."""
        begin = 0
        for session in self._conversation.sessions:
            if session.name == question.session:
                return session.turns[: question.known - begin]
            begin += len(session.turns)
        return ()

    def _read(self, prepared: Prepared, question: str, sent: Sequence[Message]) -> Context:
        *earlier, last = prepared.messages
        content = str(last["content"])
        if not content.endswith(question):
            raise RuntimeError("something was added behind the question")
        summary, end, text = content.removesuffix(question).rpartition(_SUMMARY_ENDS)
        whole: set[str] = set()
        shares: dict[str, float] = {}
        for recalled in prepared.receipt.recalled:
            turn = self._turn_of[recalled.id]
            if not recalled.trimmed and quoted(recalled.text) in text:
                whole.add(turn.id)
            elif recalled.trimmed:
                shown = sum(
                    len(passage) for passage in recalled.text.split(_ELLIPSIS) if quoted(passage) in text
                )
                shares[turn.id] = max(shares.get(turn.id, 0.0), shown / len(turn.text))
        more = _added(earlier, sent) + summary + end
        return Context(text, whole, shares, prepared.receipt.ms.get("recall"), more)


def _added(earlier: Sequence[Message], sent: Sequence[Message]) -> str:
    """What the messages in front of the newest one have that the app did not send.

    Raises:
        RuntimeError: a message that is not the app's, nor the app's with something in front of it.
    """
    kept = sent[len(sent) - len(earlier) :] if len(earlier) <= len(sent) else ()
    if len(kept) != len(earlier):
        raise RuntimeError("messages were put back that the app sends itself")
    added = ""
    for made, own in zip(earlier, kept, strict=True):
        if not str(made["content"]).endswith(str(own["content"])):
            raise RuntimeError("a message of the app was changed")
        added += str(made["content"]).removesuffix(str(own["content"]))
    return added
