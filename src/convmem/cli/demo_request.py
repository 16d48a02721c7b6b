"""How one question of the demo looks: the requests that the provider received, shortened to what matters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from convmem.cli.cells import beside, cropped, flat, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.demo.data import Question
    from convmem.demo.report import Asked, Quote

__all__ = ["account", "manner", "side_by_side", "verdict"]

_LEFT = 0.27
_LONG = 300
_READ = 160
_WORD = 16
_NEAR = 1
_BEST = 5
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]*\s*")
_REASONS = {
    "lexical": "its words",
    "dense": "its meaning",
    "neighbour": "what stands beside it",
    "session": "its session",
    "user": "the user's own words",
    "speaker": "its speaker",
    "date": "its date",
    "recent": "being recent",
}
_HEAD, _DATE, _EVIDENCE, _DIM = "bold", "cyan", "bold green", "dim"


def side_by_side(asked: Asked, width: int) -> Text:
    """Both requests: the bare client's, and the wrapped one's with the evidence marked."""
    left = int(width * _LEFT)
    right = width - left - len(" | ")
    return beside(list(_alone(asked, left)), list(_remembered(asked, right)), left)


def _alone(asked: Asked, width: int) -> Iterator[Text]:
    yield Text("Without memory", _HEAD)
    for message in asked.alone:
        yield from _said(str(message.get("role")), str(message.get("content")), width)
    yield Text("(that is all)", _DIM)


def _remembered(asked: Asked, width: int) -> Iterator[Text]:
    """The quoted turns that matter, in the order in which they stand, and the question."""
    yield Text("With memory", _HEAD)
    if earlier := len(asked.remembered) - 1:
        yield Text(f"({earlier} earlier messages of this session)", _DIM)
    shown = _that_matter(asked.quotes)
    date, left_out = "", 0
    for quote in asked.quotes:
        if quote.id not in shown:
            left_out += 1
            continue
        yield from _gap(left_out)
        left_out = 0
        if quote.date != date:
            date = quote.date
            yield Text(f"[{date}]", _DATE)
        yield from _quoted(quote, asked.question.answer, width)
    yield from _gap(left_out)
    yield from _said("user", asked.question.text, width)


def _said(role: str, text: str, width: int) -> Iterator[Text]:
    first, *others = wrapped(f"{role}: {text}", width) or [f"{role}:"]
    yield Text.assemble((f"{role}: ", _DIM), first[len(role) + 2 :])
    yield from map(Text, others)


def _gap(turns: int) -> Iterator[Text]:
    if turns:
        yield Text(f"  … {turns} more turn{'s' if turns > 1 else ''}", _DIM)


def _that_matter(quotes: Sequence[Quote]) -> set[str]:
    """The evidence and what stands beside it; without any, the best."""
    places = [i for i, quote in enumerate(quotes) if quote.evidence]
    if not places:
        return {quote.id for quote in quotes if quote.rank <= _BEST}
    return {quotes[j].id for i in places for j in range(max(0, i - _NEAR), min(len(quotes), i + _NEAR + 1))}


def _quoted(quote: Quote, answer: str, width: int) -> Iterator[Text]:
    """The evidence in some lines, marked; any other turn on one."""
    if quote.evidence:
        lines = wrapped(f"{quote.label}: {_around(quote.text, answer)}", width - 2)
        yield from (Text(f"{'  ' if i else '> '}{line}", _EVIDENCE) for i, line in enumerate(lines))
        return
    label = f"  {quote.label}: "
    yield Text.assemble((label, _DIM), cropped(quote.text, width - cell_len(label)))


def _around(text: str, answer: str) -> str:
    """The part of a text around the sentence that says most of the answer."""
    line = flat(text)
    if len(line) <= _LONG:
        return line
    wanted = _pairs(answer)
    places = list(_SENTENCE.finditer(line))
    best = max(places, key=lambda place: len(wanted & _pairs(place.group())), default=None)
    begin = max(0, min(best.start() if best is not None else 0, len(line) - _LONG))
    if begin and line[begin - 1] != " " and (space := line.find(" ", begin, begin + _WORD)) >= 0:
        begin = space + 1
    end = begin + _LONG
    return ("… " if begin else "") + line[begin:end].strip() + (" …" if end < len(line) else "")


def _pairs(text: str) -> set[str]:
    folded = text.casefold()
    return {folded[i : i + 2] for i in range(len(folded) - 1)}


def verdict(asked: Asked, *, ready: bool) -> Iterator[Text]:
    """Whether what answers the question is there, and why; not `ready`: not all turns are embedded."""
    best = min(asked.quotes, key=lambda quote: quote.rank, default=None)
    if asked.question.evidence:
        answer, found = asked.question.answer, asked.found
        if found is None:
            why = "" if ready else " It may be one that is not embedded yet."
            yield Text.assemble(("Missing: no turn that says so is among those quoted.", "bold red"), why)
            yield Text(f"The answer: {answer}", _DIM)
            return
        how = "" if found.whole else " by its best passages"
        yield _in_words("a model cannot know this", _sentence(found.text, answer))
        yield Text(f"Found{how}: {_about(found)} of {len(asked.quotes)} turns quoted", "green")
    elif best is None:
        yield Text("Nothing was recalled.", "yellow")
    else:
        yield _in_words("a model has only the question", cropped(best.text, _READ))
        yield Text(f"{len(asked.quotes)} turns quoted; the best: {_about(best)}", "green")


def _in_words(alone: str, read: str) -> Text:
    """What a question shows, as one says it."""
    return Text.assemble(f"Without memory {alone}; with memory it reads: ", (read, _HEAD))


def _sentence(text: str, answer: str) -> str:
    """A text from the sentence on that says most of the answer."""
    line, wanted = flat(text), _pairs(answer)
    places = list(_SENTENCE.finditer(line))
    best = max(places, key=lambda place: len(wanted & _pairs(place.group())), default=None)
    return cropped(line[best.start() if best is not None else 0 :], _READ)


def _about(quote: Quote) -> str:
    why = ", ".join(_REASONS.get(reason, reason) for reason in quote.why)
    for_ = f" for {why}" if why else ""
    return f"{quote.id} of {quote.date}, score {quote.score:.1f}{for_}, rank {quote.rank}"


def account(asked: Asked) -> Iterator[Text]:
    """What it took."""
    tokens, ms = asked.tokens, asked.ms
    sections = {
        "summarized": tokens.summary,
        "of this session": tokens.window,
        "recalled": tokens.recall,
        "pinned": tokens.pins,
        "new": tokens.new,
    }
    said = " + ".join(f"{n:,} {name}" for name, n in sections.items() if n)
    took = sum(ms.get(step, 0.0) for step in ("journal", "recall", "reply"))
    yield Text(f"Tokens: {tokens.new} without, {tokens.total:,} with ({said}); {took:.0f} ms", _DIM)
    yield from (Text(f"Note: {note}", "yellow") for note in asked.notes)


def manner(question: Question) -> str:
    """In which words a question of the demo's own is asked."""
    other = {"en": "English, said in Chinese", "zh": "Chinese, said in English"}
    if question.kind == "cross":
        return f"asked in {other.get(question.lang, 'another language')}"
    return {"shared": "asked in the words of the chat", "paraphrase": "asked in other words"}.get(
        question.kind, ""
    )
