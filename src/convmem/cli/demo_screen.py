"""How the demo looks: what the model would have received, side by side, and the figures."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from convmem.cli.demo_request import account, manner, side_by_side, verdict
from convmem.demo.report import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID

    from convmem.cli.screen import Screen
    from convmem.demo.report import Asked, Chat, Report

__all__ = ["Show"]


class Show:
    """Shows a demo as it happens.

    Args:
        screen: where.
        silent: only its progress.
        own: the name of the user's own chat.
        kept: the memory's file is where the user wants it, not in a temporary folder.
    """

    def __init__(self, screen: Screen, *, silent: bool, own: str | None, kept: bool) -> None:
        self._own = own
        self._kept = kept
        self._questions: int | None = None
        self._screen = screen
        self._out = screen.out
        self._silent = silent
        self._bars: Progress | None = None
        self._journaling: TaskID | None = None
        self._embedding: TaskID | None = None
        self._turns = 0
        self._ready = True
        self._n = 0
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bars away, whatever happened."""
        self._stop_bars()

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
        """A warning of the library's: shown once; the receipts of calls show theirs."""
        if message not in self._known and not re.match(r"embedd|the embedder is slow", message):
            self._known.add(message)
            self._screen.err.print(f"[yellow]note[/yellow]: {escape(message)}")

    def will_ask(self, questions: int) -> None:
        """So many questions are known beforehand."""
        self._questions = questions

    # What a demo tells.

    def begins(self, turns: int, embedder: str | None) -> None:
        """So many turns are about to be remembered: while they are, this is all there is to read."""
        self._turns = turns
        self._introduce()
        self._bars = self._screen.progress()
        self._bars.start()
        self._journaling = self._bars.add_task("turns through the client", total=turns)
        if embedder is not None:
            self._embedding = self._bars.add_task("turns embedded", total=turns)

    def _introduce(self) -> None:
        chat = (
            f"The chat in {escape(self._own)} is remembered"
            if self._own is not None
            else "A made-up chat of ten months in English and Chinese runs through a wrapped OpenAI client"
        )
        n = self._questions
        asked = "your questions are" if n is None else f"{n} question{'s are' if n != 1 else ' is'}"
        self._print(
            f"{chat}, then {asked} asked about it in a new session. [bold]Left: what a model receives without"
            " memory. Right: with memory,[/bold] older turns quoted in front of the question. All of it"
            " stays on this machine, and no model answers."
        )
        self._print()

    def goes_on(self, journaled: int, embedded: int) -> None:
        """So many turns are journaled and embedded by now."""
        if self._bars is not None and self._journaling is not None:
            self._bars.update(self._journaling, completed=journaled)
            if self._embedding is not None:
                self._bars.update(self._embedding, completed=embedded)

    def remembered(self, chat: Chat, embedded: int, seconds: float, *, ready: bool) -> None:
        """The conversation is remembered."""
        self._stop_bars()
        self._ready = ready
        how = f"in {len(chat.receipts)} calls of a wrapped client" if chat.receipts else "imported"
        vectors = f", {embedded} embedded in {seconds:.1f} s" if embedded else ""
        self._print(
            f"[bold]{chat.turns} turns[/bold] of {chat.sessions} sessions ({escape(chat.source)}) {how}"
            f" in {chat.seconds:.1f} s{vectors}."
        )
        if not ready:
            missing = f"[yellow]{chat.turns - embedded} turns are not embedded yet[/yellow]"
            self._print(f"{missing} and found by their words alone; --seconds gives it more time.")

    def asked(self, asked: Asked) -> None:
        """A question was asked: what the provider received, without memory and with it."""
        self._n += 1
        width = self._out.width
        how = manner(asked.question)
        self._print()
        self._rule(f"Question {self._n}" + (f", {how}" if how else ""))
        self._print(side_by_side(asked, width), crop=True)
        for line in (*verdict(asked, ready=self._ready), *account(asked)):
            self._print(line)

    def ends(self, report: Report) -> None:
        """The figures."""
        self._print()
        self._rule("What it came to")
        table = Table(box=None, padding=(0, 1), show_header=False, show_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, value in _figures(report):
            table.add_row(name, value)
        self._print(table)
        self._print()
        if not self._kept:
            self._print("The memory is in a temporary folder, and stays there for you to look at.")
        program, store = _program(), shlex.quote(report.store)
        self._paste("Search it:", f"{program} recall 'what did I say about …' --db {store} -u demo")
        self._paste("Your own chat:", f"{program} demo --data FILE")
        self._paste("Talk to a model:", f"{program} chat --help")

    def _paste(self, what: str, command: str) -> None:
        """A command on a line of its own, however long, so that it can be copied."""
        if not self._silent:
            self._out.print(Text(what, "dim"))
            self._out.print(Text(f"  {command}"), soft_wrap=True)

    def _print(self, what: object = "", *, crop: bool = False) -> None:
        if not self._silent:
            self._out.print(what, no_wrap=crop, overflow="ignore" if crop else None, crop=crop)

    def _rule(self, title: str) -> None:
        self._print(Rule(Text(title, "bold"), align="left", style="dim"))

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _program() -> str:
    """How this program was called, and can be called again from here."""
    called = Path(sys.argv[0])
    if called.name != "convmem":
        return f"{shlex.quote(sys.executable)} -m convmem"
    if shutil.which("convmem") == str(called):
        return "convmem"
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    if known := len(report.answerable):
        trimmed = report.found - report.found_whole
        how = f" ({trimmed} by its best passages)" if trimmed else ""
        found = f"[bold green]{report.found} of {known}[/bold green]"
        yield "answers", f"{found} were among the turns quoted{how}; without memory none"
    if report.tokens_added is not None:
        policy = escape(report.policy)
        yield "tokens recalled", f"{report.tokens_added:,} per question (median), policy {policy}"
    yield (
        "small talk",
        f"{report.silent} of {report.small_talk} messages (hi, thanks, 好的) had nothing added",
    )
    if report.chat.receipts:
        yield from _call_figures(report.chat)
    if (speed := report.turns_per_second) is not None:
        turns = f"{report.embedded} of {report.chat.turns} turns were embedded when the questions were asked"
        late = "" if report.ready else "; --seconds gives it more time"
        yield "meaning", f"{turns}{late}; {speed:.1f} per second ({escape(str(report.embedder))})"
    else:
        yield "meaning", "no embedder: turns are found by their words alone"
    yield "time", f"{report.seconds:.0f} s in all"
    yield "the memory", f"{escape(report.store)} ({report.store_bytes / 1e6:.1f} MB)"


def _call_figures(chat: Chat) -> Iterator[tuple[str, str]]:
    sent, lasting = chat.prompt_tokens, chat.prompt_tokens - chat.recall_tokens
    share, of_lasting = (chat.repeated_tokens / max(1, tokens) for tokens in (sent, lasting))
    began = (
        f"{share:.0%} of {sent:,} tokens began as the request before did, which providers bill at a discount"
    )
    yield "prefix kept", f"{began}; {of_lasting:.0%} of the {lasting:,} that were not recalled"
    spread = ", ".join(
        f"{step} {percentile(chat.ms(step), 0.5):.0f} / {percentile(chat.ms(step), 0.95):.0f}"
        for step in ("journal", "recall", "reply")
    )
    by_words = sum(any("words alone" in note for note in receipt.notes) for receipt in chat.receipts)
    busy = f"; {by_words} recalled by words alone, the machine was busy embedding" if by_words else ""
    yield "memory's ms", f"{spread} (p50 / p95 of {len(chat.receipts)} calls){busy}"
