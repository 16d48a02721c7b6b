"""One piece of work for the writer thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from convmem.journal.forest import Forest
    from convmem.protocols import SessionRef, Write, Written

__all__ = ["Job", "NotYetError"]

T = TypeVar("T")


class NotYetError(Exception):
    """A job's turn has not come: the one before it is not written."""


class Job(ABC, Generic[T]):
    """One piece of work for the writer thread.

    Attributes:
        outcome: resolved once: with what `settle` returns, or with why it was not written. A job in the
            spill may have failed its outcome and still be written later.
        patient: whoever waits would rather have the error than the spill (the direct API, where the
            caller still holds the data).
        user: whose memory it is about.
        finished: it was written, or never will be.
    """

    patient = False
    user: str | None = None

    def __init__(self) -> None:
        self.outcome: Future[T] = Future()
        self.outcome.set_running_or_notify_cancel()  # a caller who stops waiting cancels nothing
        self.finished = False

    @property
    @abstractmethod
    def ref(self) -> SessionRef | None:
        """The session it writes to; None while only planning can tell which of the user's it is."""

    @abstractmethod
    def plan(self, forest: Forest) -> Write | None:
        """Decide what to write; None when there is nothing. Called again after a conflict.

        Raises:
            NotYetError: when the job before it must be written first.
        """

    @abstractmethod
    def settle(self, written: Written | None) -> T:
        """What the job is for, once its write is committed; runs on the writer thread."""

    def lost(self) -> None:
        """It will never be written."""

    def plainer(self) -> bool:
        """Make what it writes plainer, after an unexpected error; False when it is as plain as can be."""
        return False

    def finish(self, written: Written | None) -> None:
        """The write is committed."""
        self.finished = True
        try:
            result = self.settle(written)
        except Exception as error:  # noqa: BLE001 (handed to whoever waits)
            self.refuse(error)
        else:
            if not self.outcome.done():
                self.outcome.set_result(result)

    def refuse(self, error: Exception) -> None:
        """Tell whoever waits; the job itself may still be written."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def fail(self, error: Exception) -> None:
        """It will never be written."""
        self.finished = True
        self.refuse(error)
        self.lost()
