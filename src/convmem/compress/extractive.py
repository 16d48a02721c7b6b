"""A compressor without a model: the sentences worth keeping, word for word, in the order of time."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final

from convmem.compress.cues import asks, corrects, figures, lasting, worth
from convmem.compress.sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from convmem.compress.protocol import CompressRequest
    from convmem.types import Turn

__all__ = ["Extractive"]

_HEADING: Final = re.compile(r"^(\d{4}-\d{2}-\d{2}):$")
_SPEAKER: Final = re.compile(r"^([^:]{1,40}): (?=\S)")
# Bounds of the work: a summary is made on the thread that composes, while a call may wait for it.
_LONGEST_TURN: Final = 20_000
"""Characters of a turn that are read, some 200 sentences: a summary of 600 tokens keeps a handful."""
_LONGEST_NAME: Final = 40
"""Characters of a speaker's name in front of a line."""
_MOST_LINES: Final = 4_000
"""Sentences that are compared with one another; of more the best by themselves."""
_TALK: Final = 80
"""Characters up to which a sentence is looked at as small talk: "Thanks, that helps!" is not worth a line."""
_MISSES: Final = 60
"""Lines in a row that no longer fit after which the budget counts as filled."""

# Weights of a line's score, on the scale of `cues.worth`: a decision is worth 1, a figure .7, a name .5.
_OWN_WORDS: Final = 0.8
"""For what the user said: the user's facts are the user's, a reply mostly repeats or explains."""
_CENTRAL: Final = 0.3
"""At most, for words that all lines are about; less than a cue, or one subject would fill the summary."""
_LATE: Final = 0.3
"""At most, for the newest line: enough to decide between two that are worth the same."""
_OLDEST, _NEWEST = 0.8, 0.95
"""What is left at each cut of the scores of the summary's oldest and newest line."""
_THIN: Final = 0.8
"""Taken from a line of fewer than three terms, which hardly says what about what."""

# A line is chosen by its score divided by (`_FIXED_COST` + its tokens) to the power of `_DENSITY`.
_FIXED_COST: Final = 8
"""Tokens that each line costs beside its own: without them the shortest lines would always win."""
_DENSITY: Final = 0.45
"""0 would take the best lines however long, 1 the most score for the tokens: half of a fact, twice."""
_ALIKE: Final = 0.6
"""Likeness to a line that is kept already from which a line is left out."""

# Corrections: a later line takes an earlier one's place when both are about one subject.
_SAME_SUBJECT: Final = 0.5
"""Share of the shorter line's subject words that both have, where the later one says that it corrects."""
_SAME_SHAPE: Final = 0.75
"""The same where nothing says so and only figures differ: entries of a list look like that, too."""
_MAYBE_OUTDATED: Final = 0.6
"""What is then left of the earlier one's score: perhaps both hold."""
_LEAST_SHARED: Final = 1.5
"""Weight of shared subject words from which two lines are compared: two words, or three characters."""
_OF_A_CHARACTER: Final = 0.5
"""Weight of a Chinese character: a Chinese word has two of them more often than one."""
_TELLING: Final = 40
"""Earlier lines looked at for each word, the newest ones: a word that many lines have tells nothing."""


