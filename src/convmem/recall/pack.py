"""From ranked turns to what fits: a token budget filled best first, shown in the order of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final, TypeAlias

from convmem.recall.passages import LONGEST, WHOLE, sentences
from convmem.wire.quoting import neutral, quoted

if TYPE_CHECKING:
    from convmem.recall.question import RankedTurn, Ranking

Texts: TypeAlias = Callable[[Sequence[str]], Mapping[str, str]]
"""Reads the texts of turns, many at once. Turns that are gone are left out."""
Moment: TypeAlias = tuple[float, int]
CountTokens: TypeAlias = Callable[[str], int]
"""Counts the tokens of a text as the model will."""

_BATCH: Final = 64
"""Turns whose texts are read at once: more than 1,024 tokens show, which is a dozen."""
_RULE_SHARE: Final = 0.12
"""Share of the budget that lasting rules may take: 123 of 1,024 tokens."""
_ELLIPSIS: Final = " … "
_MISSES: Final = 24
"""Turns in a row that do not fit after which the budget counts as filled."""
_USUAL: Final = 1_024
"""The budget, in tokens, for which `RankedTurn.most` is meant; in others it grows with the root."""
_WHOLE_HITS: Final = 6
"""The best of so many turns may take `_WHOLE_SHARE` of the budget each, the others `_SOME_SHARE`."""
_WHOLE_SHARE: Final = 0.4
_SOME_SHARE: Final = 0.12


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A turn, or its best passages, as it will be shown.

    Attributes:
        id: The turn's id.
        text: What is shown: the turn's own characters, passages joined by an ellipsis.
        spans: Where these stand in the turn's text.
        trimmed: Whether something of the turn was left out.
        rule: Whether it is shown as a lasting rule.
        label: Who said it: the speaker's name, else the role.
        date: ISO date in the zone that was asked for; empty when unknown.
        session, score, why: As in the hit.
        tokens: Its own line as it is sent, without headers.
    """

    id: str
    text: str
    spans: tuple[tuple[int, int], ...]
    trimmed: bool
    rule: bool
    label: str
    date: str
    session: str
    score: float
    why: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Packed:
    """What fits.

    Attributes:
        excerpts: Rules first, then turns in the order of time, a session's turns together.
        text: The rendered excerpts.
        tokens: Tokens of `text` and of the fence around it; 0 when there is nothing to show.
    """

    excerpts: tuple[Excerpt, ...]
    text: str
    tokens: int


def render(excerpts: Iterable[Excerpt]) -> str:
    """Return excerpts as plain lines, neutral in a fence.

    Rules with their date, then a date header for each session with its lines, as in ``Alice: ...``. Where a
    text goes on in another line, that begins with a space.
    """
    lines: list[str] = []
    shown: tuple[str, str] | None = None
    for excerpt in excerpts:
        if excerpt.rule:
            lines.append(
                f"[{excerpt.date}] {_line(excerpt.label, excerpt.text)}"
                if excerpt.date
                else _line(excerpt.label, excerpt.text)
            )
            continue
        if (excerpt.session, excerpt.date) != shown:
            shown = (excerpt.session, excerpt.date)
            lines.append(_header(excerpt.date))
        lines.append(_line(excerpt.label, excerpt.text))
    return neutral("\n".join(lines))  # also what reads like a tag only across two of them


def _header(date: str) -> str:
    return f"[{date or '…'}]"


def _line(label: str, text: str) -> str:
    return quoted(f"{label}: {text}")


def pack(
    ranking: Ranking,
    texts: Texts,
    budget: int,
    count_tokens: CountTokens,
    *,
    fence: int = 0,
    tz: tzinfo = UTC,
) -> Packed:
    """Fill a budget with the best turns.

    Turns are taken in the order of the ranking while they fit. The best six stand in full where one of
    them takes no more than two fifths of the budget, the others where it takes no more than 12 %; else
    long turns stand by their best passages, for whole long turns crowd out so much that recall *falls*
    as the budget grows. The user's lasting rules come first, within 12 % of the budget.

    Args:
        ranking: The outcome of `search`.
        texts: Reads texts; called for some 64 turns at a time, only as far as the budget reaches.
        budget: Tokens that text and fence may have together. Never exceeded.
        count_tokens: Counts the tokens of a text.
        fence: Tokens of what the caller puts around the text.
        tz: The zone in which dates are shown.
    """
    if budget <= fence:
        return Packed((), "", 0)
    filling = _Filling(left=budget - fence, count=count_tokens, tz=tz, scale=math.sqrt(budget / _USUAL))
    filling.rules(ranking.standing, texts, int((budget - fence) * _RULE_SHARE))
    filling.turns(ranking.hits, texts, ranking.floor)
    return filling.packed(budget - fence, fence)


