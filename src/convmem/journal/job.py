"""Defines the tasks of the writer thread: jobs, which plan a write of turns, and other changes of the store.

`journal.writer` carries them out. Jobs are in `journal.begin`, `journal.end`, `journal.record`,
`call.passage` and `call.refetch`; changes in `journal.changes` and `journal.forget`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from convmem.journal.forest import Forest
    from convmem.protocols import SessionRef, Write, Written

__all__ = ["Change", "Job", "NotYetError", "Task"]

T = TypeVar("T")


class NotYetError(Exception):
    """Says that a job cannot be planned yet, because the job before it is not written."""


class Task(ABC, Generic[T]):
    """One piece of work for the writer thread, with the future on which whoever submitted it waits.

    Attributes:
        outcome: resolved once: with the result, or with the error that kept the work from being done. The
            outcome of a job in the spill may have failed while the job is still written later.
        patient: whoever waits would rather have the error than have the task wait in the spill (the direct
            API, where the caller still holds the data).
        user: whose memory the task is about; None for nobody's.
        finished: the task was done, or never will be.
        written: the store took something of the task.
    """

    patient = False
    user: str | None = None

    def __init__(self) -> None:
        self.outcome: Future[T] = Future()
        self.outcome.set_running_or_notify_cancel()  # a caller who stops waiting cancels nothing
        self.finished = self.written = False

    @property
    @abstractmethod
    def ref(self) -> SessionRef | None:
        """The session that the task writes to; None while that may be any session of the user."""

    def resolve(self, result: T) -> None:
        """Give the result to whoever waits for the task."""
        if not self.outcome.done():
            self.outcome.set_result(result)

    def lost(self) -> None:
        """Called when the task will never be done; a subclass cleans up here."""

    def refuse(self, error: Exception) -> None:
        """Give an error to whoever waits for the task, which may still be done later."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def fail(self, error: Exception) -> None:
        """Give the task up, and the error to whoever waits for it."""
        self.finished = True
        self.refuse(error)
        self.lost()


class Job(Task[T]):
    """A write of turns to one session: planned from its tree, committed with others, then settled."""

    @abstractmethod
    def plan(self, forest: Forest) -> Write | None:
        """Decide what to write; None when there is nothing. Called again after a conflict.

        The tree that `forest.tree(ref)` gives may be older than the store, which refuses the write then, and
        the job is planned again. A job that writes nothing, or that decides from another session's tree, has
        no such check and asks for the tree as it is now (`now=True`).

        Raises:
            NotYetError: when the job before it must be written first.
        """

    @abstractmethod
    def settle(self, written: Written | None) -> T:
        """Make the job's result, once its write is committed; runs on the writer thread."""

    def plainer(self) -> bool:
        """Make the job's messages plainer, after an unexpected error; False when they cannot be plainer."""
        return False

    def finish(self, written: Written | None) -> None:
        """Settle the job, whose write is committed (None: there was none), and tell whoever waits."""
        self.finished, self.written = True, written is not None
        try:
            result = self.settle(written)
        except Exception as error:  # noqa: BLE001 (handed to whoever waits)
            self.refuse(error)
        else:
            self.resolve(result)


class Change(Task[T]):
    """Any other change of the store, in a transaction of its own; it fails alone, and never spills.

    Attributes:
        loose: the change needs no place among the turns of its user, so the jobs of calls go before it:
            views, epochs and learnt limits. Forgetting and pins are not loose: their order relative to the
            turns submitted before them must hold.
        tried_again: a loose change that the store cannot take now waits until the store has taken a write.
            Whoever submitted any other change is told at once, and decides themselves when to try again.
    """

    patient = True
    loose = False
    tried_again = False

    @property
    def ref(self) -> SessionRef | None:
        """None: a change may touch any session of its user."""
        return None

    @abstractmethod
    def apply(self, forest: Forest) -> T:
        """Change the store, on the writer thread."""

    def hand_over(self) -> None:
        """Called on the writer thread when the change is done, before anything else is written."""
