"""What each policy sends in a long conversation, as a picture: docs/policies.svg.

    python benchmarks/policies.py docs/policies.svg

Two hundred rounds of 400 tokens to a model with a large window. The plans are those of the policies
themselves; summary and recall are drawn with their whole budget. Prints the tokens sent per policy.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import convmem

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 200
TOKENS = 400
ROOM = 1_000_000
SHOWN = ("full", "window", "lean", "balanced", "thorough")

_PANEL, _GAP, _LEFT, _TOP, _HEIGHT = 150, 14, 52, 64, 240
_MOST = 80_000
_COLOURS = {"window": "#7a9cc6", "summary": "#c98b3d", "recall": "#4f9d69"}
_NAMES = {"window": "rounds, word for word", "summary": "summary", "recall": "recalled turns"}


@dataclass(frozen=True, slots=True)
class Sent:
    """Tokens of one request, by section."""

    window: int
    summary: int
    recall: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.window + self.summary + self.recall


def requests(policy: convmem.Policy) -> list[Sent]:
    """What each call of the conversation sends."""
    sent: list[Sent] = []
    start = 0
    for count in range(1, ROUNDS + 1):
        rounds = (TOKENS,) * count
        plan = policy.plan(convmem.PolicyRequest(rounds, start, ROOM))
        start = plan.start
        sent.append(Sent(sum(rounds[start:]), plan.summary, plan.recall))
    return sent


def picture() -> str:
    """The panels side by side on one scale, as SVG."""
    width = _LEFT + len(SHOWN) * (_PANEL + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_TOP + _HEIGHT + 40}">',
        '<g font-family="system-ui, sans-serif" font-size="12" fill="#333">',
        "<title>Tokens sent with each of 200 calls, by policy</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for n, (section, name) in enumerate(_NAMES.items()):
        x = _LEFT + n * 190
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{_COLOURS[section]}"/>')
        parts.append(f'<text x="{x + 18}" y="20">{name}</text>')
    for tokens in range(0, _MOST + 1, 20_000):
        y = _y(tokens)
        parts.append(f'<path d="M{_LEFT} {y}H{width - _GAP}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tokens // 1000}k</text>')
    for n, name in enumerate(SHOWN):
        parts += _panel(name, _LEFT + n * (_PANEL + _GAP))
    y = _TOP + _HEIGHT + 30
    parts.append(f'<text x="{_LEFT}" y="{y}">across: calls 1 to {ROUNDS}; up: tokens sent with a call</text>')
    return "\n".join([*parts, "</g></svg>"]) + "\n"


def _panel(name: str, x: int) -> list[str]:
    sent = requests(convmem.PRESETS[name])
    mean = sum(request.total for request in sent) // ROUNDS
    parts = [
        f'<text x="{x}" y="{_TOP - 22}" font-weight="bold">{name}</text>',
        f'<text x="{x}" y="{_TOP - 7}" fill="#666">{mean / 1000:.1f}k a call</text>',
    ]
    below = [0] * ROUNDS
    for section, colour in _COLOURS.items():
        above = [low + getattr(request, section) for low, request in zip(below, sent, strict=True)]
        if above != below:
            edge = [*_corners(above, x), *reversed(_corners(below, x))]
            parts.append(f'<path d="M{"L".join(edge)}Z" fill="{colour}"/>')
        below = above
    return [*parts, f'<path d="M{x} {_y(0)}h{_PANEL}" stroke="#333"/>']


def _corners(line: Sequence[int], x: int) -> list[str]:
    """The points where a line that rises evenly but for cuts begins, turns and ends."""
    turning = [n for n in range(1, ROUNDS) if line[n] < line[n - 1]]
    wanted = sorted({0, ROUNDS - 1, *turning, *(n - 1 for n in turning)})
    return [f"{x + n * _PANEL / (ROUNDS - 1):.1f} {_y(line[n])}" for n in wanted]


def _y(tokens: int) -> float:
    return round(_TOP + _HEIGHT * (1 - tokens / _MOST), 1)


def main() -> None:
    """Print the figures, and write the picture when a path is given."""
    for name in SHOWN:
        sent = requests(convmem.PRESETS[name])
        cuts = sum(one.window > other.window for one, other in pairwise(sent))
        print(f"{name:10}{sum(r.total for r in sent) / ROUNDS:9,.0f} tokens a call, {cuts} cuts")
    for path in sys.argv[1:2]:
        Path(path).write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
