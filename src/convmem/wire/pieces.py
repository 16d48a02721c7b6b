"""A text that grows piece by piece in little more memory than the text takes."""

from __future__ import annotations

__all__ = ["Pieces"]

_LOOSE = 1_024
"""Pieces that are kept apart before they are joined: at some 60 bytes each they take 60 kB at most. Joining
more often would copy more, waiting longer would take more memory."""


class Pieces:
    """Keeps a text that arrives in small pieces, joining them every now and then.

    A list of a million pieces of a few characters would take ten times the memory of the text.
    """

    def __init__(self, first: str = "") -> None:
        self._joined: list[str] = []
        self._loose = [first]

    def append(self, piece: str) -> None:
        """Add a piece to the end of the text."""
        self._loose.append(piece)
        if len(self._loose) >= _LOOSE:
            self._joined.append("".join(self._loose))
            self._loose.clear()

    def __str__(self) -> str:
        return "".join([*self._joined, *self._loose])
