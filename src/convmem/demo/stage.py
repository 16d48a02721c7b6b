"""What a demo needs: a provider on this machine, a memory on a file, a clock, and an embedder to watch."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from openai import OpenAI

from convmem.embed.resolve import resolve as resolve_embedder
from convmem.errors import InputError
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
    from convmem.policy import Policy
    from convmem.testing import ReceivedRequest

__all__ = ["MODEL", "USER", "Clock", "Stage", "Watched"]

MODEL = "deepseek-flash"
"""Whose window and tokens count; what answers is the local provider."""
USER = "demo"

_DEADLINE_MS = 1_000.0
"""Long, for the demo itself keeps the machine busy; the receipts say how long a call really waited."""
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


class Watched:
    """An embedder that counts the turns it embeds, and works on several cores while somebody waits."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._pool = ThreadPoolExecutor(_MOST_THREADS, "demo-embed")
        self._lock = threading.Lock()
        self.waited_for = False
        self.turns = 0
        self.seconds = 0.0

    @property
    def dim(self) -> int:
        """As of the embedder watched."""
        return self._inner.dim

    @property
    def fingerprint(self) -> str:
        """As of the embedder watched."""
        return self._inner.fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """As the embedder watched does."""
        if kind == "query":
            return self._inner.embed(texts, kind)
        started = time.perf_counter()
        rows = self._on_all_cores(texts) if self.waited_for else self._inner.embed(texts, kind)
        with self._lock:
            self.turns += len(texts)
            self.seconds += time.perf_counter() - started
        return rows

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
        self.embedder = Watched(made) if made is not None else None
        self.memory = Memory(
            store, policy=policy, embedder=self.embedder, deadline_ms=_DEADLINE_MS, clock=self.clock
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

    @property
    def embedded(self) -> int:
        """How many turns are embedded."""
        return self.embedder.turns if self.embedder is not None else 0

    @property
    def embed_seconds(self) -> float:
        """How long that took."""
        return self.embedder.seconds if self.embedder is not None else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all of it; the file stays."""
        self.client.close()
        self.memory.close()
        self.provider.close()
