"""What the writer thread is given to do: jobs that plan a write of turns, and other changes of the store."""

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
    """A job's turn has not come: the one before it is not written."""


class Task(ABC, Generic[T]):
    """One piece of work for the writer thread.

    Attributes:
        outcome: resolved once: with the result, or with why it was not done. A job in the spill may have
            failed its outcome and still be written later.
        patient: whoever waits would rather have the error than the spill (the direct API, where the
            caller still holds the data).
        user: whose memory it is about.
        finished: it was done, or never will be.
        written: the store took something of it.
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
        """The session it writes to; None while that may be any of the user's."""

    def resolve(self, result: T) -> None:
        """Tell whoever waits that it is done."""
        if not self.outcome.done():
            self.outcome.set_result(result)

    def lost(self) -> None:
        """It will never be done."""

    def refuse(self, error: Exception) -> None:
        """Tell whoever waits; the work itself may still be done."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def fail(self, error: Exception) -> None:
        """It will never be done."""
        self.finished = True
        self.refuse(error)
        self.lost()


class Job(Task[T]):
    """A write of turns to one session: planned from its tree, committed with others, then settled."""

    @abstractmethod
    def plan(self, forest: Forest) -> Write | None:
        """Decide what to write; None when there is nothing. Called again after a conflict.

        What is decided from `forest.tree(ref)` alone may be older than the store, which refuses the write
        then. Whoever writes nothing, or decides from another session, asks for the tree as it is now.

        Raises:
            NotYetError: when the job before it must be written first.
        """

    @abstractmethod
    def settle(self, written: Written | None) -> T:
        """What the job is for, once its write is committed; runs on the writer thread."""

    def plainer(self) -> bool:
        """Make what it writes plainer, after an unexpected error; False when it is as plain as can be."""
        return False

    def finish(self, written: Written | None) -> None:
        """The write is committed."""
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
        loose: it needs no place among the turns of its user, so calls' jobs go before it: views, epochs and
            learnt limits. Forgetting and pins are not loose: they come after what was submitted before them.
        tried_again: a loose change that the store cannot take now waits until the store has taken a write.
            Of any other whoever submitted it is told at once, and has a rule of their own.
    """

    patient = True
    loose = False
    tried_again = False

    @property
    def ref(self) -> SessionRef | None:
        """It may touch any session of its user."""
        return None

    @abstractmethod
    def apply(self, forest: Forest) -> T:
        """Change the store, on the writer thread."""

    def hand_over(self) -> None:
        """It is done and told: on the writer thread, before anything else is written."""
