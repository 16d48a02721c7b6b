"""Makes the views of new turns in the background: their analyzed words and their vectors, each on a thread.

`call.exchange` and `memory` wake the indexer with the turns they journaled; `memory.search()` waits for it;
the views are written by the journal. Words are made quickly and must not wait for vectors: a turn said
in one session can be asked for in the next, however busy the embedder is.

Each process makes the views of the turns that its own calls wrote, so that four processes on one file do not
embed every turn four times. Views that a process leaves unmade are found by their absence: by the next open,
and by the other processes when they have been idle for `_IDLE_S`.
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
"""Seconds for which `search` waits until turns journaled a moment ago are analyzed, at most."""

log = logging.getLogger("convmem")

_ANALYZED_AT_ONCE = 256
"""Turns read and analyzed in one batch: between two batches the thread can be given to other work."""
_EMBEDDED_AT_ONCE = 8
"""Turns embedded in one batch, which takes every core: with more, a question that comes meanwhile waits
longer; with fewer, the embedder works less efficiently."""
_FINISH_S = 1.0
"""Seconds that closing waits for the words of turns written just before; a turn takes a millisecond."""
_IDLE_S = 30.0
"""Seconds without a turn of its own after which a process looks for turns that others left without views."""
_FIRST_RETRY_S = 0.1
"""Seconds before views that failed are tried again; the pause doubles with each failure."""
_LAST_RETRY_S = 30.0
"""Seconds between two tries, at most, so that an embedder that works again is noticed within half a
minute."""
_LOCKED_S = 0.05
"""Seconds before another try when another process holds the store's lock, for a few milliseconds as a
rule."""
_LOOK_S = 0.02
"""Seconds between two looks whether calls are still under way."""
_YIELD_S = 1.0
"""Seconds for which a batch of vectors waits for calls that are being composed or committed, at most:
somebody waits for those, and a batch takes every core. With a longer wait a busy process would never find by
meaning."""
_EMBEDDED_CHARACTERS = 640
"""Characters of a turn that are embedded, its first: a model's time grows with the length, and the beginning
tells what a turn is about. Another number changes the vectors, so those on disk would have to be made
again."""
_NAME_CHARACTERS = 256
"""Characters of a speaker's name that count; a longer one is no name, and an entry has no room for a book."""


def spoken(text: str) -> str:
    """The part of a turn's text that is embedded: its first 640 characters, without the speaker's name."""
    return text[:_EMBEDDED_CHARACTERS]


def entry_of(turn: Turn) -> bytes:
    """The entry of a turn: its analyzed words, encoded as the bytes that the store keeps."""
    from convmem.recall import analyze_turn, encode  # noqa: PLC0415 (numpy only when recall is used)

    speaker = turn.name[:_NAME_CHARACTERS] if turn.name is not None else None
    return encode(
        analyze_turn(turn.text, id=turn.id, session=turn.session, role=turn.role, speaker=speaker, at=turn.at)
    )


