"""Who is told how a call ended: an exchange, a call that went straight through, a reply asked for again.

A call ends once, in one of three ways: the reply came (`answered`), the call ended early and whoever made it
waits for what arrived to be kept (`stopped`), or nobody may wait (`stop_soon`). Only the first word counts.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from convmem.threads.waiting import adrive, drive

if TYPE_CHECKING:
    from collections.abc import Collection
    from concurrent.futures import Future

    from convmem.threads.waiting import Waits
    from convmem.types import Receipt
    from convmem.wire.values import Reply

__all__ = ["Recipient"]


class Recipient(ABC):
    """Is told how a call ended. Blocking and async callers drive the same steps.

    Attributes:
        ended: how it ended has been told, or is another process's to tell.
    """

    ended = False

    @property
    @abstractmethod
    def receipt(self) -> Receipt | None:
        """The account of the call so far."""

    @abstractmethod
    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten: the receipt has no words of them."""

    @abstractmethod
    def end(self, reply: Reply, error: BaseException | None = None, *, early: bool) -> Future[Any] | None:
        """Submit what is kept of the reply, once; None when there is nothing to wait for.

        Args:
            reply: what came.
            error: what ended the call.
            early: it was not the provider that ended it.
        """

    @abstractmethod
    def kept(
        self, error: BaseException | None, reply: Reply, response: object, *, waited_s: float, raises: bool
    ) -> None:
        """What is kept of the reply is written, or could not be in time.

        Args:
            error: why it is not written yet; None when it is.
            reply: what came.
            response: what the caller is given.
            waited_s: seconds for which the writer was waited for.
            raises: whether an error may be raised for it.
        """

    def waits(self, future: Future[Any]) -> Waits[BaseException | None]:
        """Wait for the writer."""
        return (yield future, self.patience_s)

    @property
    @abstractmethod
    def patience_s(self) -> float:
        """Seconds that the writer is waited for."""

    def ending(self, reply: Reply, *, response: object = None) -> Waits[None]:
        """The reply is there: keep it, and wait until it is committed, or late."""
        yield from self._ends(self.end(reply, early=False), reply, response, raises=True)

    def stopping(self, reply: Reply, error: BaseException | None = None) -> Waits[None]:
        """The call ended early: an error of the provider's, a stream broken off, cancelled or cut.

        What arrived is kept, and waited for like a reply, but for nobody when the call is cancelled or the
        process is to end. It never raises.
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
        """The call ended early, and nobody waits: for event loops and finalizers."""
        self.end(reply, error, early=True)

    def abandon(self) -> None:
        """The call belongs to the process this one was forked from, which tells its end."""
        self.ended = True
