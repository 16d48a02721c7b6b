"""Describes a text by its differences from a similar one: stretches copied from that, and words between them.

System texts that hold a clock, a counter or what was looked up change a little with every call. Kept as a
difference, such a text takes some seventy bytes where it would take its whole length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Piece", "difference", "put_together"]

Piece: TypeAlias = "str | tuple[int, int]"
"""Words of the text itself, or a stretch of the base: its first character and its length in characters."""

_BLOCK = 24
"""Characters that must be equal before a stretch is copied. Naming a stretch takes some twelve, so shorter
blocks would save little; longer ones miss stretches."""
_MOST_SEARCHED = 200_000
"""Characters between equal beginnings and equal ends that are searched for stretches, which takes tens of
milliseconds for so many. A longer middle is kept as it is."""


def difference(base: str, text: str) -> list[Piece]:
    """Return the pieces of which `put_together` makes the text again, given the same base."""
    head = _alike(base, text, 0, 0)
    tail = _alike_at_the_end(base, text, min(len(base), len(text)) - head)
    pieces: list[Piece] = [(0, head)] if head else []
    pieces += _between(base, head, len(base) - tail, text[head : len(text) - tail])
    if tail:
        pieces.append((len(base) - tail, tail))
    return pieces


def put_together(base: str, pieces: Sequence[Piece | list[int]]) -> str:
    """Make the text again from its pieces and the base."""
    return "".join(
        piece if isinstance(piece, str) else base[piece[0] : piece[0] + piece[1]] for piece in pieces
    )


def _between(base: str, start: int, end: int, text: str) -> Iterator[Piece]:
    """Yield the pieces of a text, with stretches taken from the base between `start` and `end`."""
    if not text:
        return
    if max(end - start, len(text)) > _MOST_SEARCHED:
        yield text
        return
    # Where each block of the base begins, blocks side by side; of equal ones the first, hence `reversed`. In
    # the text a block may begin at any character.
    blocks = {base[i : i + _BLOCK]: i for i in reversed(range(start, end - _BLOCK + 1, _BLOCK))}
    said = at = 0
    while at <= len(text) - _BLOCK:
        found = blocks.get(text[at : at + _BLOCK])
        if found is None:
            at += 1
            continue
        while at > said and found > start and text[at - 1] == base[found - 1]:  # equal characters before it
            at, found = at - 1, found - 1
        length = _alike(base, text, found, at)
        if at > said:
            yield text[said:at]
        yield found, length
        said = at = at + length
    if said < len(text):
        yield text[said:]


def _alike(one: str, other: str, i: int, j: int) -> int:
    """Count the equal characters from two places on; found by halving, because comparing slices is quick."""
    low, high = 0, min(len(one) - i, len(other) - j)
    while low < high:
        middle = (low + high + 1) // 2
        if one[i + low : i + middle] == other[j + low : j + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _alike_at_the_end(one: str, other: str, most: int) -> int:
    """Count the equal characters before the ends of two texts, `most` at most."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