@dataclass(slots=True)
class _Line:
    """A sentence that may be kept.

    Attributes:
        date: as in a heading; empty where it is not known.
        place: orders the lines, oldest first; below 0 those of the summary before.
        subject: its words without figures and codes; of Chinese, single characters, because pairs differ with
            what stands beside a word.
        stands: what a later line leaves of its score: all, some, or nothing when it is corrected.
    """

    date: str
    speaker: str
    text: str
    place: int
    score: float
    terms: frozenset[str] = field(default=frozenset())
    ordered: tuple[str, ...] = ()
    figures: frozenset[str] = field(default=frozenset())
    subject: frozenset[str] = field(default=frozenset())
    corrects: bool = False
    stands: float = 1.0

    @property
    def written(self) -> str:
        """The line as it stands in the summary."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text


class Extractive:
    """Keeps sentences with figures, names, decisions and rules, the user's own before replies, no two alike.

    A sentence's score adds what it holds (`cues`), who said it, how close its words are to those of all the
    sentences (cosine to the tf-idf centroid, as in centroid summarization, Radev 2004) and, slightly, how
    late it was said. Sentences are taken by score for their length; one like another already taken counts
    less (MMR, Carbonell and Goldstein 1998). A correction takes the place of what it corrects; a sentence
    with other figures about the same subject goes before the one that was said earlier.

    The lines of the previous summary compete with the new ones, the older with the greater handicap; rules
    and preferences have none. When nothing new is worth a line, the previous summary stays as it is.

    A thousand turns take a third of a second.
    """

    def compress(self, request: CompressRequest) -> str:
        """The best sentences that fit: lines of `speaker: sentence`, below a line `2026-03-02:` per day."""
        new = _said(request.turns)
        fits = request.count(request.previous) <= request.tokens
        if not new and fits:
            return request.previous
        if request.tokens <= 0:
            return ""
        lines = [*_previous(request.previous), *new]
        if len(lines) > _MOST_LINES:
            best = sorted(lines, key=lambda line: (-line.score, -line.place))[:_MOST_LINES]
            lines = sorted(best, key=lambda line: line.place)
        _analyze(lines)
        _weigh(lines)
        _prefer_later(lines)
        kept = _chosen(lines, request.tokens, request.count)
        while request.count(_written(kept)) > request.tokens and kept:
            kept.pop()
        return _written(kept)


# From turns and the previous summary to lines.


def _said(turns: Sequence[Turn]) -> list[_Line]:
    from convmem.recall.intent import is_small_talk  # noqa: PLC0415 (numpy only when it is needed)

    lines: list[_Line] = []
    for turn in turns:
        if turn.role not in {"user", "assistant"}:
            continue
        date = turn.at.date().isoformat()
        speaker = " ".join((turn.name or turn.role).replace(":", " ").split())[:_LONGEST_NAME] or turn.role
        bonus = _OWN_WORDS if turn.role == "user" else 0.0
        for text in sentences(turn.text[:_LONGEST_TURN]):
            if len(text) > _TALK or not is_small_talk(text):
                lines.append(_Line(date, speaker, text, len(lines), worth(text) + bonus))
    return lines


def _previous(summary: str) -> list[_Line]:
    """The lines of the summary before, which may be another compressor's; placed before all new ones."""
    found: list[_Line] = []
    date = ""
    for row in summary.splitlines():
        if heading := _HEADING.match(row):
            date = heading[1]
            continue
        said = _SPEAKER.match(row)
        speaker, rest = (said[1], row[said.end() :]) if said else ("", row)
        for text in [rest] if date else sentences(rest):
            if text.strip():
                bonus = 0.0 if speaker == "assistant" else _OWN_WORDS
                found.append(_Line(date, speaker, text, 0, worth(text) + bonus))
    for index, line in enumerate(found):
        line.place = index - len(found)
        if not lasting(line.text):
            line.score *= _OLDEST + (_NEWEST - _OLDEST) * index / len(found)
    return found


# Scores.


def _analyze(lines: Iterable[_Line]) -> None:
    from convmem.recall.analyze import words  # noqa: PLC0415 (numpy only when it is needed)

    for line in lines:
        # In the order of the text: a sum over a set would differ in its last bits from process to process.
        line.ordered = tuple(dict.fromkeys(words(line.text)))
        line.terms = frozenset(line.ordered)
        line.figures = figures(line.text)
        line.subject = _subject(line.ordered) - line.figures
        line.corrects = corrects(line.text)


def _subject(terms: Iterable[str]) -> frozenset[str]:
    return frozenset(term for term in terms if term.isalpha() and (len(term) == 1 or not _is_wide(term)))


def _is_wide(term: str) -> bool:
    return term[0] >= "\u2e80"


def _weigh(lines: Sequence[_Line]) -> None:
    """Add to each score how central the line is, 0 to 1, and how late; take from lines with hardly a word."""
    frequency = Counter(term for line in lines for term in line.ordered)
    rarity = {term: math.log(1 + len(lines) / count) for term, count in frequency.items()}
    centroid = {term: count * rarity[term] for term, count in frequency.items()}
    found = [0.0] * len(lines)
    for index, line in enumerate(lines):
        length = math.sqrt(sum(rarity[term] ** 2 for term in line.ordered))
        if length:
            found[index] = sum(rarity[term] * centroid[term] for term in line.ordered) / length
    most = max(found, default=0.0) or 1.0
    for index, line in enumerate(lines):
        line.score += _CENTRAL * found[index] / most + _LATE * index / len(lines)
        if len(line.terms) < 3:  # noqa: PLR2004 (two terms hardly say what about what)
            line.score -= _THIN


