"""Is what answers quoted, whatever share of the memory is about it, and is nothing quoted to small talk?

    python benchmarks/relevance.py --embedder none
    python benchmarks/relevance.py --embedder local --cache vectors --turns 15,60,300

Memories of a user and an assistant are made of the sentences in `benchmarks/relevant/`: a share of their
rounds goes on about one subject, and some of these hold a fact. Each fact is asked for in its own words
(as it is, after a greeting, as a request, without a question mark) and in others; so are turns of which
each word stands in many ("alike"). It counts as found when the whole turn stands in what `Memory.prepare`
puts in front of the question under the policy `balanced`. The same memories then hear small talk,
statements that have nothing to do with them, and statements about the subject.

Statements and small talk with an odd number in their list are held out: no threshold was chosen with them
at hand. Nothing leaves this machine. Vectors are kept in the folder given with `--cache`.
"""

from __future__ import annotations

import argparse
import random
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import convmem
from convmem.bench.vectors import CachedOnDisk
from convmem.embed.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent / "relevant"
LANGUAGES = ("english", "chinese")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROUNDS_A_SESSION = 6


@dataclass(frozen=True, slots=True)
class Lived:
    """One user's memory.

    Attributes:
        user: whose it is.
        language, turns: what it is made of.
        said: what the user said, in order.
        facts: what it holds of the subject's facts: what was said, and the questions for it.
        alike: turns of which each word stands in many, with a question for each.
        subject: what it is about.
        first: the first of this subject: one is enough for what must get nothing.
    """

    user: str
    language: str
    turns: int
    said: tuple[str, ...]
    facts: tuple[tuple[int, Sequence[str]], ...]
    alike: tuple[tuple[str, str], ...]
    subject: dict[str, Any]
    first: bool


@dataclass(slots=True)
class Cell:
    """What was counted in one language, size and share: pairs of (hits, tries) by what was tried."""

    counts: Counter[str] = field(default_factory=Counter[str])
    missed: list[str] = field(default_factory=list[str])

    def add(self, what: str, *, hit: bool) -> None:
        """Count a try."""
        self.counts[what] += hit
        self.counts[f"{what} tried"] += 1

    def shown(self, what: str) -> str:
        """Hits of tries."""
        return f"{self.counts[what]}/{self.counts[f'{what} tried']}"


def texts(language: str) -> dict[str, Any]:
    """The sentences of one language."""
    return tomllib.loads((HERE / f"{language}.toml").read_text(encoding="utf-8"))


def told(slots: dict[str, Any], seed: str) -> Iterator[tuple[str, str]]:
    """Sentences of a template and a question for each, each once, in an order that is always the same."""
    rng = random.Random(seed)
    told: set[str] = set()
    for _ in range(100_000):
        template = rng.choice(slots["said"])
        filled = {name: rng.choice(slots.get(name, [""])) for name in ("who", "did", "what", "when", "rest")}
        filled["rest"] = filled["rest"].format(**filled)
        question = slots.get("asked", "").format(**filled)
        sentence = template.format(**filled)
        if (question or sentence) not in told:
            told.add(question or sentence)
            yield sentence[0].upper() + sentence[1:], question


