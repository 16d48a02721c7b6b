"""A compressor without a model: the sentences worth keeping, word for word, in the order of time."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.compress.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.compress.protocol import CompressRequest
    from convmem.types import Turn

__all__ = ["Extractive"]

_LONGEST = 240
"""Characters of a sentence that are quoted; what lies beyond is cut with an ellipsis."""

_FIGURES = re.compile(r"\d|[€$£¥]|[一二三四五六七八九十百千万两]+(?=[块元年月日号点个人岁])")
_NAMES = re.compile(r"(?<=[a-z,;:] )[A-Z][\w-]+|[A-Z]{2,}[\w-]*\d*|「[^」]+」|《[^》]+》")
_DECIDED = re.compile(
    r"\b(?:decid\w+|agreed|chose\w*|booked|moved to|changed to|instead|let's go with|we'll take|confirmed"
    r"|must|deadline|prefer\w*|allerg\w+|always|never|from now on|remember|my name is|call me)\b"
    r"|决定|定了|改成|改到|改为|换成|确认|订了|必须|截止|喜欢|不喜欢|过敏|以后|总是|一直|千万"
    r"|记住|记得|我叫|叫我",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"\b(?:actually|instead|no longer|not .{1,30} but|correction|changed|moved)\b"
    r"|其实|不是.{1,12}是|改成|改到|改为|换成|更正",
    re.IGNORECASE,
)
_SMALL = re.compile(
    r"(?:ok(?:ay)?|thanks?|thank you|sure|great|hi|hello|好的?|谢谢|嗯+|哈+|收到|没问题)[\s!.,。！，]*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z0-9][\w.@-]*|[㐀-鿿]{2}", re.IGNORECASE)
_LINE = re.compile(r"^\[(\d{4}-\d{2}-\d{2})\] (.*)$")


@dataclass(slots=True)
class _Line:
    """A sentence that may be kept."""

    date: str
    text: str
    terms: frozenset[str]
    score: float
    place: int


class Extractive:
    """Keeps sentences with figures, names, decisions and rules, the user's own before replies, no two alike.

    Scores add what a sentence holds to how central its words are (tf-idf against all sentences of the
    request, as in SumBasic and its kin); of two that say nearly the same the later stands, since it corrects
    the earlier. Lines of the previous summary compete with the new ones and fade by a fifth each time.
    """

    def compress(self, request: CompressRequest) -> str:
        """The best sentences that fit, one per line behind its date."""
        lines = [*_previous(request.previous), *_said(request.turns)]
        _weigh(lines)
        kept: list[_Line] = []
        for line in sorted(lines, key=lambda line: (-line.score, -line.place)):
            if any(_alike(line, other) for other in kept):
                continue
            kept.append(line)
            if request.count(_written(kept)) > request.tokens:
                kept.pop()
                if request.tokens - request.count(_written(kept)) < _LEAST_ROOM:
                    break
        return _written(kept)


_LEAST_ROOM = 12
_FADE = 0.8
_ALIKE = 0.6
_SAME_SUBJECT = 0.45


def _previous(summary: str) -> list[_Line]:
    lines: list[_Line] = []
    for text in summary.splitlines():
        found = _LINE.match(text)
        if found:
            said = found[2]
            lines.append(_Line(found[1], said, _terms(said), _FADE * _worth(said), len(lines) - 1_000_000))
    return lines


def _said(turns: Sequence[Turn]) -> list[_Line]:
    lines: list[_Line] = []
    for turn in turns:
        own = turn.role == "user"
        if turn.role not in {"user", "assistant"}:
            continue
        date = turn.at.date().isoformat()
        for said in sentences(turn.text):
            if len(said) < 2 or _SMALL.fullmatch(said):  # noqa: PLR2004 (a single character says nothing)
                continue
            short = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
            text = f"{turn.name or turn.role}: {short}"
            worth = _worth(short) + (1.0 if own else 0.0)
            lines.append(_Line(date, text, _terms(short), worth, len(lines)))
    return lines


def _worth(text: str) -> float:
    worth = (
        0.8 * bool(_FIGURES.search(text))
        + 0.6 * bool(_NAMES.search(text))
        + 1.2 * bool(_DECIDED.search(text))
    )
    worth += 0.6 * bool(_CORRECTED.search(text))
    return worth - 0.8 * text.rstrip().endswith(("?", "？", "吗", "呢"))


def _terms(text: str) -> frozenset[str]:
    return frozenset(term.lower() for term in _WORD.findall(text))


def _weigh(lines: Sequence[_Line]) -> None:
    """Add to each line how central it is: the mean tf-idf weight of its words, from 0 to 1."""
    frequency = Counter(term for line in lines for term in line.terms)
    n = len(lines)
    for line in lines:
        if line.terms:
            weights = [frequency[t] / n * math.log(1 + n / frequency[t]) for t in line.terms]
            line.score += min(1.0, sum(weights) / len(weights) * 4)
    # A correction takes the place of what it corrects: the earlier line on the same subject fades.
    latest = sorted(lines, key=lambda line: line.place)[-_COMPARED:]
    for i, line in enumerate(latest):
        if _CORRECTED.search(line.text):
            for earlier in latest[:i]:
                if _overlap(line.terms, earlier.terms) >= _SAME_SUBJECT:
                    earlier.score *= 0.5


_COMPARED = 400


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    smaller = min(len(one), len(other))
    return len(one & other) / smaller if smaller else 0.0


def _alike(line: _Line, other: _Line) -> bool:
    both = len(line.terms | other.terms)
    return both > 0 and len(line.terms & other.terms) / both >= _ALIKE


def _written(lines: Sequence[_Line]) -> str:
    ordered = sorted(lines, key=lambda line: (line.date, line.place))
    return "\n".join(f"[{line.date}] {line.text}" for line in ordered)
