"""Makes the cuts of windows in the background, and keeps the epochs that they begin.

`context.compose` calls `Cuts.leave` when a window is full: the summary of the rounds that leave is made on a
thread (`context.cut`), and the new epoch is written through the journal. A compressor that is late is
replaced by extracted sentences; its own summary is used at a later cut (`written_late`).
"""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from convmem.abilities import Epoch, Epochs
from convmem.compress.extractive import Extractive
from convmem.errors import StoreError, noted
from convmem.journal.changes import EpochChange
from convmem.threads.locks import Lock
from convmem.threads.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from convmem.abilities import EpochRef
    from convmem.compress.protocol import Compressor
    from convmem.context.cut import Cut, Summary
    from convmem.journal.writer import Journal
    from convmem.protocols import Store
    from convmem.threads.pool import Lane

__all__ = ["Cuts"]

_EPOCHS = 1_024
"""Windows whose epoch (where the store keeps none) or late summary is in memory. An epoch that is pushed out
is cut anew, which costs the provider's cache once."""
_STOOD_IN = (
    "the compressor was late: sentences were extracted, and what it writes is used from the next cut on"
)
_FORGOTTEN = "something was forgotten while the summary was made"


class Cuts:
    """Makes the cuts that begin new epochs of windows, in the background, and keeps the epochs.

    Args:
        store: keeps the epochs, where it can; else they are kept in memory.
        journal: writes the epochs.
        compressor: writes the summaries of the rounds that left a window.
        pool: threads on which the compressor runs.
    """

    def __init__(self, store: Store, journal: Journal, compressor: Compressor, pool: Lane) -> None:
        self.store = store
        self.journal = journal
        self.compressor = compressor
        self._pool = pool
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = Lock()
        self._epochs: Recent[EpochRef, Epoch] = Recent(_EPOCHS)
        self._cuts: dict[EpochRef, Cut] = {}
        self._late: Recent[EpochRef, tuple[bytes, Summary]] = Recent(_EPOCHS)
        self._putting = Lock()
        self._forgetting = self._forgets = 0

    @contextmanager
    def forgetting(self) -> Generator[None]:
        """Keep no cut within the block, and drop those being made afterwards, for something is forgotten."""
        with self._putting:
            self._forgetting += 1
        try:
            yield
        finally:
            with self._putting, self._lock:
                self._forgetting -= 1
                self._forgets += 1
                self._cuts.clear()
                self._late.clear()
                self._epochs.clear()

    def epoch_here(self, which: EpochRef) -> Epoch | None:
        """The running epoch of a window, where it is in memory because the store keeps no epochs."""
        return self._epochs.get(which)

    def cut(self, which: EpochRef, cut: Cut, *, here: bool = False) -> Cut:
        """Begin to make the summary of rounds that leave a window, and after it the new epoch.

        Args:
            which: the session, host and model whose window it is.
            cut: the rounds that leave the window.
            here: make the summary on this thread, because it takes milliseconds.

        Returns:
            The cut that is being made: an earlier one of this window when that is still at work.
        """
        with self._lock:
            running = self._cuts.setdefault(which, cut)
            forgets = self._forgets
        if running is cut:
            if here:
                self._made(which, cut, forgets)
            else:
                self._pool.submit(lambda: self._made(which, cut, forgets))
        return running

    def stand_in(self, which: EpochRef, late: Cut, cut: Cut) -> tuple[Summary, tuple[str, ...]]:
        """Begin the new epoch with another summary than the one that is late.

        Args:
            which: the session, host and model whose window it is.
            late: the cut that is not made yet; its summary is kept for `written_late`.
            cut: the same rounds, with a compressor that makes a summary at once.

        Raises:
            StoreError: something was forgotten meanwhile, or the store cannot keep the epoch.
        """
        with self._lock:
            late.stood_in = True
            forgets = self._forgets
        made = cut.make()
        self._begin_epoch(which, Epoch(cut.start, made[0].dumped()), forgets, cut.redaction)
        return made

    def leave(
        self, which: EpochRef, cutting: Callable[[Compressor], Cut], patience_s: float | None
    ) -> tuple[Summary | None, tuple[str, ...]]:
        """Have rounds leave a window; their summary is written once and stays until the next cut.

        Where the model that writes the summary is late, extracted sentences take its place at once.

        Args:
            which: the session, host and model whose window it is.
            cutting: gives the cut of the rounds, with the compressor that it is given.
            patience_s: seconds to wait for the compressor; None waits as long as it takes.

        Returns:
            The summary, None when the store cannot keep it; and notes about it.
        """
        quick = isinstance(self.compressor, Extractive)
        cut = cutting(self.compressor)
        begun = self.cut(which, cut, here=quick)
        late = begun.start != cut.start or begun.stood_in
        if not late:
            wait((begun.made,), timeout=None if quick else patience_s)
        try:
            if not late and begun.made.done():
                return begun.made.result()
            summary, notes = self.stand_in(which, begun, cutting(Extractive()))
        except Exception as error:  # noqa: BLE001 (trouble with a cut never breaks the chat)
            return None, (noted(f"the window could not be cut ({error}); it is tried again", error),)
        return summary, (*notes, _STOOD_IN)

    def written_late(self, which: EpochRef, start: bytes) -> Summary | None:
        """The summary that a late compressor wrote for the rounds before the turn `start`; None as a rule."""
        known = self._late.get(which)
        return known[1] if known is not None and known[0] == start else None

    def _made(self, which: EpochRef, cut: Cut, forgets: int) -> None:
        """Make a cut's summary, and begin its epoch unless another summary stands in for it already."""
        try:
            made = cut.make()
            with self._lock:
                late = cut.stood_in
                if late and self._forgets == forgets and not self._forgetting:
                    self._late.put(which, (cut.start, made[0]))
            if not late:
                self._begin_epoch(which, Epoch(cut.start, made[0].dumped()), forgets, cut.redaction)
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
            cut.made.set_exception(error)
        else:
            cut.made.set_result(made)
        finally:
            with self._lock:
                if self._cuts.get(which) is cut:
                    del self._cuts[which]

    def _begin_epoch(self, which: EpochRef, epoch: Epoch, forgets: int, redaction: int) -> None:
        """Have the new epoch written.

        Raises:
            StoreError: something was forgotten meanwhile, or the store cannot keep the epoch.
        """
        with self._putting:  # not `_lock`: a slow disk must hold up only those who cut
            if self._forgetting or self._forgets != forgets:  # the summary may tell what was forgotten
                raise StoreError(_FORGOTTEN)
            if isinstance(self.store, Epochs):
                if not self.journal.submit(EpochChange(which, epoch, redaction)).result():
                    raise StoreError(_FORGOTTEN)
            else:
                self._epochs.put(which, epoch)
