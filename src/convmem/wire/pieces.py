"""A text on its way in, piece by piece."""

from __future__ import annotations

__all__ = ["Pieces"]

_LOOSE = 1_024


class Pieces:
    """Takes little more room than the text itself, however small the pieces are.

    A million pieces of a few characters would take ten times the room of what they say.
    """

    def __init__(self, first: str = "") -> None:
        self._joined: list[str] = []
        self._loose = [first]

    def append(self, piece: str) -> None:
        """The text goes on."""
        self._loose.append(piece)
        if len(self._loose) >= _LOOSE:
            self._joined.append("".join(self._loose))
            self._loose.clear()

    def __str__(self) -> str:
        return "".join([*self._joined, *self._loose])