def _prefer_later(lines: Sequence[_Line]) -> None:
    """Where a line corrects an earlier one, it takes over its score, and the earlier one loses it."""
    postings: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if (line.figures or line.corrects) and not asks(line.text):
            shared: dict[int, float] = {}
            for term in line.subject:
                for earlier in postings.get(term, ())[-_TELLING:]:
                    shared[earlier] = shared.get(earlier, 0) + _weight(term)
            for earlier in sorted(earlier for earlier, weight in shared.items() if weight >= _LEAST_SHARED):
                stands = _stands(lines[earlier], line)
                if stands < 1:
                    line.score = max(line.score, lines[earlier].score)
                    lines[earlier].stands = min(lines[earlier].stands, stands)
        for term in line.subject:
            postings.setdefault(term, []).append(index)
    for line in lines:
        line.score *= line.stands


def _weight(term: str) -> float:
    return _OF_A_CHARACTER if _is_wide(term) else 1.0


def _stands(earlier: _Line, later: _Line) -> float:
    """What is left of the earlier line's score once the later one was said; 1 when they do not collide."""
    overlap = len(earlier.subject & later.subject) / min(len(earlier.subject), len(later.subject))
    if later.corrects and overlap >= _SAME_SUBJECT and earlier.terms != later.terms:
        return 0.0
    other_values = bool(earlier.figures - later.figures and later.figures - earlier.figures)
    return _MAYBE_OUTDATED if other_values and overlap >= _SAME_SHAPE else 1.0


# Choosing and writing.


def _chosen(lines: Sequence[_Line], tokens: int, count: Callable[[str], int]) -> list[_Line]:
    """The lines to keep, best first, by score for their length, each next one unlike those before it."""
    costs = [count(line.written) + 1 for line in lines]
    gains = [
        line.score / (_FIXED_COST + max(0, cost)) ** _DENSITY for line, cost in zip(lines, costs, strict=True)
    ]
    heap = [
        (-gain, -line.place, index, 0) for index, (gain, line) in enumerate(zip(gains, lines, strict=True))
    ]
    heapq.heapify(heap)
    kept: list[_Line] = []
    dates: set[str] = set()
    worst = [0.0] * len(lines)  # how like one of those kept so far each line is
    left, counted, misses = tokens, 0, 0
    while heap and misses < _MISSES:
        loss, late, index, seen = heapq.heappop(heap)
        line = lines[index]
        if loss >= 0:
            break
        if seen < len(kept):  # compared with some of those kept only: compare with the rest, and queue again
            worst[index] = max(worst[index], *(_likeness(line, other) for other in kept[seen:]))
            if worst[index] < _ALIKE:
                heapq.heappush(heap, (-gains[index] * (1 - worst[index]), late, index, len(kept)))
            continue
        cost = costs[index] + (0 if line.date in dates or not line.date else count(f"{line.date}:") + 1)
        if cost > left and counted < len(kept):  # lines together take less than each by itself
            left, counted = tokens - count(_written(kept)), len(kept)
        if cost > left:
            misses += 1
            continue
        left -= cost
        dates.add(line.date)
        kept.append(line)
    return kept


def _likeness(one: _Line, other: _Line) -> float:
    """The share of terms two lines have in common, 0 to 1; a line within a longer one is quite like it."""
    shared = len(one.terms & other.terms)
    if not shared:
        return 1.0 if one.text == other.text else 0.0
    inside = shared / min(len(one.terms), len(other.terms))
    return max(shared / len(one.terms | other.terms), 0.7 * inside)


def _written(lines: Iterable[_Line]) -> str:
    ordered = sorted(lines, key=lambda line: (line.date, line.place))
    rows: list[str] = []
    for date, day in groupby(ordered, key=lambda line: line.date):
        rows += [f"{date}:"] if date else []
        rows += [line.written for line in day]
    return "\n".join(rows)
