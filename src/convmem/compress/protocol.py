"""The seam at which a compressor plugs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.types import Turn

__all__ = ["CompressRequest", "Compressor"]


@dataclass(frozen=True, slots=True)
class CompressRequest:
    """A request for a summary: the turns that leave the window, and the summary so far.

    Attributes:
        turns: the turns that leave the window, oldest first.
        previous: the summary of what left it before; empty the first time.
        tokens: the most tokens the new summary may have. It stands for both.
        count: counts the tokens of a text.
    """

    turns: tuple[Turn, ...]
    previous: str
    tokens: int
    count: Callable[[str], int]


@runtime_checkable
class Compressor(Protocol):
    """Writes summaries. It is told everything it may use; the same request should give the same summary."""

    def compress(self, request: CompressRequest) -> str:
        """The summary, as plain lines; empty when there is nothing worth keeping.

        An error leaves the previous summary standing.
        """
        ...
