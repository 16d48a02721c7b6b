"""Cases written for these tests: what changed since, and what was said in the other language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.recall.memories import Memory

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Update:
    """Two turns of one memory, and a question that the newer one answers."""

    question: str
    stale: str
    newest: str


@dataclass(frozen=True)
class Pair:
    """A turn, and a question about it in the other language; some share a name or a number."""

    question: str
    turn: str
    shares: bool


def updates(language: str) -> tuple[Memory, list[Update]]:
    """A user tells thirty things, one a day, and then, in another order, how each has changed."""
    rows = [row[1:] for row in _rows("updates.tsv") if row[0] == language]
    memory = Memory()
    reply = "Noted." if language == "en" else "记下了。"

    def told(text: str, day: int) -> str:
        turn = memory.say(text, session=f"day{day}", day=day)
        memory.say(reply, role="assistant", session=f"day{day}", day=day)
        return turn

    stale = [told(row[0], day) for day, row in enumerate(rows)]
    newest = {number: told(rows[number][1], 40 + day) for day, number in enumerate(_shuffled(len(rows)))}
    cases = [Update(row[2], stale[number], newest[number]) for number, row in enumerate(rows)]
    return memory, cases


def pairs() -> tuple[Memory, list[Pair]]:
    """One memory of sixty turns in two languages."""
    memory = Memory()
    cases: list[Pair] = []
    for day, number in enumerate(_shuffled(60)):
        shared, _, _, said, asked = _rows("languages.tsv")[number]
        turn = memory.say(said, session=f"day{day}", day=day)
        memory.say("Noted." if day % 2 else "记下了。", role="assistant", session=f"day{day}", day=day)
        cases.append(Pair(asked, turn, shared == "shared"))
    return memory, cases


def _rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def _shuffled(size: int) -> list[int]:
    """Every number below `size` once, in an order that is always the same."""
    return [number * 7 % size for number in range(size)] if size % 7 else list(range(size))
