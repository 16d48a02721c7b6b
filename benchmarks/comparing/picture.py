"""Recall against tokens, drawn as SVG: one line per system, each point a budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Points = Sequence[tuple[float, float]]

__all__ = ["draw"]

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 170, 46, 58
_INK, _QUIET, _GRID = "#1f2328", "#59636e", "#d9dee3"
_COLOURS = (
    "#0969da", "#bc4c00", "#1a7f37", "#8250df", "#9a6700", "#bf3989", "#57606a", "#0b7285", "#a40e26",
    "#5c940d",
)  # fmt: skip
_LABEL_APART = 15.0


def draw(title: str, subtitle: str, lines: Mapping[str, Points]) -> str:
    """The picture.

    Args:
        title: above it.
        subtitle: below the title.
        lines: for each system its points: tokens spent on average, and the share found.
    """
    tokens = [x for points in lines.values() for x, _ in points if x > 0]
    if not tokens:
        return ""
    scale = _Scale(min(tokens), max(tokens))
    body = [*_frame(title, subtitle, scale)]
    ends: list[tuple[float, float, str, str]] = []
    for place, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        spots = [(scale.x(x), scale.y(y)) for x, y in sorted(points) if x > 0]
        if not spots:
            continue
        weight = 3 if place == 0 else 1.7
        if len(spots) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{weight}"/>')
        radius = 4 if place == 0 else 3
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>' for x, y in spots]
        ends.append((*spots[-1], name, colour))
    body += _labels(ends)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *body, "</svg>"]) + "\n"


class _Scale:
    """Tokens from left to right by their logarithm, shares from 0 at the bottom to 1 at the top."""

    def __init__(self, least: float, most: float) -> None:
        low, high = math.log2(least), math.log2(most)
        spare = max(0.25, (high - low) * 0.04)
        self._low, self._high = low - spare, high + spare

    def x(self, tokens: float) -> float:
        share = (math.log2(tokens) - self._low) / (self._high - self._low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def marks(self) -> list[int]:
        """Powers of two within, every second or third of them when there are many."""
        powers = list(range(math.ceil(self._low), math.floor(self._high) + 1))
        step = 1 + len(powers) // 10
        return [2**power for power in powers[::step]]


def _frame(title: str, subtitle: str, scale: _Scale) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    drawn = [
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 20, title, fill=_INK, size=15, weight="600"),
        _text(_LEFT, 36, subtitle, fill=_QUIET),
    ]
    for tenth in range(0, 11, 2):
        y = scale.y(tenth / 10)
        drawn.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{_GRID}"/>')
        drawn.append(_text(_LEFT - 8, y + 4, f"{tenth / 10:.1f}", fill=_QUIET, anchor="end"))
    for tokens in scale.marks():
        x = scale.x(tokens)
        drawn.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="{_QUIET}"/>')
        drawn.append(_text(x, bottom + 20, f"{tokens:,}", fill=_QUIET, anchor="middle"))
    middle = (_LEFT + right) / 2
    drawn.append(_text(middle, _HEIGHT - 16, "tokens added, on average", fill=_QUIET, anchor="middle"))
    drawn.append(
        f'<text transform="translate(18 {(_TOP + bottom) / 2}) rotate(-90)" fill="{_QUIET}" '
        'text-anchor="middle">gold turns found whole</text>'
    )
    return drawn


def _labels(ends: Sequence[tuple[float, float, str, str]]) -> list[str]:
    """Names beside the lines' ends, moved apart where they would overlap."""
    drawn: list[str] = []
    right = _WIDTH - _RIGHT + 14
    last = _TOP - _LABEL_APART
    for x, y, name, colour in sorted(ends, key=lambda end: (end[1], -end[0])):
        last = max(y, last + _LABEL_APART)
        drawn.append(
            f'<line x1="{x + 5:.1f}" y1="{y:.1f}" x2="{right - 3}" y2="{last:.1f}" stroke="{colour}" '
            'stroke-width="0.6" stroke-dasharray="2 2"/>'
        )
        drawn.append(_text(right, last + 4, name, fill=colour, weight="600"))
    return drawn


def _text(
    x: float, y: float, text: str, *, fill: str, size: int = 12, weight: str = "400", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
