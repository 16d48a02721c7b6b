"""The figures of a set as files: a table to read, data to compute with."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.bench.rows import ALL
from convmem.bench.summary import CONVMEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["Report", "markdown", "note", "short", "shown", "table", "write"]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said of a set.

    Attributes:
        name: the set.
        left_out: how many answerable questions could not be asked, by reason.
        settings: what was asked for, and where.
        figures: what `summary.summarize` gives.
        more: figures of what was asked for besides, by name.
        said: paragraphs and tables about these.
    """

    name: str
    left_out: dict[str, int]
    settings: dict[str, Any]
    figures: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    said: list[str] = field(default_factory=list[str])


def note(text: str) -> None:
    """Say something that belongs to no result."""
    print(text, file=sys.stderr, flush=True)


def write(report: Report, folder: Path) -> None:
    """Write `SET.md` and `SET.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.name}.md").write_text(markdown(report), encoding="utf-8")
    known = {
        "set": report.name,
        "left_out": report.left_out,
        **report.figures,
        **report.more,
        "settings": report.settings,
    }
    text = json.dumps(known, ensure_ascii=False, indent=1) + "\n"
    (folder / f"{report.name}.json").write_text(text, encoding="utf-8")


def markdown(report: Report) -> str:
    """The tables of a set."""
    figures, settings = report.figures, report.settings
    if not figures["questions"]:
        return f"## {report.name}\n\nNo question can be asked.\n"
    asked = f"{figures['questions']} questions, {figures['conversations']} conversations"
    if figures["unanswerable"]:
        asked += f", and {figures['unanswerable']} questions without an answer"
    left = "".join(f"; left out {n} {reason}" for reason, n in sorted(report.left_out.items()))
    parts = [f"## {report.name}\n\n{asked}{left}."]
    if str(settings["tokens"]).startswith("estimate"):
        parts.append(f"**Tokens are not counted but {settings['tokens']}: do not compare.**")
    parts += [
        _by_system(figures),
        _orders(figures),
        _by_category(figures),
        _closing(figures, report.more),
        *report.said,
        _answers(report.more["answers"]) if "answers" in report.more else "",
        "Settings: " + ", ".join(f"{key} {shown(value)}" for key, value in settings.items()) + ".",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_system(figures: dict[str, Any]) -> str:
    """Strict with half its interval, kept, any and all."""
    budgets = list(figures["contexts"][CONVMEM])
    rows: list[list[str]] = []
    for name, found in figures["contexts"].items():
        if list(found) == [ALL]:
            rows.append(
                [f"{name} ({found[ALL]['tokens']:,.0f} tokens)", *[_found(found[ALL])] * len(budgets)]
            )
        else:
            rows.append([name, *(_found(found[budget]) for budget in budgets)])
    head = ["system: strict / kept / any / all", *(f"@{budget:,}" for budget in budgets)]
    return table(head, rows)


def _found(figure: dict[str, float]) -> str:
    half = (figure["strict_high"] - figure["strict_low"]) / 2
    rest = " / ".join(short(figure[name]) for name in ("kept", "any", "all"))
    return f"{short(figure['strict'])} ±{short(half)} / {rest}"


def _orders(figures: dict[str, Any]) -> str:
    auroc = figures["silence"]["auroc"]
    rows: list[list[str]] = []
    kinds: list[str] = []
    for name, order in figures["orders"].items():
        kinds = [f"{kind} {measure}" for kind in order for measure in order[kind]]
        cells = [short(value) for kind in order.values() for value in kind.values()]
        rows.append([name, *cells, "" if auroc.get(name) is None else short(auroc[name])])
    return table(["order", *kinds, "AUROC of the margin"], rows) if rows else ""


def _by_category(figures: dict[str, Any]) -> str:
    budgets = list(figures["contexts"][CONVMEM])
    rows = [
        [
            category,
            str(found["questions"]),
            *(_category(found[CONVMEM][budget]) for budget in budgets),
        ]
        for category, found in figures["categories"].items()
    ]
    head = ["convmem by category", "n", *(f"@{budget:,} strict / kept / touched" for budget in budgets)]
    return table(head, rows)


def _category(figure: dict[str, float]) -> str:
    return " / ".join(short(figure[name]) for name in ("strict", "kept", "touched"))


def _closing(figures: dict[str, Any], more: dict[str, Any]) -> str:
    lines: list[str] = []
    contexts = figures["contexts"]
    for budget, mine in contexts[CONVMEM].items():
        most = max(found[budget]["most_tokens"] for found in contexts.values() if budget in found)
        line = (
            f"- @{budget:,}: at most {most:,} tokens by any system, {mine['most_tokens']:,} by convmem;"
            f" convmem added nothing to {mine['empty']} questions; recall without embedding"
            f" p50 {mine['ms_p50'] or 0:.1f} ms, p95 {mine['ms_p95'] or 0:.1f} ms"
        )
        if timed := more.get("latency", {}).get(str(budget)):
            line += f"; with it p50 {timed['p50']:.1f} ms, p95 {timed['p95']:.1f} ms"
        lines.append(line)
    if empty := figures["silence"]["empty"]:
        said = ", ".join(f"{n} @{budget:,}" for budget, n in empty.items())
        lines.append(
            f"- of {figures['unanswerable']} questions without an answer, nothing was added to: {said}"
        )
    if "latency" in more:
        timed = more["latency"]
        lines.append(f"- embedding: p50 {timed['embedding_p50']:.1f} ms over {timed['questions']} questions")
    drawn = "conversations" if figures["conversations"] > 1 else "questions (there is but one conversation)"
    lines.append(f"- ±: half of the 95 % bootstrap interval of strict over {drawn}")
    return "\n".join(lines)


def _answers(figures: dict[str, Any]) -> str:
    rows = [
        [
            given,
            str(found["questions"]),
            short(found["exact"]),
            short(found["f1"]),
            "" if found["prompt_tokens"] is None else f"{found['prompt_tokens']:,.0f}",
            str(found["refused"] or ""),
        ]
        for given, found in figures.items()
    ]
    return table(["the model was given", "n", "exact match", "F1", "prompt tokens", "refused"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def short(share: float) -> str:
    """A share with three places, without its 0: `.886`."""
    return f"{share:.3f}".removeprefix("0") if share < 1 else f"{share:.3f}"


def shown(value: object) -> str:
    """A setting as one reads it."""
    if isinstance(value, list | tuple):
        return "+".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"  # pyright: ignore[reportUnknownVariableType]
    return str(value)
