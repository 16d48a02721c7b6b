"""The terminal: results to standard output, notes and progress to standard error, in colour or not."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.text import Text

__all__ = ["Screen"]

_STYLING = re.compile(r"\x1b\[[0-9;]*m")
_NARROWEST = 80
_WIDEST = 120


class Screen:
    """Standard output for what was asked for, standard error for progress and warnings.

    Colours go only to a terminal, and not where NO_COLOR is set. `plain` has neither colours nor bars.
    """

    def __init__(self, *, plain: bool) -> None:
        self.out = _console(plain=plain, stderr=False)
        self.err = _console(plain=plain, stderr=True)
        self._held: list[str] | None = None
        self._moving = self.err.is_terminal and not plain

    @property
    def can_prompt(self) -> bool:
        """Whether somebody sits there to answer."""
        return self.out.is_terminal and sys.stdin is not None and sys.stdin.isatty()

    def line(self, prompt: Text) -> str:
        """A line that somebody types, with the keys of readline where it is loaded.

        Raises:
            EOFError: there is no more.
        """
        with self.out.capture() as captured:
            self.out.print(prompt, end="")
        # readline must know which characters take no room, or it redraws the line in the wrong place
        return input(_STYLING.sub("\x01\\g<0>\x02", captured.get()))

    def json(self, value: object, *, line: bool = False) -> None:
        """One JSON document, as it is; `line`: on one line, at once."""
        indent = None if line else 2
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent, default=_as_json) + "\n")
        sys.stdout.flush()

    def progress(self) -> Progress:
        """Bars that are gone when the work is done."""
        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Progress(*columns, console=self.err, transient=True, disable=not self._moving)

    @contextmanager
    def noting(self) -> Generator[None]:
        """Show what convmem logs as notes, each once."""
        known: set[str] = set()

        def noted(message: str) -> None:
            if message in known:
                return
            known.add(message)
            if self._held is not None:
                self._held.append(message)
            else:
                self.note(message)

        with self.quiet(noted):
            yield

    def note(self, message: str) -> None:
        """Say something beside what was asked for."""
        self.err.print(f"[yellow]note[/yellow]: {escape(message)}")

    @contextmanager
    def holding_notes(self) -> Generator[None]:
        """Show notes only afterwards, so that none stands in the middle of an answer."""
        held = self._held = list[str]()
        try:
            yield
        finally:
            self._held = None
            for message in held:
                self.note(message)

    @contextmanager
    def quiet(self, seen: Callable[[str], object]) -> Generator[None]:
        """Hand what convmem logs to `seen` instead of writing it between the bars."""
        log, handler = logging.getLogger("convmem"), _Handler(seen)
        propagate, log.propagate = log.propagate, False
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagate


def _as_json(value: object) -> object:
    """Turn a value into what json knows better; `json.dumps` asks again for what is inside."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")


class _Handler(logging.Handler):
    def __init__(self, seen: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self._seen(record.getMessage())


def _console(*, plain: bool, stderr: bool) -> Console:
    console = Console(
        stderr=stderr, highlight=False, no_color=plain or None, force_terminal=False if plain else None
    )
    console.width = min(max(console.width, _NARROWEST), _WIDEST)
    return console