@dataclass(slots=True)
class _Stage:
    """The state of one kind of view, words or vectors: which turns are to be looked at, and how far it is.

    Attributes:
        lane: the thread on which the views are made.
        at_work: a job of the lane makes views, or will at once.
        new: the `seq`s of turns that this process wrote and that were not looked at yet.
        sweep: look for turns without a view too, whoever wrote them.
        done: the number of the last call of `wake` whose turns all have their views.
        failures: how often making views failed.
        trouble: why making views fails; empty when it does not.
        retry_s: seconds to wait before the next try after a failure.
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
    """Ends a stage's work early, because somebody waits for something else that needs the thread.

    Args:
        made: how many of the stage's new turns have their view, at least.
    """

    def __init__(self, made: int) -> None:
        super().__init__()
        self.made = made


class Indexer:
    """Keeps views up to date in the background, words and vectors each on a thread of the Memory's four.

    Args:
        store: holds the turns; for a store that cannot keep views (`abilities.Views`) nothing is done.
        embedder: makes the vectors; None makes none.
        lanes: the threads on which views are made.
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
        self._closing = self._finishing = False
        self._asked = 0
        self._words = _Stage(self._lanes.index)
        self._vectors = _Stage(self._lanes.vectors)
        self._redo: list[int] = []
        self._working: set[int] = set()  # ids of threads

    @contextmanager
    def standing_back(self) -> Generator[None]:
        """Have the embedding of turns and other long work stand back within the block, for a call waits."""
        with calling():
            yield

    def _stand_back(self) -> None:
        """Wait until no call is under way, or for `_YIELD_S` seconds."""
        until = time.monotonic() + _YIELD_S
        while calls_under_way() and not self._closing and time.monotonic() < until:
            time.sleep(_LOOK_S)

    @property
    def has_vectors(self) -> bool:
        """Whether there is an embedder, so that vectors are made."""
        return self._embedder is not None

    @property
    def fingerprint(self) -> str | None:
        """The embedder's fingerprint, which names its vectors; None without an embedder."""
        return self._embedder.fingerprint if self._embedder is not None else None

    @property
    def cohort(self) -> Cohort | None:
        """The embedded everyday sentences with which a question is compared; None until they are made."""
        return self._cohort_maker.cohort if self._cohort_maker is not None else None

    def want_cohort(self) -> None:
        """Make the cohort in the background, for a question is asked, unless it is made or being made."""
        if self._embedder is not None and not self._cohort_wanted:
            self._cohort_wanted = True
            self.wake(new=())

    def wake(self, redo: Sequence[int] = (), *, new: Sequence[int] | None = None) -> int:
        """Make the views of new turns, and those of damaged entries again, in the background.

        Args:
            redo: the `seq`s of turns whose entries are damaged.
            new: the `seq`s of turns that this process wrote; None looks for all turns that have no view.

        Returns:
            The number of the request, for `has_words`.
        """
        if self._views is None:
            return 0
        with self._changed:
            if self._closing:
                return self._asked
            self._asked += 1
            self._redo.extend(redo)
            for stage in (self._words, self._vectors):
                stage.new.extend(new or ())
                stage.sweep = stage.sweep or new is None
            self._begin(self._words)
            if self._embedder is not None:
                self._begin(self._vectors)
            return self._asked

    def has_words(self, request: int) -> bool:
        """Whether the turns of a request of `wake` can be found by their words."""
        return self._words.done >= request

    def _begin(self, stage: _Stage) -> None:
        """Submit a stage's work to its lane, unless it is at work; the caller holds the lock."""
        if not (stage.at_work or self._closing):
            stage.at_work = True
            stage.lane.submit(lambda: self._run(stage))

    def wait(self, timeout: float | None = None, *, vectors: bool = False) -> bool:
        """Wait until all turns there are now can be found by their words, or also by their vectors.

        Args:
            timeout: seconds to wait, at most; None waits as long as it takes.
            vectors: wait for vectors and the cohort too.

        Returns:
            False when `timeout` seconds were not enough, or when views cannot be made just now.
        """
        if self._views is None:
            return True
        self._cohort_wanted |= vectors  # the next question is judged by the cohort
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

    def finish(self, timeout: float | None) -> None:
        """Before the close: make the words of the turns that this process wrote, and look for no others.

        A program that is started again asks at once for what was said in it last.

        Args:
            timeout: seconds it may take, and never more than `_FINISH_S`.
        """
        until = time.monotonic() + (_FINISH_S if timeout is None else min(timeout, _FINISH_S))
        with self._changed:
            self._finishing = True
            while self._words.at_work and not self._words.trouble and not self._closing:
                left = until - time.monotonic()
                if left <= 0 or threading.get_ident() in self._working:
                    return
                self._changed.wait(left)

    def close(self, timeout: float | None) -> bool:
        """Stop after the batches that are being made; returns False when that took longer than `timeout`.

        The next open of the store makes the rest.

        Args:
            timeout: seconds to wait for those batches; None waits as long as it takes.
        """
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
        """Make the views that a stage has to make, and return as soon as none is left or others wait.

        Whatever came meanwhile, and what is left, is submitted to the lane again, later after trouble.
        """
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
        """Submit a stage's work again, after the pause that follows trouble."""
        with self._changed:
            self._begin(stage)

    def _sweep(self, stage: _Stage, asked: int) -> None:
        """Look for turns that other processes left without views, unless turns came meanwhile."""
        with self._changed:
            if self._asked == asked and not stage.at_work:
                stage.sweep = True
                self._begin(stage)

    def _due(self, stage: _Stage, new: Sequence[int], *, sweep: bool) -> Iterator[Sequence[Turn]]:
        """Reads the turns that a stage has to make views of, a batch at a time: new ones, then all without.

        Raises:
            _StandsBack: between two batches, when somebody waits for something that needs the thread.
        """
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
        while sweep and self._views is not None and not (self._closing or self._finishing):
            turns = self._views.unindexed(UnindexedRequest(None if words else self.fingerprint, after, most))
            if not turns:
                return
            yield turns
            if len(turns) < most:
                return  # there were no more; who waits does not wait for what others go on writing
            after = turns[-1].seq
            self._stop_for_others(stage, len(new))

    def _stop_for_others(self, stage: _Stage, made: int) -> None:
        """Leave the thread between two batches, when other work on the same lane is waited for."""
        if stage.lane.contended:
            raise _StandsBack(made)

    def _fail(self, stage: _Stage, error: Exception) -> float:
        """Tell of trouble, once; returns the seconds after which to try again."""
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
        """Tell that views are made again, when that was the last stage in trouble."""
        if stage.trouble:
            stage.trouble, stage.retry_s = "", _FIRST_RETRY_S
            if not (self._words.trouble or self._vectors.trouble):
                self._tell(HealedEvent(detail="the views of all turns are made"))

    def _analyze(self, due: Iterator[Sequence[Turn]]) -> None:
        """Make the entries that are damaged, and then those of these turns."""
        with self._changed:
            redo, self._redo = self._redo, []
        for seq in redo:
            self._put([NewView(seq=t.seq, entry=entry_of(t)) for t in self._turn(seq)])
        for turns in due:
            self._put([NewView(seq=turn.seq, entry=entry_of(turn)) for turn in turns])

    def _put(self, views: Sequence[NewView]) -> None:
        """Have the journal write views, some 2 ms at a time, so that no call waits long for them."""
        for share in shares(views):
            self._journal.submit(ViewsChange(share)).result()

    def _turn(self, seq: int) -> Sequence[Turn]:
        """The turn of this sequence number; empty when it was forgotten."""
        from convmem.protocols import TurnsRequest  # noqa: PLC0415

        return [turn for turn in self._store.turns(TurnsRequest(after=seq - 1, limit=1)) if turn.seq == seq]

    def _embed(self, due: Iterator[Sequence[Turn]]) -> None:
        """Make the vectors of these turns, and of the everyday sentences."""
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
            # Everyday sentences and turns alternate, so that a new turn waits for eight sentences at most.
            self._embed_cohort(embedder)
        if self._cohort_wanted or made:
            self._cohort_wanted = True
            while self._embed_cohort(embedder):
                if self._vectors.lane.contended:
                    raise _StandsBack(sys.maxsize)

    def _embed_cohort(self, embedder: Embedder) -> bool:
        """Embed a few of the everyday sentences; False when none is left, or when they cannot be embedded."""
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