@dataclass(slots=True)
class _Filling:
    """A budget while it is being filled."""

    left: int
    count: CountTokens
    tz: tzinfo
    scale: float = 1.0
    picked: list[tuple[Moment, Excerpt]] = field(default_factory=list["tuple[Moment, Excerpt]"])
    headers: set[tuple[str, str]] = field(default_factory=set["tuple[str, str]"])

    def rules(self, hits: Sequence[RankedTurn], texts: Texts, share: int) -> None:
        """Show the sentences that state rules, newest first, within their share."""
        if not hits or share <= 0:
            return
        found = texts([hit.id for hit in hits])
        for hit in hits:
            if hit.id not in found:
                continue
            excerpt = self._excerpt(hit, found[hit.id], hit.rules, rule=True)
            cost = self.count(render([excerpt]) + "\n")
            if cost <= min(share, self.left):
                share -= cost
                self.left -= cost
                self.picked.append((_moment(hit), excerpt))

    def turns(self, hits: Sequence[RankedTurn], texts: Texts, floor: float) -> None:
        """Show turns, best first, until nothing more fits or is worth it."""
        ruled = {excerpt.id for _, excerpt in self.picked if not excerpt.trimmed}  # shown in full, as rules
        misses = 0
        whole, some = int(self.left * _WHOLE_SHARE), int(self.left * _SOME_SHARE)
        for begin in range(0, len(hits), _BATCH):
            batch = hits[begin : begin + _BATCH]
            found = texts([hit.id for hit in batch])
            for place, hit in enumerate(batch, start=begin):
                if hit.id not in found or hit.id in ruled or hit.score < floor:
                    continue
                if self._take(hit, found[hit.id], whole if place < _WHOLE_HITS else some):
                    misses = 0
                else:
                    misses += 1
                if misses > _MISSES:
                    return

    def _take(self, hit: RankedTurn, text: str, whole: int) -> bool:
        """Take a turn if it fits: in full when that costs `whole` tokens at most, else trimmed."""
        spans = self._shortly(hit, text) if hit.most else best_spans(hit, text)
        excerpt = self._excerpt(hit, text, spans, rule=False)
        short = len(text) <= _MOST_PER_TOKEN * whole
        if excerpt.trimmed and short and not hit.most and self.count(text) <= whole:
            full = self._excerpt(hit, text, [(0, len(text))], rule=False)
            excerpt = full if full.tokens <= whole else excerpt
        place = (excerpt.session, excerpt.date)
        cost = excerpt.tokens
        if place not in self.headers:
            cost += self.count(_header(excerpt.date) + "\n")
        if cost > self.left:
            return False
        self.left -= cost
        self.headers.add(place)
        self.picked.append((_moment(hit), excerpt))
        return True

    def _shortly(self, hit: RankedTurn, text: str) -> list[tuple[int, int]]:
        """Of a user's turn how it begins; of any other, how its best passage does."""
        begin = 0 if hit.role == "user" else min(hit.passages[0][0], len(text))
        return opening(text, int(hit.most * self.scale), self.count, begin)

    def _excerpt(
        self, hit: RankedTurn, text: str, spans: Sequence[tuple[int, int]], *, rule: bool
    ) -> Excerpt:
        shown = _ELLIPSIS.join(text[start:end] for start, end in spans)
        label = hit.speaker or hit.role
        return Excerpt(
            id=hit.id,
            text=shown,
            spans=tuple(spans),
            trimmed=sum(end - start for start, end in spans) < len(text.strip()),
            rule=rule,
            label=label,
            date=_date(hit.at, self.tz),
            session=hit.session,
            score=hit.score,
            why=hit.why,
            tokens=self.count(_line(label, shown) + "\n"),
        )

    def packed(self, budget: int, fence: int) -> Packed:
        """Render, count the whole, and give up the last picked while it is too much.

        The parts were counted one by one; no tokenizer promises that a whole costs no more than its parts.
        """
        while self.picked:
            excerpts = _in_order(self.picked)
            text = render(excerpts)
            tokens = self.count(text)
            if tokens <= budget:
                return Packed(excerpts, text, tokens + fence)
            self.picked.pop()
        return Packed((), "", 0)


def best_spans(hit: RankedTurn, text: str) -> list[tuple[int, int]]:
    """A short turn whole; of a long one its best passages, some 600 characters, in the order of the text."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    kept: list[tuple[int, int]] = []
    size = 0
    for start, end in hit.passages:
        if kept and size + end - start > LONGEST:
            break
        kept.append((start, min(end, len(text))))
        size += end - start
    return sorted(kept)


_MOST_PER_TOKEN: Final = 64
"""Characters of a token, at most: of a book no more is looked at than could be shown."""


def opening(text: str, most: int, count: CountTokens, begin: int = 0) -> list[tuple[int, int]]:
    """The sentences from a place on, as far as `most` tokens reach; at least a piece of the first."""
    piece = text[begin : begin + _MOST_PER_TOKEN * most + LONGEST]
    if begin + len(piece) >= len(text) and count(piece) <= most:
        return [(begin, len(text))]
    spans = [(begin + start, begin + end) for start, end in sentences(piece)]
    begin, end = spans[0] if spans else (begin, len(text))
    for _, further in spans[1:]:
        if count(text[begin:further]) > most:
            break
        end = further
    while end - begin > 1 and (tokens := count(text[begin:end])) > most:
        end = begin + max(1, min((end - begin) * most // tokens, end - begin - 1))
    return [(begin, end)]


def _moment(hit: RankedTurn) -> Moment:
    """When a turn was said; the journal's order decides where that is not known, and between equals."""
    return (-math.inf if math.isnan(hit.at) else hit.at, hit.order)


def _in_order(picked: Sequence[tuple[Moment, Excerpt]]) -> tuple[Excerpt, ...]:
    """Rules, then sessions by their first picked turn, turns as they were said."""
    rules = [excerpt for _, excerpt in sorted(picked, key=lambda item: item[0]) if excerpt.rule]
    first: dict[str, Moment] = {}
    for moment, excerpt in picked:
        first[excerpt.session] = min(moment, first.get(excerpt.session, moment))
    turns = [item for item in picked if not item[1].rule]
    turns.sort(key=lambda item: (first[item[1].session], item[0]))
    return (*rules, *(excerpt for _, excerpt in turns))


def _date(at: float, tz: tzinfo) -> str:
    """Empty for what no calendar has, such as the year 10000 that a zone makes of the last hour of 9999."""
    try:
        return datetime.fromtimestamp(at, tz).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
