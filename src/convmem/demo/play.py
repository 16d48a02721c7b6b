"""The demo, step by step: remember a conversation, ask about it without and with memory, talk small.

A conversation is recorded as any past is, by `Memory.record`. Questions go through an OpenAI client, once
bare and once wrapped, to a provider on this machine: what it received is what a model would have received.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from openai import OpenAI

from convmem.embed.resolve import resolve as resolve_embedder
from convmem.errors import InputError
from convmem.hooks import EmbeddedEvent
from convmem.importers import by_session
from convmem.memory import Memory
from convmem.testing import LocalProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from convmem.demo.data import Question
    from convmem.embed.protocol import Embedder, Kind
    from convmem.hooks import Event
    from convmem.importers import Imported
    from convmem.policy import Policy
    from convmem.testing import ReceivedRequest
    from convmem.types import Message, Recalled, Receipt

__all__ = ["USER", "Asked", "Demo"]

MODEL = "deepseek-flash"
"""Whose window and tokens count; what answers is the local provider."""
USER = "demo"

_THREADS = min(4, os.cpu_count() or 1)
_LATER = timedelta(hours=12)


def _no_model(_: ReceivedRequest) -> Reply:
    return Reply("(no model here)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, asked without and with memory.

    Attributes:
        alone: the messages that the provider received from the bare client.
        remembered: those it received from the wrapped client.
        receipt: of the wrapped client's call.
        evidence: ids of the turns that answer the question.
    """

    question: Question
    alone: Sequence[Message]
    remembered: Sequence[Message]
    receipt: Receipt
    evidence: frozenset[str] = field(default=frozenset[str]())

    @property
    def quotes(self) -> tuple[Recalled, ...]:
        """The turns that were quoted, in the order in which they stand."""
        return self.receipt.recalled

    def rank(self, quote: Recalled) -> int:
        """1 for the best score among the turns quoted."""
        return 1 + sum(other.score > quote.score for other in self.quotes)

    @property
    def found(self) -> Recalled | None:
        """The best of the quoted turns that answer the question, whole ones first."""
        hits = [quote for quote in self.quotes if quote.id in self.evidence]
        return min(hits, key=lambda quote: (quote.trimmed, -quote.score), default=None)

    def as_json(self) -> dict[str, Any]:
        """The question, both requests, and where the evidence stands."""
        receipt = self.receipt
        recalled = [
            {**asdict(quote), "rank": self.rank(quote), "evidence": quote.id in self.evidence}
            for quote in self.quotes
        ]
        found = self.found
        told = {"found": found is not None, "rank": self.rank(found) if found else None}
        return {
            **{key: value for key, value in asdict(self.question).items() if value},
            "without_memory": {"messages": self.alone, "tokens": receipt.tokens.new},
            "with_memory": {
                "messages": self.remembered,
                "tokens": {**asdict(receipt.tokens), "total": receipt.tokens.total},
                "prefix_tokens": receipt.prefix_tokens,
                "recalled": recalled,
                "ms": {step: round(ms, 2) for step, ms in receipt.ms.items()},
                "notes": receipt.notes,
            },
            **(told if self.evidence else {}),
        }


class Demo:
    """A memory on a fresh file, and clients without and with it.

    Args:
        store: the file to make.
        policy: what is sent.
        embedder: as `Memory` takes it.

    Raises:
        InputError: the file is there already, or an argument that cannot be.
        StoreError: the file cannot be made.
    """

    def __init__(self, store: Path, *, policy: Policy, embedder: str | Embedder | None = "auto") -> None:
        if store.exists():
            raise InputError(f"{store} is there already; name a new file, the demo begins with an empty one")
        if not store.parent.is_dir():
            raise InputError(f"there is no folder {store.parent}; make it, or name another file")
        made = resolve_embedder(embedder)
        self.embedder = _OnAllCores(made) if made is not None else None
        self.embedded = 0
        self.embed_seconds = 0.0
        self._now: datetime | None = None
        self.memory = Memory(
            store,
            policy=policy,
            embedder=self.embedder,
            hooks=[self._has_embedded],
            clock=lambda: self._now or datetime.now(UTC),
        )
        self._provider = LocalProvider(dialect="deepseek").start()
        self._provider.default = _no_model
        self._client = OpenAI(base_url=self._provider.base_url, api_key="unused", max_retries=0)

    def remember(self, rows: Sequence[Imported], *, days_after: bool) -> list[str]:
        """Record a conversation; returns the id of each row's turn.

        Args:
            rows: its messages.
            days_after: the questions are asked on the evening of its last day, not today.
        """
        ids = {
            session: iter(self.memory.record(messages, user=USER, session=session, at=times))
            for session, (messages, times) in by_session(rows).items()
        }
        if days_after:
            self._now = max(row.at for row in rows if row.at is not None) + _LATER
        return [next(ids[row.session]) for row in rows]

    def settle(self, seconds: float, tell: Callable[[int], object]) -> bool:
        """Wait until all turns can be found, also by meaning; False when that takes longer.

        Args:
            seconds: how long to wait.
            tell: called now and then with how many turns are embedded.
        """
        until = time.perf_counter() + max(0.5, seconds)
        done = False
        while not done and time.perf_counter() < until:
            done = self.memory.reindex(timeout=0.2)
            tell(self.embedded)
        return done

    def ask(self, question: Question, ids: Sequence[str]) -> Asked:
        """Ask without memory, then with it; `ids` are those of the conversation's lines."""
        alone, _ = self._send(self._client, question.text)
        remembered, receipt = self._send(self._wrapped("demo-questions"), question.text)
        assert receipt is not None  # noqa: S101 (a wrapped call has one)
        return Asked(
            question=question,
            alone=alone,
            remembered=remembered,
            receipt=receipt,
            evidence=frozenset(ids[line] for line in question.evidence),
        )

    def small_talk(self, texts: Iterable[str]) -> int:
        """Say what needs no memory; returns for how many messages nothing was added."""
        client = self._wrapped("demo-small-talk")
        receipts = [self._send(client, text)[1] for text in texts]
        return sum(receipt is not None and not receipt.recalled for receipt in receipts)

    def _wrapped(self, session: str) -> OpenAI:
        return self.memory.wrap(self._client, user=USER, session=session)

    def _send(self, client: OpenAI, text: str) -> tuple[Sequence[Message], Receipt | None]:
        """What the provider received, and the receipt."""
        response = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
        return self._provider.requests[-1].messages, self.memory.receipt_for(response)

    def _has_embedded(self, event: Event) -> None:
        if isinstance(event, EmbeddedEvent):
            self.embedded += event.turns
            self.embed_seconds += event.ms / 1_000

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all of it; the file stays."""
        self._client.close()
        self.memory.close()
        self._provider.close()


class _OnAllCores:
    """An embedder that embeds turns on several cores, since somebody sits there and waits."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._pool = ThreadPoolExecutor(_THREADS, "demo-embed")
        self.dim = inner.dim
        self.fingerprint = inner.fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """As the inner embedder does."""
        if kind == "query":
            return self._inner.embed(texts, kind)
        import numpy as np  # noqa: PLC0415 (only where there are vectors)

        parts = [texts[i::_THREADS] for i in range(_THREADS) if texts[i::_THREADS]]
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        made = [self._pool.submit(self._inner.embed, part, kind) for part in parts]
        for i, part in enumerate(made):
            rows[i::_THREADS] = part.result()
        return rows
