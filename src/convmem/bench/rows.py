"""What was found for one question, and the file that keeps it: one line per question, written at once.

The lines are all a run remembers. A run that was killed goes on behind the last whole line; a run with
other settings begins anew and leaves the lines of the one before it in a file beside them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from convmem.bench.datasets import Question

__all__ = ["ALL", "Answered", "Lines", "Outcome", "Ranked", "Row", "ranked"]

_TURNS_KEPT = 20
_SESSIONS_KEPT = 10

ALL = 0
"""Stands for the budget of a system that takes whatever it costs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One system's context for one question at one budget; see `measures.Found`.

    For a question without an answer only tokens and milliseconds mean something.
    """

    strict: float
    kept: float
    touched: float
    any: float
    all: float
    tokens: int
    ms: float | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """One system's order for one question.

    Attributes:
        turns: ids of the best turns, best first.
        sessions: names of the best sessions, by their best turn.
        margin: how sure the system is that there is something to find; None for one that cannot say.
    """

    turns: tuple[str, ...]
    sessions: tuple[str, ...]
    margin: float | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model answered; nothing when the endpoint refused the request as too long or otherwise bad."""

    text: str
    exact: float
    f1: float
    prompt_tokens: int | None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question.

    Attributes:
        found: outcomes by system, then by budget.
        ranked: orders by system.
        answers: of a model, by what it was given.
    """

    qid: str
    conv_id: str
    category: str
    answerable: bool
    gold: tuple[str, ...]
    gold_sessions: tuple[str, ...]
    found: dict[str, dict[int, Outcome]] = field(default_factory=dict[str, dict[int, Outcome]])
    ranked: dict[str, Ranked] = field(default_factory=dict[str, Ranked])
    answers: dict[str, Answered] = field(default_factory=dict[str, Answered])

    @classmethod
    def of(cls, question: Question) -> Row:
        """A question that nobody was asked yet."""
        return cls(
            question.id,
            question.conversation.id,
            question.category,
            question.answerable,
            question.gold,
            question.gold_sessions,
        )

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, line: str) -> Row:
        """The row that a line holds, as `line` wrote it."""
        row: dict[str, Any] = json.loads(line)
        found = {
            system: {int(budget): Outcome(**outcome) for budget, outcome in outcomes.items()}
            for system, outcomes in row.pop("found").items()
        }
        ranked = {
            system: Ranked(tuple(order["turns"]), tuple(order["sessions"]), order["margin"])
            for system, order in row.pop("ranked").items()
        }
        answers = {given: Answered(**answer) for given, answer in row.pop("answers").items()}
        gold, gold_sessions = tuple(row.pop("gold")), tuple(row.pop("gold_sessions"))
        return cls(**row, gold=gold, gold_sessions=gold_sessions, found=found, ranked=ranked, answers=answers)


def ranked(found: Sequence[tuple[str, str]], margin: float | None) -> Ranked:
    """The order of turns and of their sessions, as it is kept; `found` are turns with their sessions."""
    sessions = list(dict.fromkeys(session for _, session in found))
    return Ranked(tuple(id_ for id_, _ in found[:_TURNS_KEPT]), tuple(sessions[:_SESSIONS_KEPT]), margin)


class Lines:
    """The rows of one set, kept in a file.

    Args:
        path: where; None keeps nothing.
        settings: what the rows depend on; kept in a file beside them.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path = path
        self.rows: dict[str, Row] = {}
        """What is there, by question."""
        self.anew = ""
        """Which settings of an earlier run were others, so that its rows were put aside."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.with_suffix(".run.json")
        now = json.loads(json.dumps(settings))
        before: Any = None
        with suppress(OSError, ValueError):
            before = json.loads(kept.read_text(encoding="utf-8"))
        if before == now:
            self._go_on(path)
        else:
            if path.exists():
                others = [key for key in now if before is None or before.get(key) != now[key]]
                self.anew = ", ".join(others)
                path.replace(path.with_suffix(".before.jsonl"))
            kept.write_text(json.dumps(now, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def _go_on(self, path: Path) -> None:
        """Read the whole lines, and cut off one that was being written when the run was killed."""
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)
        rows = (Row.read(line) for line in whole.decode("utf-8").split("\n") if line)
        self.rows = {row.qid: row for row in rows}

    def add(self, row: Row) -> None:
        """Keep one more."""
        self.rows[row.qid] = row
        if self._path is not None:
            with self._path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(row.line())
