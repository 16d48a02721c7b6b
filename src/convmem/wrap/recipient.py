"""Who is told of a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from convmem.types import Receipt
    from convmem.wire.values import Reply

__all__ = ["Recipient"]


class Recipient(Protocol):
    """An `Exchange`, or the `Retrieval` of a response that is asked for again. Only the first word counts."""

    @property
    def receipt(self) -> Receipt | None:
        """The account of the call."""
        ...

    def answered(self, reply: Reply, *, response: object = None) -> None:
        """The reply is there; returns when it is committed, or late."""
        ...

    async def aanswered(self, reply: Reply, *, response: object = None) -> None:
        """`answered`, without blocking the event loop."""
        ...

    def stopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """The call ended early."""
        ...

    async def astopped(self, reply: Reply) -> None:
        """The caller closed it early; `stopped`, without blocking the event loop."""
        ...

    def stop_soon(self, reply: Reply, error: BaseException | None = None) -> None:
        """`stopped`, waiting for nobody."""
        ...

    def abandon(self) -> None:
        """It belongs to the process this one was forked from."""
        ...
