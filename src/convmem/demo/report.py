"""What came of a demo: values, the figures drawn from them, and all of it as one JSON object."""

from __future__ import annotations

import dataclasses
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.demo.data import Question
    from convmem.types import Message, Receipt, Tokens

__all__ = ["Asked", "Chat", "Quote", "Report", "percentile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A turn that was quoted to the model.

    Attributes:
        label: how it is introduced: speaker and turn id.
        rank: 1 for the best score among the turns quoted.
        whole: all of the turn stands there.
        evidence: it answers the question.
    """

    id: str
    label: str
    date: str
    text: str = field(repr=False)
    score: float
    rank: int
    why: tuple[str, ...]
    tokens: int
    whole: bool
    evidence: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, asked without and with memory.

    Attributes:
        alone: the messages that the provider received from the bare client.
        remembered: those it received from the wrapped client.
        quotes: in the order in which they stand there.
        tokens: of what the wrapped client sent, by section.
        prefix_tokens: of these, how many began the request as they began the one before.
        ms: milliseconds by step.
        notes: what the receipt says besides.
    """

    question: Question
    alone: Sequence[Message]
    remembered: Sequence[Message]
    quotes: tuple[Quote, ...]
    tokens: Tokens
    prefix_tokens: int | None
    ms: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> Quote | None:
        """The best of the quoted turns that answer the question, whole ones first."""
        hits = [quote for quote in self.quotes if quote.evidence]
        return min(hits, key=lambda quote: (not quote.whole, quote.rank), default=None)

    def as_json(self) -> dict[str, Any]:
        """The question as JSON."""
        found = self.found
        asked = {key: value for key, value in dataclasses.asdict(self.question).items() if value}
        return {
            **asked,
            "without_memory": {"messages": list(self.alone), "tokens": self.tokens.new},
            "with_memory": {
                "messages": list(self.remembered),
                "tokens": {**dataclasses.asdict(self.tokens), "total": self.tokens.total},
                "prefix_tokens": self.prefix_tokens,
                "recalled": [dataclasses.asdict(quote) for quote in self.quotes],
                "ms": _rounded(self.ms),
                "notes": list(self.notes),
            },
            **(
                {"found": found is not None, "rank": found.rank if found else None}
                if asked.get("evidence")
                else {}
            ),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """How the conversation came into the memory.

    Attributes:
        source: the file's name, or `built-in`.
        turns: how many turns are journaled.
        sessions: in how many sessions.
        ids: the turn ids of the lines, in their order.
        seconds: how long it took.
        receipts: of the calls, where it was played call by call through a wrapped client.
    """

    source: str
    turns: int
    sessions: int
    ids: tuple[str, ...] = field(repr=False)
    seconds: float
    receipts: tuple[Receipt, ...] = field(default=(), repr=False)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all requests."""
        return sum(receipt.tokens.total for receipt in self.receipts)

    @property
    def repeated_tokens(self) -> int:
        """Of these, how many began a request as they began the one before it."""
        return sum(receipt.prefix_tokens or 0 for receipt in self.receipts)

    @property
    def recall_tokens(self) -> int:
        """Of these, how many were recalled for that call alone."""
        return sum(receipt.tokens.recall for receipt in self.receipts)

    def ms(self, step: str) -> list[float]:
        """Milliseconds of a step, of the calls that took it."""
        return [receipt.ms[step] for receipt in self.receipts if step in receipt.ms]

    def as_json(self) -> dict[str, Any]:
        """The conversation's figures as JSON."""
        found: dict[str, Any] = {
            "source": self.source,
            "turns": self.turns,
            "sessions": self.sessions,
            "seconds": round(self.seconds, 2),
            "calls": len(self.receipts),
        }
        if self.receipts:
            found |= {
                "prompt_tokens": self.prompt_tokens,
                "recall_tokens": self.recall_tokens,
                "repeated_tokens": self.repeated_tokens,
                "ms": {step: _spread(self.ms(step)) for step in ("journal", "recall", "reply")},
            }
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of a demo.

    Attributes:
        embedder: the embedder's fingerprint, None for words alone.
        embedded: turns embedded before the questions were asked.
        embed_seconds: how long that took.
        ready: all turns could be found by meaning when the questions were asked.
        silent: of the small talk, how many messages had nothing added.
    """

    version: str
    policy: str
    seed: int
    chat: Chat
    embedder: str | None
    embedded: int
    embed_seconds: float
    ready: bool
    asked: tuple[Asked, ...]
    small_talk: int
    silent: int
    seconds: float
    store: str
    store_bytes: int

    @property
    def answerable(self) -> tuple[Asked, ...]:
        """The questions whose evidence is known."""
        return tuple(asked for asked in self.asked if asked.question.evidence)

    @property
    def found(self) -> int:
        """Of these, how many had their evidence in the context."""
        return sum(asked.found is not None for asked in self.answerable)

    @property
    def found_whole(self) -> int:
        """Of these, how many had all of its text there."""
        return sum(asked.found.whole for asked in self.answerable if asked.found)

    @property
    def tokens_added(self) -> int | None:
        """The median of the tokens that memory quoted for a question."""
        return round(statistics.median(a.tokens.recall for a in self.asked)) if self.asked else None

    @property
    def turns_per_second(self) -> float | None:
        """Turns embedded per second of embedding."""
        return self.embedded / self.embed_seconds if self.embed_seconds else None

    def as_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        speed = self.turns_per_second
        return {
            "convmem": self.version,
            "policy": self.policy,
            "seed": self.seed,
            "conversation": self.chat.as_json(),
            "vectors": {
                "embedder": self.embedder,
                "embedded": self.embedded,
                "complete": self.ready,
                "turns_per_second": None if speed is None else round(speed, 2),
            },
            "questions": [asked.as_json() for asked in self.asked],
            "small_talk": {"asked": self.small_talk, "nothing_added": self.silent},
            "summary": {
                "asked": len(self.asked),
                "answerable": len(self.answerable),
                "found": self.found,
                "found_whole": self.found_whole,
                "median_tokens_added": self.tokens_added,
                "seconds": round(self.seconds, 2),
            },
            "store": {"path": self.store, "bytes": self.store_bytes},
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed (nearest rank); 0 of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"p50": round(percentile(values, 0.5), 2), "p95": round(percentile(values, 0.95), 2)}


def _rounded(ms: Mapping[str, float]) -> dict[str, float]:
    return {step: round(value, 2) for step, value in ms.items()}
