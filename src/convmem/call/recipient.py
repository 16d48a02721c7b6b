"""Defines who is told how a call ended: the base class of `Exchange`, `Passage` and `Retrieval`.

A call ends once, in one of three ways: the reply came (`answered`); the call ended early, and whoever made it
waits until what arrived is journaled (`stopped`); or it ended early and nobody may wait (`stop_soon`).
Whichever is told first counts. The wrappers (`wrap.openai`) tell.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from convmem.threads.waiting import adrive, drive

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Future

    from convmem.call.shared import Shared
    from convmem.threads.waiting import Waits
    from convmem.types import Receipt
    from convmem.wire.values import Reply

__all__ = ["Recipient"]


class Recipient(ABC):
    """A call that is told how it ended; blocking and async callers drive the same steps.

    Attributes:
        ended: the end of the call has been told, or another process has to tell it.
    """

    ended = False
    _shared: Shared

    @property
    @abstractmethod
    def receipt(self) -> Receipt | None:
        """The receipt of the call so far."""

    @abstractmethod
    def unquote(self, ids: Collection[str]) -> None:
        """Take the quoted words of forgotten turns out of the receipt."""

    @abstractmethod
    def end(self, reply: Reply, error: BaseException | None = None, *, early: bool) -> Future[Any] | None:
        """Submit the job that journals the reply, once.

        Args:
            reply: what arrived of the reply.
            error: the error that ended the call; None without one.
            early: the call ended before the reply was whole.

        Returns:
            The job's future; None when there is nothing to wait for.
        """

    @abstractmethod
    def kept(
        self, error: BaseException | None, reply: Reply, response: object, *, waited_s: float, raises: bool
    ) -> None:
        """Called when the reply is journaled, or could not be in time.

        Args:
            error: the error that kept the reply from being journaled in time; None when it is journaled.
            reply: what arrived of the reply.
            response: the object that the caller is given; None for a call that ended early.
            waited_s: seconds for which the call waited for the writer.
            raises: whether an error may be raised here.
        """

    def waits(self, future: Future[Any]) -> Waits[BaseException | None]:
        """Wait for the writer, `patience_s` at most; gives the error, None when the job is done."""
        return (yield future, self.patience_s)

    @property
    def patience_s(self) -> float:
        """Seconds for which the call waits for the writer, before the provider call and again after it."""
        return self._shared.patience_s

    def ending(self, reply: Reply, *, response: object = None) -> Waits[None]:
        """End the call with its reply: have the reply journaled, and wait until it is, or is late."""
        yield from self._ends(self.end(reply, early=False), reply, response, raises=True)

    def stopping(self, reply: Reply, error: BaseException | None = None) -> Waits[None]:
        """End the call early: after a provider's error, or a stream that broke off, was cancelled or cut.

        What arrived is journaled, and waited for like a reply, except when the call is cancelled or the
        process is to end (`KeyboardInterrupt`, `SystemExit`). Nothing is raised.
        """
        future = self.end(reply, error, early=True)
        if error is None or isinstance(error, Exception):
            yield from self._ends(future, reply, None, raises=False)

    def _ends(
        self, future: Future[Any] | None, reply: Reply, response: object, *, raises: bool
    ) -> Waits[None]:
        if future is not None:
            began = time.monotonic()
            error = yield from self.waits(future)
            self.kept(error, reply, response, waited_s=time.monotonic() - began, raises=raises)

    def answered(self, reply: Reply, *, response: object = None) -> None:
        """`ending`, on this thread."""
        drive(self.ending(reply, response=response))

    async def aanswered(self, reply: Reply, *, response: object = None) -> None:
        """`ending`, without blocking the event loop."""
        await adrive(self.ending(reply, response=response))

    def stopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """`stopping`, on this thread."""
        drive(self.stopping(reply, error))

    async def astopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """`stopping`, without blocking the event loop."""
        await adrive(self.stopping(reply, error))

    def stop_soon(self, reply: Reply, error: BaseException | None = None) -> None:
        """End the call early without waiting, for event loops and finalizers."""
        self.end(reply, error, early=True)

    def abandon(self) -> None:
        """Leave the call to the parent process, which this one was forked from and which tells its end."""
        self.ended = True