def memories(language: str, turns: int, share: float, most: int) -> Iterator[Lived]:
    """Memories of this size and share; as many per subject as it takes to hold all of its facts."""
    data = texts(language)
    for subject in data["subjects"][:most]:
        rounds = turns // 2 + turns % 2
        on = max(1, round(share * rounds))
        facts = list(enumerate(subject["facts"]))
        for part, begin in enumerate(range(0, len(facts), on)):
            held = facts[begin : begin + on]
            alike = list(islice(told(subject, subject["name"]), on - len(held)))
            other = [text for text, _ in islice(told(data["other"], language), rounds - on)]
            said = [*(fact[0] for _, fact in held), *(text for text, _ in alike), *other]
            random.Random(f"{subject['name']} {turns} {share} {part}").shuffle(said)
            user = f"{subject['name']}-{turns}-{share}-{part}"
            asked = alike[:: max(1, len(alike) // len(facts))][: len(facts)]
            yield Lived(
                user, language, turns, tuple(said), tuple(held), tuple(asked), subject, first=part == 0
            )


def live(memory: convmem.Memory, lived: Lived) -> None:
    """Record a memory: sessions of six rounds, one every other day, the last one yesterday."""
    replies = texts(lived.language)["replies"]
    rng = random.Random(lived.user)
    rounds = list(lived.said)
    sessions = [rounds[n : n + ROUNDS_A_SESSION] for n in range(0, len(rounds), ROUNDS_A_SESSION)]
    for number, session in enumerate(sessions):
        messages: list[dict[str, Any]] = []
        for text in session:
            messages.append({"role": "user", "content": text})
            messages.append({"role": "assistant", "content": rng.choice(replies)})
        if number == len(sessions) - 1 and lived.turns % 2:
            messages.pop()
        at = NOW - timedelta(days=1 + 2 * (len(sessions) - 1 - number))
        memory.record(messages, user=lived.user, session=f"s{number}", at=at)


def put(form: str, question: str) -> str:
    """A question as people put it: `{~}` is without its mark."""
    bare = question.rstrip("?？")
    return form.replace("{~}", bare[0].lower() + bare[1:]).replace("{}", question)


def ask(memory: convmem.Memory, lived: Lived, cell: Cell, *, vectors: bool) -> None:
    """Put the questions, and to the first memory of a subject the statements."""
    forms = texts(lived.language)["forms"]

    def question(what: str, text: str, fact: str) -> None:
        block, _ = added(memory, lived, text)
        cell.add(what, hit=fact in block)
        if fact not in block:
            cell.missed.append(f"{what} [{lived.user}]: {text}{'' if block else ' (nothing quoted)'}")

    for number, (fact, plain, otherwise) in lived.facts:
        question("asked", plain, fact)
        question("asked", put(forms[number % len(forms)], plain), fact)
        if vectors:
            question("otherwise", otherwise, fact)
    if lived.first:
        for text, asked in lived.alike:
            question("alike", asked, text)
        state(memory, lived, cell)


def state(memory: convmem.Memory, lived: Lived, cell: Cell) -> None:
    """Say what must get nothing, and what goes on with the subject."""
    quiet = texts(lived.language)["quiet"]
    for what in ("small_talk", "unrelated"):
        for number, text in enumerate(quiet[what]):
            block, quoted = added(memory, lived, text)
            name = f"{what}, held out" if number % 2 else what
            cell.add(name, hit=not quoted and not block)
            if quoted:
                cell.missed.append(f"{name} [{lived.user}]: {text}")
    for text in lived.subject["related"]:
        cell.add("related", hit=added(memory, lived, text)[1])


def added(memory: convmem.Memory, lived: Lived, text: str) -> tuple[str, bool]:
    """What is put in front of a message, and whether any of it is quoted."""
    prepared = memory.prepare([{"role": "user", "content": text}], user=lived.user, session="now")
    return str(prepared.messages[-1]["content"]).removesuffix(text), bool(prepared.receipt.recalled)


SHOWN = (
    "asked", "otherwise", "alike",
    "small_talk", "small_talk, held out", "unrelated", "unrelated, held out", "related",
)  # fmt: skip


def main() -> None:
    """Print a line per language, size and share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedder", default="none", help="none, local, or what Memory takes")
    parser.add_argument("--cache", type=Path, help="where vectors are kept between runs")
    parser.add_argument("--turns", default="15,60,300,3000", help="sizes of memories")
    parser.add_argument("--share", default=".1,.3,.6,1", help="shares of rounds about the subject")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--subjects", type=int, default=5, help="subjects of each language")
    parser.add_argument("--missed", action="store_true", help="also print what went wrong")
    options = parser.parse_args()
    made = resolve(options.embedder)
    cached = CachedOnDisk(made, options.cache) if made is not None else None
    total = Cell()
    print("| language | turns | share | " + " | ".join(SHOWN) + " |", flush=True)
    print("|---" * (3 + len(SHOWN)) + "|", flush=True)
    for turns in map(int, options.turns.split(",")):
        for share in map(float, options.share.split(",")):
            for language in options.languages.split(","):
                cell = Cell()
                with convmem.Memory(
                    ":memory:",
                    policy="balanced",
                    embedder=cached,
                    deadline_ms=60_000,
                    tz=UTC,
                    clock=lambda: NOW,
                ) as memory:
                    lives = list(memories(language, turns, share, options.subjects))
                    for lived in lives:
                        live(memory, lived)
                    memory.flush()
                    for lived in lives:
                        ask(memory, lived, cell, vectors=cached is not None)
                total.counts.update(cell.counts)
                total.missed += cell.missed
                row = " | ".join(cell.shown(what) for what in SHOWN)
                print(f"| {language} | {turns} | {share} | {row} |", flush=True)
                if options.missed:
                    print(*(f"    {line}" for line in cell.missed), sep="\n", flush=True)
    print("| all | | | " + " | ".join(total.shown(what) for what in SHOWN) + " |")


if __name__ == "__main__":
    main()
