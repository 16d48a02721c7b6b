"""What a text has that another has not: copies of stretches of the other, and the words between them.

System texts that hold a clock, a counter or what was looked up change a little with every call. Kept as a
difference, such a text takes some seventy bytes where it would take its whole length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Piece", "difference", "put_together"]

Piece: TypeAlias = "str | tuple[int, int]"
"""Words of the text itself, or where a stretch of the other text begins and how long it is, in characters."""

_BLOCK = 24
"""Characters that must agree before a stretch is copied; naming a stretch takes half as many."""
_MOST_SEARCHED = 200_000
"""Characters between equal beginnings and equal ends that are searched for stretches, which takes tens of
milliseconds for so many. What is longer is kept as it is."""


def difference(base: str, text: str) -> list[Piece]:
    """The pieces of which `put_together` makes the text again, given the same base."""
    head = _alike(base, text, 0, 0)
    tail = _alike_at_the_end(base, text, min(len(base), len(text)) - head)
    pieces: list[Piece] = [(0, head)] if head else []
    pieces += _between(base, head, len(base) - tail, text[head : len(text) - tail])
    if tail:
        pieces.append((len(base) - tail, tail))
    return pieces


def put_together(base: str, pieces: Sequence[Piece | list[int]]) -> str:
    """The text again."""
    return "".join(
        piece if isinstance(piece, str) else base[piece[0] : piece[0] + piece[1]] for piece in pieces
    )


def _between(base: str, start: int, end: int, text: str) -> Iterator[Piece]:
    """The pieces of a text by what stands in the base from `start` to `end`."""
    if not text:
        return
    if max(end - start, len(text)) > _MOST_SEARCHED:
        yield text
        return
    # Blocks of the base side by side, the first of equal ones; in the text they may stand anywhere.
    blocks = {base[i : i + _BLOCK]: i for i in reversed(range(start, end - _BLOCK + 1, _BLOCK))}
    said = at = 0
    while at <= len(text) - _BLOCK:
        found = blocks.get(text[at : at + _BLOCK])
        if found is None:
            at += 1
            continue
        while at > said and found > start and text[at - 1] == base[found - 1]:  # less than a block
            at, found = at - 1, found - 1
        length = _alike(base, text, found, at)
        if at > said:
            yield text[said:at]
        yield found, length
        said = at = at + length
    if said < len(text):
        yield text[said:]


def _alike(one: str, other: str, i: int, j: int) -> int:
    """How many characters from these places on are the same; by halves, as comparing slices is quick."""
    low, high = 0, min(len(one) - i, len(other) - j)
    while low < high:
        middle = (low + high + 1) // 2
        if one[i + low : i + middle] == other[j + low : j + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _alike_at_the_end(one: str, other: str, most: int) -> int:
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
