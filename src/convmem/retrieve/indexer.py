"""The indexer: makes the views of new turns in the background, words and vectors each on a thread.

Words are made in no time and must not wait for vectors: what was just said in one session can be asked for
in the next, however busy the embedder is.

Each process makes the views of the turns its calls wrote, so that four processes on one file do not embed
every turn four times. What a process leaves undone is found by its absence: by the next open,
and by the others when they have been idle for a while.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convmem.abilities import NewView, UnindexedRequest, Views
from convmem.errors import ClosedError, ConvmemError, StoreLockedError
from convmem.hooks import DegradedEvent, EmbeddedEvent, HealedEvent
from convmem.journal.changes import ViewsChange, shares
from convmem.threads.locks import Condition
from convmem.threads.pace import calling, calls_under_way

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from convmem.embed.cohort import CohortMaker
    from convmem.embed.protocol import Embedder
    from convmem.hooks import Hook
    from convmem.journal.writer import Journal
    from convmem.protocols import Store
    from convmem.recall.cohort import Cohort
    from convmem.threads.lanes import Lanes
    from convmem.threads.pool import Lane
    from convmem.types import Turn

__all__ = ["WAIT_FOR_WORDS_S", "Indexer", "entry_of", "spoken"]

WAIT_FOR_WORDS_S = 5.0
"""Seconds that the direct API waits for turns journaled a moment ago; their words are analyzed meanwhile."""

log = logging.getLogger("convmem")

_ANALYZED_AT_ONCE = 256
_EMBEDDED_AT_ONCE = 8
_IDLE_S = 30.0
"""After so many seconds without a turn of its own a process looks for what others left without views."""
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 30.0
_LOCKED_S = 0.05
_LOOK_S = 0.02
_YIELD_S = 1.0
"""So long a batch of vectors waits for calls that are being composed or committed: somebody waits for those,
and takes every core for as long as a batch does. Not longer, or a busy process would never find by
meaning."""
_EMBEDDED_CHARACTERS = 640
_NAME_CHARACTERS = 256
"""What counts of a speaker's name; a longer one is no name, and an entry has no room for a book."""


def spoken(text: str) -> str:
    """What is embedded of a turn's text: its first characters. Who said it is known without a vector."""
    return text[:_EMBEDDED_CHARACTERS]


def entry_of(turn: Turn) -> bytes:
    """The encoded entry of a turn."""
    from convmem.recall import analyze_turn, encode  # noqa: PLC0415 (numpy only when recall is used)

    speaker = turn.name[:_NAME_CHARACTERS] if turn.name is not None else None
    return encode(
        analyze_turn(turn.text, id=turn.id, session=turn.session, role=turn.role, speaker=speaker, at=turn.at)
    )


@dataclass(slots=True)
class _Stage:
    """Words or vectors: what is to be made, and how far it is.

    Attributes:
        lane: where it is made.
        at_work: a job of the lane makes it, or will at once.
        new: turns that this process wrote and the stage has not looked at.
        sweep: turns without a view are to be looked for, whoever wrote them.
        done: the last request of `wake` that it has answered.
        failures: how often it failed.
        trouble: why it fails; empty when it does not.
        retry_s: how long it waits before it tries again.
    """

    lane: Lane
    at_work: bool = False
    new: list[int] = field(default_factory=list[int])
    sweep: bool = False
    done: int = 0
    failures: int = 0
    trouble: str = ""
    retry_s: float = _FIRST_RETRY_S


class _StandsBack(Exception):  # noqa: N818 (no error)
    """The thread is needed for something that somebody waits for.

    Args:
        made: how many of the new turns are made, at least.
    """

    def __init__(self, made: int) -> None:
        super().__init__()
        self.made = made


