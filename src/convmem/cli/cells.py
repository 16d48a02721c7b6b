"""Fitting texts into columns of a terminal, where a Chinese character takes two cells."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["beside", "counted", "cropped", "flat", "shown", "wrapped"]

# What may not be torn apart: a run without spaces, but of scripts that have none each character by itself.
_PIECE = re.compile(r"\s+|[⺀-鿿豈-﫿＀-￯가-힯][，。！？：；、”’）》」』]?|[^\s⺀-鿿豈-﫿＀-￯가-힯]+")


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shown(text: str) -> str:
    """A text that cannot steer the terminal: models and imported files may hold escape sequences."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def counted(n: int, what: str) -> str:
    """How many there are, in words."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def flat(text: str) -> str:
    """A text on one line."""
    return " ".join(shown(text).split())


def cropped(text: str, width: int) -> str:
    """The beginning of a text, on one line of so many cells."""
    line = flat(text)
    if cell_len(line) <= width:
        return line
    kept, used = 0, 1
    for character in line:
        used += cell_len(character)
        if used > width:
            break
        kept += 1
    return line[:kept].rstrip() + "…"


def wrapped(text: str, width: int) -> list[str]:
    """A text on lines of so many cells: English broken between words, Chinese between characters."""
    lines, line = list[str](), ""
    for piece in _PIECE.findall(flat(text)):
        if cell_len(line) + cell_len(piece) <= width:
            line += piece
            continue
        if line.strip():
            lines.append(line.rstrip())
        rest = piece.lstrip()
        while cell_len(rest) > width:
            head = _head(rest, width)
            lines.append(head)
            rest = rest[len(head) :]
        line = rest
    return [*lines, line.rstrip()] if line.strip() else lines


def _head(text: str, width: int) -> str:
    used = 0
    for i, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[: max(1, i)]
    return text


def beside(left: Sequence[Text], right: Sequence[Text], width: int) -> Text:
    """Two columns, the left one of so many cells."""
    rows = [
        Text.assemble(a, " " * (width - cell_len(a.plain)), " | ", b)
        for a, b in zip_longest(left, right, fillvalue=Text())
    ]
    return Text("\n").join(rows)
