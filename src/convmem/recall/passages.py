"""Cuts a turn into passages: the pieces that are scored and shown when a turn is too long."""

from __future__ import annotations

import re
from typing import Final

WHOLE: Final = 640
"""Characters up to which a turn is one passage and is never trimmed."""
TARGET: Final = 420
"""Characters a passage aims at."""
LONGEST: Final = 600
"""Characters no passage exceeds."""

_BREAK: Final = re.compile(r"\n+|(?<=[。！？；…])|(?<=[.!?;])(?=\s)")


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of sentences and lines, without the white space around them; none is longer than `LONGEST`."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(text):
        spans.extend(_pieces(text, start, match.start()))
        start = match.end()
    spans.extend(_pieces(text, start, len(text)))
    return spans


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Trim white space and cut what is longer than `LONGEST`, at a space or comma where there is one."""
    pieces: list[tuple[int, int]] = []
    while True:
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if start >= end:
            return pieces
        if end - start <= LONGEST:
            pieces.append((start, end))
            return pieces
        half = start + TARGET // 2
        cut = max(text.rfind(mark, half, start + TARGET) for mark in " ，、,|")
        cut = cut + 1 if cut >= half else start + TARGET
        pieces.append((start, cut))
        start = cut


def cut(text: str) -> list[tuple[int, int]]:
    """Spans of a turn's passages: all of a short turn, else runs of sentences of some `TARGET` characters."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    passages: list[tuple[int, int]] = []
    for start, end in sentences(text):
        if passages and end - passages[-1][0] <= TARGET:
            passages[-1] = (passages[-1][0], end)
        else:
            passages.append((start, end))
    return passages or [(0, min(len(text), TARGET))]