class Indexer:
    """Keeps views up to date in the background, words and vectors each on a thread of the Memory's four.

    Args:
        store: whose turns; without the ability to keep views there is nothing to do.
        embedder: makes the vectors; None makes none.
        lanes: threads to make them on.
        tell: told of vectors that were made, and once when views cannot be made and when they can be again.
        journal: writes the views.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None,
        lanes: Lanes,
        *,
        tell: Hook,
        journal: Journal,
    ) -> None:
        self._store = store
        self._journal = journal
        self._views: Views | None = store if isinstance(store, Views) else None
        self._embedder = embedder
        self._lanes = lanes
        self._tell = tell
        self._cohort_maker: CohortMaker | None = None
        self._cohort_wanted = False
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._changed = Condition()
        self._closing = False
        self._asked = 0
        self._words = _Stage(self._lanes.index)
        self._vectors = _Stage(self._lanes.vectors)
        self._redo: list[int] = []
        self._working: set[int] = set()  # ids of threads

    @contextmanager
    def standing_back(self) -> Generator[None]:
        """While somebody waits for memory, embedding turns and other long work stand back."""
        with calling():
            yield

    def _stand_back(self) -> None:
        until = time.monotonic() + _YIELD_S
        while calls_under_way() and not self._closing and time.monotonic() < until:
            time.sleep(_LOOK_S)

    @property
    def has_vectors(self) -> bool:
        """Whether vectors are being made at all."""
        return self._embedder is not None

    @property
    def fingerprint(self) -> str | None:
        """The embedder's; None where no vectors are made."""
        return self._embedder.fingerprint if self._embedder is not None else None

    @property
    def cohort(self) -> Cohort | None:
        """The everyday sentences as the embedder sees them; None until they are made."""
        return self._cohort_maker.cohort if self._cohort_maker is not None else None

    def want_cohort(self) -> None:
        """A question is being asked: make the cohort in the background, if it is not made or being made."""
        if self._embedder is not None and not self._cohort_wanted:
            self._cohort_wanted = True
            self.wake(new=())

    def wake(self, redo: Sequence[int] = (), *, new: Sequence[int] | None = None) -> None:
        """There are new turns, or turns whose entries are damaged.

        Args:
            redo: turns whose entries are damaged.
            new: the turns that this process wrote; None looks for all that have no view.
        """
        if self._views is None:
            return
        with self._changed:
            if self._closing:
                return
            self._asked += 1
            self._redo.extend(redo)
            for stage in (self._words, self._vectors):
                stage.new.extend(new or ())
                stage.sweep = stage.sweep or new is None
            self._begin(self._words)
            if self._embedder is not None:
                self._begin(self._vectors)

    def _begin(self, stage: _Stage) -> None:
        """Have a stage go to work, if it is not at it; the lock is held."""
        if not (stage.at_work or self._closing):
            stage.at_work = True
            stage.lane.submit(lambda: self._run(stage))

    def wait(self, timeout: float | None = None, *, vectors: bool = False) -> bool:
        """Wait until all turns there are now can be found by their words, or also by their vectors.

        Returns:
            False when `timeout` seconds were not enough, or when they cannot be made just now.
        """
        if self._views is None:
            return True
        self._cohort_wanted |= vectors  # what is asked next is judged by it
        self.wake()
        until = None if timeout is None else time.monotonic() + timeout
        stages = (self._words, self._vectors) if vectors and self._embedder is not None else (self._words,)
        with self._changed:
            asked, failures = self._asked, [stage.failures for stage in stages]
            while any(stage.done < asked for stage in stages):
                left = None if until is None else until - time.monotonic()
                failed = any(s.failures > before + 1 for s, before in zip(stages, failures, strict=True))
                if self._closing or (left is not None and left <= 0) or failed:
                    return False  # the attempt that this call asked for has failed too
                self._changed.wait(left if left is not None else 1.0)
        return True

    def close(self, timeout: float | None) -> bool:
        """End the threads after the batch they are at; the next open goes on. False when that took longer."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while self._working - {threading.get_ident()}:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _run(self, stage: _Stage) -> None:
        """Make what is due; give the thread back as soon as nothing is, or something else needs it more."""
        with self._changed:
            asked, swept = self._asked, stage.sweep
            new, stage.new, stage.sweep = stage.new, [], False
            if self._closing:
                stage.at_work = False
                self._changed.notify_all()
                return
            self._working.add(threading.get_ident())
        pause_s, made = 0.0, False
        try:
            (self._analyze if stage is self._words else self._embed)(self._due(stage, new, sweep=swept))
        except _StandsBack as others:
            new = new[others.made :]
        except ClosedError:  # what is not made is made by the next open
            with self._changed:
                self._closing = True
        except Exception as error:  # noqa: BLE001 (views can be made again)
            pause_s = self._fail(stage, error)
        else:
            made = True
        with self._changed:
            self._working.discard(threading.get_ident())
            stage.at_work = False
            if made:
                stage.done = asked
                self._heal(stage)
            else:
                stage.new, stage.sweep = [*new, *stage.new], stage.sweep or swept
            if pause_s:
                stage.lane.later(pause_s, lambda: self._again(stage))
            elif not made or stage.done < self._asked:
                self._begin(stage)
            elif not swept:
                stage.lane.later(_IDLE_S, lambda: self._sweep(stage, asked))
            self._changed.notify_all()

    def _again(self, stage: _Stage) -> None:
        """Try again after trouble."""
        with self._changed:
            self._begin(stage)

    def _sweep(self, stage: _Stage, asked: int) -> None:
        """Look for what other processes left undone, where nothing was asked for meanwhile."""
        with self._changed:
            if self._asked == asked and not stage.at_work:
                stage.sweep = True
                self._begin(stage)

    def _due(self, stage: _Stage, new: Sequence[int], *, sweep: bool) -> Iterator[Sequence[Turn]]:
        """Batches of turns that the stage has to look at."""
        from convmem.protocols import TurnsRequest  # noqa: PLC0415

        words = stage is self._words
        most = _ANALYZED_AT_ONCE if words else _EMBEDDED_AT_ONCE
        for i in range(0, len(new), most):
            if self._closing:
                return
            if i:
                self._stop_for_others(stage, i)
            seqs = tuple(new[i : i + most])
            yield self._store.turns(TurnsRequest(seqs=seqs, limit=len(seqs)))
        after = 0
        while sweep and self._views is not None and not self._closing:
            turns = self._views.unindexed(UnindexedRequest(None if words else self.fingerprint, after, most))
            if not turns:
                return
            yield turns
            if len(turns) < most:
                return  # there were no more; who waits does not wait for what others go on writing
            after = turns[-1].seq
            self._stop_for_others(stage, len(new))

    def _stop_for_others(self, stage: _Stage, made: int) -> None:
        """Between two batches: let go of the thread when something that is waited for needs it."""
        if stage.lane.contended:
            raise _StandsBack(made)

    def _fail(self, stage: _Stage, error: Exception) -> float:
        """Tell of trouble; returns after how many seconds to try again."""
        if isinstance(error, StoreLockedError):  # another process writes: it is waited for, quietly
            return _LOCKED_S
        with self._changed:
            first = not (self._words.trouble or self._vectors.trouble)
            stage.trouble = str(error) or type(error).__name__
            stage.failures += 1
            self._changed.notify_all()
        if first:
            detail = f"views of new turns cannot be made: {stage.trouble}; they are tried again"
            self._tell(DegradedEvent(detail=detail))
            if not isinstance(error, ConvmemError):
                log.debug("while indexing", exc_info=error)
        pause_s, stage.retry_s = stage.retry_s, min(2 * stage.retry_s, _LAST_RETRY_S)
        return pause_s

    def _heal(self, stage: _Stage) -> None:
        if stage.trouble:
            stage.trouble, stage.retry_s = "", _FIRST_RETRY_S
            if not (self._words.trouble or self._vectors.trouble):
                self._tell(HealedEvent(detail="the views of all turns are made"))

    def _analyze(self, due: Iterator[Sequence[Turn]]) -> None:
        """Make the entries that are missing, and those that are damaged."""
        with self._changed:
            redo, self._redo = self._redo, []
        for seq in redo:
            self._put([NewView(seq=t.seq, entry=entry_of(t)) for t in self._turn(seq)])
        for turns in due:
            self._put([NewView(seq=turn.seq, entry=entry_of(turn)) for turn in turns])

    def _put(self, views: Sequence[NewView]) -> None:
        """Have views written, a share at a time, so that no call waits long behind them."""
        for share in shares(views):
            self._journal.submit(ViewsChange(share)).result()

    def _turn(self, seq: int) -> Sequence[Turn]:
        from convmem.protocols import TurnsRequest  # noqa: PLC0415

        return [turn for turn in self._store.turns(TurnsRequest(after=seq - 1, limit=1)) if turn.seq == seq]

    def _embed(self, due: Iterator[Sequence[Turn]]) -> None:
        """Make the vectors that are missing."""
        embedder = self._embedder
        if embedder is None:
            return
        made = False
        for turns in due:
            self._stand_back()
            started = time.perf_counter()
            vectors = embedder.embed([spoken(turn.text) for turn in turns], "passage").astype("<f2")
            ms = (time.perf_counter() - started) * 1_000
            batch = [
                NewView(seq=turn.seq, fingerprint=embedder.fingerprint, vector=vector.tobytes())
                for turn, vector in zip(turns, vectors, strict=True)
            ]
            self._put(batch)
            self._tell(EmbeddedEvent(turns=len(batch), ms=ms, fingerprint=embedder.fingerprint))
            made = True
            # By turns, so that what was just said waits for eight sentences at most.
            self._embed_cohort(embedder)
        if self._cohort_wanted or made:
            self._cohort_wanted = True
            while self._embed_cohort(embedder):
                if self._vectors.lane.contended:
                    raise _StandsBack(sys.maxsize)

    def _embed_cohort(self, embedder: Embedder) -> bool:
        """Embed a few of the everyday sentences; whether there are more, and they can be embedded."""
        if self._cohort_maker is None:
            from convmem.embed.cohort import CohortMaker  # noqa: PLC0415 (numpy only when recall is used)

            self._cohort_maker = CohortMaker(embedder)
        maker = self._cohort_maker
        if self._closing or maker.done:
            return False
        self._stand_back()
        try:
            maker.step()
        except Exception as error:
            log.debug("everyday sentences cannot be embedded; they are tried again", exc_info=error)
            return False
        return not maker.done
