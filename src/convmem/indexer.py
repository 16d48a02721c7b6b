"""The indexer: makes the views of new turns in the background, first words, then vectors.

What it has not done when the process ends is found again by the next open: a turn without a view is asked
for by its absence, not by a queue.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from convmem.abilities import NewView, UnindexedRequest, Views
from convmem.errors import ConvmemError
from convmem.hooks import DegradedEvent, EmbeddedEvent, HealedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.embed.protocol import Embedder
    from convmem.hooks import Hook
    from convmem.protocols import Store
    from convmem.types import Turn

__all__ = ["Indexer", "entry_of", "spoken"]

log = logging.getLogger("convmem")

_ANALYZED_AT_ONCE = 256
_EMBEDDED_AT_ONCE = 8
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 30.0
_EMBEDDED_CHARACTERS = 640


def spoken(turn: Turn) -> str:
    """What is embedded of a turn: its first characters, behind the speaker's name where there is one."""
    text = turn.text[:_EMBEDDED_CHARACTERS]
    return f"{turn.name}: {text}" if turn.name else text


def entry_of(turn: Turn) -> bytes:
    """The encoded entry of a turn."""
    from convmem.recall import analyze_turn, encode  # noqa: PLC0415 (numpy only when recall is used)

    return encode(
        analyze_turn(
            turn.text, id=turn.id, session=turn.session, role=turn.role, speaker=turn.name, at=turn.at
        )
    )


class Indexer:
    """One thread that keeps views up to date.

    Args:
        store: whose turns; without the ability to keep views there is nothing to do.
        embedder: makes the vectors; None makes none.
        tell: told of vectors that were made, and once when views cannot be made and when they can be again.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None,
        *,
        tell: Hook,
    ) -> None:
        self._store = store
        self._views: Views | None = store if isinstance(store, Views) else None
        self._embedder = embedder
        self._tell = tell
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._asked = 0
        self._analyzed = 0
        self._embedded = 0
        self._trouble = ""
        self._failures = 0
        self._retry_s = _FIRST_RETRY_S
        self._redo: list[int] = []

    @property
    def has_vectors(self) -> bool:
        """Whether vectors are being made at all."""
        return self._embedder is not None

    @property
    def fingerprint(self) -> str | None:
        """The embedder's; None where no vectors are made."""
        return self._embedder.fingerprint if self._embedder is not None else None

    def wake(self, redo: Sequence[int] = ()) -> None:
        """There are new turns, or turns whose entries are damaged."""
        if self._views is None:
            return
        with self._changed:
            if self._closing:
                return
            self._asked += 1
            self._redo.extend(redo)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="convmem-index", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, timeout: float | None = None, *, vectors: bool = False) -> bool:
        """Wait until all turns there are now can be found by their words, or also by their vectors.

        Returns:
            False when `timeout` seconds were not enough, or when they cannot be made just now.
        """
        if self._views is None:
            return True
        self.wake()
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            asked, failures = self._asked, self._failures
            while (self._embedded if vectors else self._analyzed) < asked:
                left = None if until is None else until - time.monotonic()
                if self._closing or (left is not None and left <= 0) or self._failures > failures + 1:
                    return False  # the attempt that this call asked for has failed too
                self._changed.wait(left if left is not None else 1.0)
        return True

    def close(self, timeout: float | None) -> bool:
        """End the thread after the batch it is at; the next open goes on. False when that took longer."""
        with self._changed:
            self._closing = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            return not thread.is_alive()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closing and self._embedded >= self._asked:
                    self._changed.wait()
                if self._closing:
                    return
                asked, redo, self._redo = self._asked, self._redo, []
            try:
                self._analyze(redo)
                with self._changed:
                    self._analyzed = asked
                    self._changed.notify_all()
                if not self._embed(asked):
                    continue
            except Exception as error:  # noqa: BLE001 (views can be made again; the thread must live)
                self._fail(error)
                continue
            with self._changed:
                self._embedded = asked
                self._heal()
                self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._changed:
            first, self._trouble = not self._trouble, str(error) or type(error).__name__
            self._failures += 1
            self._changed.notify_all()
        if first:
            detail = f"views of new turns cannot be made: {self._trouble}; they are tried again"
            self._tell(DegradedEvent(detail=detail))
            if not isinstance(error, ConvmemError):
                log.debug("while indexing", exc_info=error)
        with self._changed:
            if not self._closing:
                self._changed.wait(self._retry_s)
            self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)

    def _heal(self) -> None:
        if self._trouble:
            self._trouble, self._retry_s = "", _FIRST_RETRY_S
            self._tell(HealedEvent(detail="the views of all turns are made"))

    def _analyze(self, redo: Sequence[int]) -> None:
        """Make the entries that are missing, and those that are damaged."""
        views = self._views
        if views is None:
            return
        for seq in redo:
            views.put_views([NewView(seq=t.seq, entry=entry_of(t)) for t in self._turn(seq)])
        after = 0
        while not self._closing:
            turns = views.unindexed(UnindexedRequest(None, after, _ANALYZED_AT_ONCE))
            if not turns:
                return
            views.put_views([NewView(seq=turn.seq, entry=entry_of(turn)) for turn in turns])
            after = turns[-1].seq

    def _turn(self, seq: int) -> Sequence[Turn]:
        from convmem.protocols import TurnsRequest  # noqa: PLC0415

        return [turn for turn in self._store.turns(TurnsRequest(after=seq - 1, limit=1)) if turn.seq == seq]

    def _embed(self, asked: int) -> bool:
        """Make the vectors that are missing; False when there are newer turns, whose words come first."""
        views, embedder = self._views, self._embedder
        if views is None or embedder is None:
            return True
        after = 0
        while not self._closing:
            request = UnindexedRequest(embedder.fingerprint, after, _EMBEDDED_AT_ONCE)
            turns = views.unindexed(request)
            if not turns:
                return True
            started = time.perf_counter()
            vectors = embedder.embed([spoken(turn) for turn in turns], "passage").astype("<f2")
            ms = (time.perf_counter() - started) * 1_000
            batch = [
                NewView(seq=turn.seq, fingerprint=embedder.fingerprint, vector=vector.tobytes())
                for turn, vector in zip(turns, vectors, strict=True)
            ]
            views.put_views(batch)
            self._tell(EmbeddedEvent(turns=len(batch), ms=ms, fingerprint=embedder.fingerprint))
            if self._asked != asked:
                return False
            after = turns[-1].seq
        return False
