"""What a demo needs: a provider on this machine, a memory on a file, a clock, and a hurried embedder."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from openai import OpenAI

from convmem.embed.resolve import resolve as resolve_embedder
from convmem.errors import InputError
from convmem.hooks import EmbeddedEvent
from convmem.memory import Memory
from convmem.testing import LocalProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from convmem.embed.protocol import Embedder, Kind
    from convmem.hooks import Event
    from convmem.policy import Policy
    from convmem.testing import ReceivedRequest

__all__ = ["MODEL", "USER", "Clock", "Hurried", "Stage"]

MODEL = "deepseek-flash"
"""Whose window and tokens count; what answers is the local provider."""
USER = "demo"

_MOST_THREADS = 4


def _stand_in(_: ReceivedRequest) -> Reply:
    return Reply("(no model here)")


class Clock:
    """A clock that is set by hand, so that a conversation of last year carries last year's dates."""

    def __init__(self) -> None:
        self.now: datetime | None = None

    def __call__(self) -> datetime:
        """The time it was set to; the real one until it is set."""
        return self.now if self.now is not None else datetime.now(UTC)


class Hurried:
    """An embedder that works on several cores while somebody waits."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._pool = ThreadPoolExecutor(_MOST_THREADS, "demo-embed")
        self.waited_for = False

    @property
    def dim(self) -> int:
        """As of the inner embedder."""
        return self._inner.dim

    @property
    def fingerprint(self) -> str:
        """As of the inner embedder."""
        return self._inner.fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """As the inner embedder does."""
        if kind == "query" or not self.waited_for:
            return self._inner.embed(texts, kind)
        return self._on_all_cores(texts)

    def _on_all_cores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np  # noqa: PLC0415 (only where there are vectors)

        n = min(_MOST_THREADS, os.cpu_count() or 1)
        parts = [texts[i::n] for i in range(n) if texts[i::n]]
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        made = [self._pool.submit(self._inner.embed, part, "passage") for part in parts]
        for i, part in enumerate(made):
            rows[i::n] = part.result()
        return rows


class Stage:
    """A memory on a fresh file, a provider and clients without and with memory.

    Args:
        store: the file to make.
        policy: the Memory's policy.
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
        self.store = store
        self.started = time.perf_counter()
        self.clock = Clock()
        made = resolve_embedder(embedder)
        self.embedder = Hurried(made) if made is not None else None
        self.embedded = 0
        self.embed_seconds = 0.0
        self.memory = Memory(
            store, policy=policy, embedder=self.embedder, clock=self.clock, hooks=[self._has_embedded]
        )
        self.provider = LocalProvider(dialect="deepseek").start()
        self.provider.default = _stand_in
        self.client = OpenAI(base_url=self.provider.base_url, api_key="unused", max_retries=0)

    @property
    def elapsed(self) -> float:
        """Seconds since it was set up."""
        return time.perf_counter() - self.started

    def settle(self, seconds: float, tell: Callable[[int], object]) -> bool:
        """Wait until all turns can be found, also by meaning; False when that takes longer.

        Args:
            seconds: how long to wait.
            tell: called now and then with how many turns are embedded.
        """
        if self.embedder is not None:
            self.embedder.waited_for = True
        until = time.perf_counter() + max(0.5, seconds)
        done = False
        while not done and time.perf_counter() < until:
            done = self.memory.reindex(timeout=0.2)
            tell(self.embedded)
        if self.embedder is not None:
            self.embedder.waited_for = False
        return done

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
        self.client.close()
        self.memory.close()
        self.provider.close()
