"""What a change of the settings or of the data changes: figures, and tables of them."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

from convmem.bench.measures import interval
from convmem.bench.report import short, table
from convmem.bench.summary import CONVMEM

from .ablation import AS_SHIPPED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.bench.rows import Row

__all__ = ["ablated", "ablation_table", "renamed", "renaming_table"]

_SAME = 0.01


def ablated(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """By variant and budget: strict and kept, and their differences to what is shipped."""
    asked = [row for row in rows if row.answerable]
    names = list(asked[0].found) if asked else []
    return {
        name: {b: _difference(asked, AS_SHIPPED, name, b, seed) for b in asked[0].found[name]}
        for name in names
    }


def _difference(rows: Sequence[Row], first: str, second: str, budget: int, seed: int) -> dict[str, float]:
    pairs = [(row.found[first][budget], row.found[second][budget]) for row in rows]
    change = [after.strict - before.strict for before, after in pairs]
    low, high = interval(change, [row.conv_id for row in rows], seed)
    return {
        "strict": fmean(after.strict for _, after in pairs),
        "kept": fmean(after.kept for _, after in pairs),
        "change": fmean(change),
        "change_low": low,
        "change_high": high,
        "change_kept": fmean(after.kept - before.kept for before, after in pairs),
    }


def renamed(rows: Sequence[Row], changed: Sequence[Row], seed: int) -> dict[str, Any]:
    """By budget: what other names and dates changed, and whether that is next to nothing."""
    before = {row.qid: row.found[CONVMEM] for row in rows if row.answerable}
    both = [row for row in changed if row.qid in before]
    for row in both:
        row.found["original"] = before[row.qid]
    figures = (
        {b: _difference(both, "original", CONVMEM, b, seed) for b in both[0].found[CONVMEM]} if both else {}
    )
    moved = [abs(figure[name]) for figure in figures.values() for name in ("change", "change_kept")]
    return {"budgets": figures, "most": max(moved, default=0.0), "same": max(moved, default=0.0) <= _SAME}


def ablation_table(figures: dict[str, Any]) -> str:
    """A row per variant."""
    budgets: list[int] = list(next(iter(figures.values()), ()))
    head = ["ablation: strict / kept, change of strict"]
    head += [f"@{budget:,}" for budget in budgets]
    return table(head, [[name, *(_changed(found[b]) for b in budgets)] for name, found in figures.items()])


def _changed(figure: dict[str, float]) -> str:
    both = f"{short(figure['strict'])} / {short(figure['kept'])}"
    return f"{both}, {figure['change']:+.3f} [{figure['change_low']:+.3f}, {figure['change_high']:+.3f}]"


def renaming_table(figures: dict[str, Any]) -> str:
    """One row, and whether anything moved."""
    what = figures["what"]
    said = (
        "no figure moves by more than .01" if figures["same"] else f"a figure moves by {figures['most']:.3f}"
    )
    rows = table(
        [f"{what}: strict / kept, change of strict", *(f"@{budget:,}" for budget in figures["budgets"])],
        [["convmem", *(_changed(found) for found in figures["budgets"].values())]],
    )
    return f"{rows}\n\n{what}: {said}."
