"""How the demo looks: what a model would have received, without memory and with it, side by side."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from convmem.cli.cells import beside, counted, cropped, flat, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from convmem.cli.screen import Screen
    from convmem.demo.data import Question
    from convmem.demo.play import Asked
    from convmem.types import Recalled

__all__ = ["Show"]

_LEFT = 0.27
"""Share of the width for the request without memory, which is one short message."""
_LONG = 300
"""Characters of the evidence that are shown."""
_READ = 160
"""Characters of it in the sentence that says what a model reads."""
_BEST = 5
"""Quotes that are shown where nobody knows which one answers."""
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
_MANNERS = {"shared": "asked in the words of the chat", "paraphrase": "asked in other words"}
_CROSS = {"en": "asked in English, said in Chinese", "zh": "asked in Chinese, said in English"}
_SECTIONS = {
    "summary": "summarized",
    "window": "of this session",
    "recall": "recalled",
    "pins": "pinned",
    "new": "new",
}
_DIM, _EVIDENCE = "dim", "bold green"


class Show:
    """Shows a demo as it happens; `silent`: nothing but its progress and its notes."""

    def __init__(self, screen: Screen, *, silent: bool) -> None:
        self._screen = screen
        self._out = screen.out
        self._silent = silent
        self._n = 0
        self._known: set[str] = set()

    @property
    def can_prompt(self) -> bool:
        """Whether questions can be asked for."""
        return self._screen.can_prompt and not self._silent

    def prompt(self) -> str:
        """Ask the user what to ask; empty for nothing more."""
        try:
            return self._out.input("\n[bold]Ask your memory[/bold] [dim](empty line to end)[/dim]: ").strip()
        except (EOFError, KeyboardInterrupt):
            return ""

    def warned(self, message: str) -> None:
        """A warning of the library's: shown once; what embedding says stands in the receipts."""
        if message not in self._known and not re.match(r"embedd|the embedder is slow", message):
            self._known.add(message)
            self._screen.note(message)

    def begins(self, own: str | None, questions: Iterable[Question]) -> None:
        """A conversation is about to be remembered, the built-in one or that of a file."""
        chat = "A made-up chat of ten months in English and Chinese" if own is None else f"The chat in {own}"
        n = len(questions) if isinstance(questions, Sized) else None
        asked = "your questions are" if n is None else f"{counted(n, 'question')} {'is' if n == 1 else 'are'}"
        self._print(
            f"{escape(chat)} is remembered, then {asked} asked about it in a new session, through an OpenAI"
            " client. [bold]Left: what a model receives without memory. Right: with memory,[/bold] older"
            " turns quoted in front of the question. All of it stays on this machine, and no model answers."
        )
        self._print()

    @contextmanager
    def waiting(self, turns: int, *, embeds: bool) -> Generator[Callable[[int], object]]:
        """A bar while turns are embedded; what it gives is told how many are."""
        with self._screen.progress() as bars:
            bar = bars.add_task("turns embedded", total=turns, visible=embeds)
            yield lambda embedded: bars.update(bar, completed=embedded)

    def remembered(self, told: Mapping[str, Any]) -> None:
        """The conversation is remembered."""
        chat, vectors = told["conversation"], told["vectors"]
        speed = f", {vectors['embedded']} embedded" if vectors["embedded"] else ""
        self._print(
            f"[bold]{chat['turns']} turns[/bold] of {chat['sessions']} sessions ({escape(chat['source'])})"
            f" recorded in {chat['seconds']:.1f} s{speed}."
        )
        if not vectors["complete"]:
            missing = f"[yellow]{chat['turns'] - vectors['embedded']} turns are not embedded yet[/yellow]"
            self._print(f"{missing} and found by their words alone; --seconds gives it more time.")

    def asked(self, asked: Asked, *, ready: bool) -> Asked:
        """A question was asked; not `ready`: not all turns are embedded."""
        self._n += 1
        question = asked.question
        how = _CROSS.get(question.lang) if question.kind == "cross" else _MANNERS.get(question.kind)
        self._print()
        self._rule(f"Question {self._n}" + (f", {how}" if how else ""))
        left = int(self._out.width * _LEFT)
        right = self._out.width - left - len(" | ")
        both = beside(list(_alone(asked, left)), list(_remembered(asked, right)), left)
        self._print(both, crop=True)
        for line in (*_verdict(asked, ready=ready), *_account(asked)):
            self._print(line)
        return asked

    def ends(self, told: Mapping[str, Any], *, kept: bool) -> None:
        """The figures; `kept`: the memory's file is where the user wants it."""
        self._print()
        self._rule("What it came to")
        table = Table(box=None, padding=(0, 1), show_header=False, show_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, value in _figures(told):
            table.add_row(name, value)
        self._print(table)
        self._print()
        if not kept:
            self._print("The memory is in a temporary folder, and stays there for you to look at.")
        program, store = _program(), shlex.quote(told["store"]["path"])
        self._paste("Search it:", f"{program} recall 'what did I say about …' --db {store} -u demo")
        self._paste("Your own chat:", f"{program} demo --data FILE")
        self._paste("Talk to a model:", f"{program} chat --help")

    def _paste(self, what: str, command: str) -> None:
        """A command on a line of its own, however long, so that it can be copied."""
        self._out.print(Text(what, "dim"))
        self._out.print(Text(f"  {command}"), soft_wrap=True)

    def _print(self, what: object = "", *, crop: bool = False) -> None:
        if not self._silent:
            self._out.print(what, no_wrap=crop, overflow="ignore" if crop else None, crop=crop)

    def _rule(self, title: str) -> None:
        self._print(Rule(Text(title, "bold"), align="left", style="dim"))


# One question.


def _alone(asked: Asked, width: int) -> Iterator[Text]:
    yield Text("Without memory", "bold")
    for message in asked.alone:
        yield from _said(str(message.get("role")), str(message.get("content")), width)
    yield Text("(that is all)", _DIM)


def _remembered(asked: Asked, width: int) -> Iterator[Text]:
    """The quoted turns that matter, in the order in which they stand, and the question."""
    yield Text("With memory", "bold")
    if earlier := len(asked.remembered) - 1:
        yield Text(f"({earlier} earlier messages of this session)", _DIM)
    shown = _that_matter(asked)
    date, left_out = "", 0
    for place, quote in enumerate(asked.quotes):
        if place not in shown:
            left_out += 1
            continue
        yield from _gap(left_out)
        left_out = 0
        if quote.date != date:
            date = quote.date
            yield Text(f"[{date}]", "cyan")
        yield from _quoted(quote, asked, width)
    yield from _gap(left_out)
    yield from _said("user", asked.question.text, width)


def _said(role: str, text: str, width: int) -> Iterator[Text]:
    first, *others = wrapped(f"{role}: {text}", width) or [f"{role}:"]
    yield Text.assemble((f"{role}: ", _DIM), first[len(role) + 2 :])
    yield from map(Text, others)


def _gap(turns: int) -> Iterator[Text]:
    if turns:
        yield Text(f"  … {counted(turns, 'more turn')}", _DIM)


def _that_matter(asked: Asked) -> set[int]:
    """Places of the evidence and of what stands beside it; without any, of the best."""
    places = [place for place, quote in enumerate(asked.quotes) if quote.id in asked.evidence]
    if not places:
        return {place for place, quote in enumerate(asked.quotes) if asked.rank(quote) <= _BEST}
    return {near for place in places for near in (place - 1, place, place + 1)}


def _quoted(quote: Recalled, asked: Asked, width: int) -> Iterator[Text]:
    """The evidence in some lines, marked; any other turn on one."""
    label = f"{quote.speaker} {quote.id}: "
    if quote.id in asked.evidence:
        text = _from_the_answer(quote.text, asked.question.answer, _LONG)
        lines = wrapped(label + text, width - 2)
        yield from (Text(f"{'  ' if i else '> '}{line}", _EVIDENCE) for i, line in enumerate(lines))
    else:
        short = cropped(quote.text, width - 2 - cell_len(label))
        yield Text.assemble((f"  {label}", _DIM), short)


def _from_the_answer(text: str, answer: str, length: int) -> str:
    """So much of a text, from the sentence on that says most of the answer, or the whole of it."""
    line = flat(text)
    if len(line) <= length:
        return line
    pairs = {answer.casefold()[i : i + 2] for i in range(len(answer) - 1)}

    def shared(place: re.Match[str]) -> int:
        return sum(pair in place.group().casefold() for pair in pairs)

    best = max(_SENTENCE.finditer(line), key=shared, default=None)
    begin = best.start() if best is not None else 0
    rest = line[begin : begin + length].strip()
    return ("… " if begin else "") + rest + (" …" if begin + length < len(line) else "")


def _verdict(asked: Asked, *, ready: bool) -> Iterator[Text]:
    """Whether what answers the question is there, and why."""
    quotes, found, answer = asked.quotes, asked.found, asked.question.answer
    if asked.evidence and found is None:
        why = "" if ready else " It may be one that is not embedded yet."
        yield Text.assemble(("Missing: no turn that says so is among those quoted.", "bold red"), why)
        yield Text(f"The answer: {answer}", _DIM)
    elif found is not None:
        how = " by its best passages" if found.trimmed else ""
        read = cropped(_from_the_answer(found.text, answer, _READ), _READ)
        yield _in_words("a model cannot know this", read)
        yield Text(f"Found{how}: {_about(found, asked)} of {len(quotes)} turns quoted", "green")
    elif quotes:
        best = min(quotes, key=asked.rank)
        yield _in_words("a model has only the question", cropped(best.text, _READ))
        yield Text(f"{len(quotes)} turns quoted; the best: {_about(best, asked)}", "green")
    else:
        yield Text("Nothing was recalled.", "yellow")


def _in_words(alone: str, read: str) -> Text:
    """What a question shows, as one says it."""
    return Text.assemble(f"Without memory {alone}; with memory it reads: ", (read, "bold"))


def _about(quote: Recalled, asked: Asked) -> str:
    why = ", ".join(_REASONS.get(reason, reason) for reason in quote.why)
    for_ = f" for {why}" if why else ""
    return f"{quote.id} of {quote.date}, score {quote.score:.1f}{for_}, rank {asked.rank(quote)}"


def _account(asked: Asked) -> Iterator[Text]:
    """What it took."""
    tokens, ms = asked.receipt.tokens, asked.receipt.ms
    said = " + ".join(f"{n:,} {name}" for key, name in _SECTIONS.items() if (n := getattr(tokens, key)))
    took = sum(ms.get(step, 0.0) for step in ("journal", "recall", "reply"))
    yield Text(f"Tokens: {tokens.new} without, {tokens.total:,} with ({said}); {took:.0f} ms", _DIM)
    yield from (Text(f"Note: {note}", "yellow") for note in asked.receipt.notes)


# All of it.


def _figures(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    summary, vectors, talk, store = (told[name] for name in ("summary", "vectors", "small_talk", "store"))
    if known := summary["answerable"]:
        trimmed = summary["found"] - summary["found_whole"]
        how = f" ({trimmed} by its best passages)" if trimmed else ""
        found = f"[bold green]{summary['found']} of {known}[/bold green]"
        yield "answers", f"{found} were among the turns quoted{how}; without memory none"
    if (added := summary["median_tokens_added"]) is not None:
        yield "tokens recalled", f"{added:,} per question (median), policy {escape(told['policy'])}"
    silent = f"{talk['nothing_added']} of {talk['asked']} messages"
    yield "small talk", f"{silent} (hi, thanks, 好的) had nothing added"
    if vectors["turns_per_second"] is None:
        yield "meaning", "no embedder: turns are found by their words alone"
    else:
        turns = f"{vectors['embedded']} of {told['conversation']['turns']} turns"
        late = "" if vectors["complete"] else "; --seconds gives it more time"
        speed = f"{vectors['turns_per_second']:.1f} per second ({escape(vectors['embedder'])})"
        yield "meaning", f"{turns} were embedded when the questions were asked{late}; {speed}"
    yield "time", f"{summary['seconds']:.0f} s in all"
    yield "the memory", f"{escape(store['path'])} ({store['bytes'] / 1e6:.1f} MB)"


def _program() -> str:
    """How this program was called, and can be called again from here."""
    called = Path(sys.argv[0])
    if called.name != "convmem":
        return f"{shlex.quote(sys.executable)} -m convmem"
    if shutil.which("convmem") == str(called):
        return "convmem"
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))
