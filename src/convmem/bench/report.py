"""The figures of a set as files: a table to read, data to compute with, a picture."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.bench.picture import draw
from convmem.bench.rows import ALL
from convmem.bench.summary import CONVMEM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["Report", "markdown", "note", "write"]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said of a set.

    Attributes:
        name: the set.
        left_out: how many answerable questions could not be asked, by reason.
        settings: what was asked for, and where.
        figures: what `summary.summarize` gives.
        more: figures of what was asked for besides, by name.
    """

    name: str
    left_out: dict[str, int]
    settings: dict[str, Any]
    figures: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict[str, Any])


def note(text: str) -> None:
    """Say something that belongs to no result."""
    print(text, file=sys.stderr, flush=True)


def write(report: Report, folder: Path) -> None:
    """Write `SET.md`, `SET.json` and `SET.svg`."""
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
    if picture := _picture(report):
        (folder / f"{report.name}.svg").write_text(picture, encoding="utf-8")


def _picture(report: Report) -> str:
    figures = report.figures
    lines = {
        system: [(found["tokens"], found["strict"]) for found in budgets.values()]
        for system, budgets in figures["contexts"].items()
    }
    embedder = report.settings["embedder"]
    below = f"{figures['questions']} questions, {figures['conversations']} conversations; embedder {embedder}"
    return draw(f"{report.name}: recall against tokens", below, lines)


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
        *_besides(report.more),
        "Settings: " + ", ".join(f"{key} {_shown(value)}" for key, value in settings.items()) + ".",
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
    return _table(head, rows)


def _found(figure: dict[str, float]) -> str:
    half = (figure["strict_high"] - figure["strict_low"]) / 2
    rest = " / ".join(_short(figure[name]) for name in ("kept", "any", "all"))
    return f"{_short(figure['strict'])} ±{_short(half)} / {rest}"


def _orders(figures: dict[str, Any]) -> str:
    auroc = figures["silence"]["auroc"]
    rows: list[list[str]] = []
    kinds: list[str] = []
    for name, order in figures["orders"].items():
        kinds = [f"{kind} {measure}" for kind in order for measure in order[kind]]
        cells = [_short(value) for kind in order.values() for value in kind.values()]
        rows.append([name, *cells, "" if auroc.get(name) is None else _short(auroc[name])])
    return _table(["order", *kinds, "AUROC of the margin"], rows) if rows else ""


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
    return _table(head, rows)


def _category(figure: dict[str, float]) -> str:
    return " / ".join(_short(figure[name]) for name in ("strict", "kept", "touched"))


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


def _besides(more: dict[str, Any]) -> list[str]:
    parts: list[str] = []
    if peers := more.get("peers"):
        lines = (
            f"- {name} {_shown(peer['releases'])}: embeds {peer['embeds']}" for name, peer in peers.items()
        )
        parts.append("What the other memories embed:\n" + "\n".join(lines))
    if "ablation" in more:
        parts.append(_ablation(more["ablation"]))
    if "renaming" in more:
        parts.append(_renaming(more["renaming"]))
    if "answers" in more:
        parts.append(_answers(more["answers"]))
    return parts


def _ablation(figures: dict[str, Any]) -> str:
    budgets: list[int] = list(next(iter(figures.values()), ()))
    head = ["ablation: strict / kept, change of strict"]
    head += [f"@{budget:,}" for budget in budgets]
    rows = [[name, *(_changed(found[budget]) for budget in budgets)] for name, found in figures.items()]
    return _table(head, rows)


def _changed(figure: dict[str, float]) -> str:
    both = f"{_short(figure['strict'])} / {_short(figure['kept'])}"
    return f"{both}, {figure['change']:+.3f} [{figure['change_low']:+.3f}, {figure['change_high']:+.3f}]"


def _renaming(figures: dict[str, Any]) -> str:
    what = figures["what"]
    said = (
        "no figure moves by more than .01" if figures["same"] else f"a figure moves by {figures['most']:.3f}"
    )
    table = _table(
        [f"{what}: strict / kept, change of strict", *(f"@{budget:,}" for budget in figures["budgets"])],
        [["convmem", *(_changed(found) for found in figures["budgets"].values())]],
    )
    return f"{table}\n\n{what}: {said}."


def _answers(figures: dict[str, Any]) -> str:
    rows = [
        [
            given,
            str(found["questions"]),
            _short(found["exact"]),
            _short(found["f1"]),
            "" if found["prompt_tokens"] is None else f"{found['prompt_tokens']:,.0f}",
            str(found["refused"] or ""),
        ]
        for given, found in figures.items()
    ]
    return _table(["the model was given", "n", "exact match", "F1", "prompt tokens", "refused"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0") if share < 1 else f"{share:.3f}"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"  # pyright: ignore[reportUnknownVariableType]
    return str(value)
