"""From the rows of a set to its figures: plain data, as `SET.json` keeps them."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from convmem.bench.measures import auroc, interval, ndcg, percentile, recall_at
from convmem.bench.rows import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.bench.rows import Outcome, Row

__all__ = ["CONVMEM", "answered", "summarize", "timed"]

CONVMEM = "convmem"
_AT = (5, 10, 20)
_SESSIONS_AT = (1, 5, 10)
_GAIN_AT = 10
_MEASURES = ("strict", "kept", "touched", "any", "all")


def summarize(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Contexts, orders, categories and silence."""
    asked = [row for row in rows if row.answerable]
    hopeless = [row for row in rows if not row.answerable]
    systems = list(asked[0].found) if asked else []
    return {
        "questions": len(asked),
        "unanswerable": len(hopeless),
        "conversations": len({row.conv_id for row in rows}),
        "contexts": {name: _contexts(asked, name, seed) for name in systems},
        "orders": {name: _orders(asked, name) for name in systems if name in asked[0].ranked},
        "categories": _categories(asked, systems),
        "silence": _silence(asked, hopeless),
    }


def _contexts(rows: Sequence[Row], system: str, seed: int) -> dict[int, Any]:
    """By budget: means with their intervals, tokens and milliseconds."""
    clusters = [row.conv_id for row in rows]
    figures: dict[int, Any] = {}
    for budget in rows[0].found[system]:
        found = [row.found[system][budget] for row in rows]
        strict = [outcome.strict for outcome in found]
        low, high = interval(strict, clusters, seed)
        ms = [outcome.ms for outcome in found if outcome.ms is not None]
        figures[budget] = {
            **{name: _mean(found, name) for name in _MEASURES},
            "strict_low": low,
            "strict_high": high,
            "tokens": fmean(outcome.tokens for outcome in found),
            "most_tokens": max(outcome.tokens for outcome in found),
            "empty": sum(not outcome.tokens for outcome in found),
            "ms_p50": percentile(ms, 50) if ms else None,
            "ms_p95": percentile(ms, 95) if ms else None,
        }
    return figures


def _mean(found: Sequence[Outcome], measure: str) -> float:
    return fmean(getattr(outcome, measure) for outcome in found)


def _orders(rows: Sequence[Row], system: str) -> dict[str, dict[str, float]]:
    """Recall@k and NDCG@10, for turns and for sessions."""
    turns = [(row.ranked[system].turns, row.gold) for row in rows]
    sessions = [(row.ranked[system].sessions, row.gold_sessions) for row in rows]
    return {"turns": _ordered(turns, _AT), "sessions": _ordered(sessions, _SESSIONS_AT)}


def _ordered(found: Sequence[tuple[Sequence[str], Sequence[str]]], at: Sequence[int]) -> dict[str, float]:
    figures = {f"recall@{k}": fmean(recall_at(order, gold, k) for order, gold in found) for k in at}
    return {**figures, f"ndcg@{_GAIN_AT}": fmean(ndcg(order, gold, _GAIN_AT) for order, gold in found)}


def _categories(rows: Sequence[Row], systems: Sequence[str]) -> dict[str, Any]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.category].append(row)
    return {
        category: {
            "questions": len(group),
            **{
                system: {
                    budget: {
                        name: _mean([row.found[system][budget] for row in group], name) for name in _MEASURES
                    }
                    for budget in group[0].found[system]
                    if budget != ALL
                }
                for system in systems
            },
        }
        for category, group in sorted(groups.items())
    }


def _silence(asked: Sequence[Row], hopeless: Sequence[Row]) -> dict[str, Any]:
    """How well margins tell questions with an answer from those without; and how many got nothing."""
    margins: dict[str, Any] = {}
    for system in asked[0].ranked if asked else ():
        known = [m for row in asked if (m := row.ranked[system].margin) is not None]
        unknown = [m for row in hopeless if (m := row.ranked[system].margin) is not None]
        margins[system] = auroc(known, unknown)
    empty = {
        budget: sum(not row.found[CONVMEM][budget].tokens for row in hopeless)
        for budget in (hopeless[0].found[CONVMEM] if hopeless else ())
    }
    return {"auroc": margins, "empty": empty}


def answered(rows: Sequence[Row]) -> dict[str, Any]:
    """By what the model was given: exact match, F1 and tokens."""
    asked = [row for row in rows if row.answers]
    figures: dict[str, Any] = {}
    for given in asked[0].answers if asked else ():
        answers = [row.answers[given] for row in asked]
        used = [answer.prompt_tokens for answer in answers if answer.prompt_tokens is not None]
        figures[given] = {
            "questions": len(answers),
            "exact": fmean(answer.exact for answer in answers),
            "f1": fmean(answer.f1 for answer in answers),
            "prompt_tokens": fmean(used) if used else None,
            "refused": sum(answer.refused for answer in answers),
        }
    return figures


def timed(rows: Sequence[Row], embedding_ms: dict[str, float]) -> dict[str, Any]:
    """By budget: recall of the questions whose embedding was timed, without it and with it."""
    chosen = [row for row in rows if row.qid in embedding_ms]
    figures: dict[str, Any] = {
        "embedding_p50": percentile(list(embedding_ms.values()), 50),
        "questions": len(chosen),
    }
    for budget in chosen[0].found[CONVMEM] if chosen else ():
        pairs = [(row.found[CONVMEM][budget].ms or 0.0, embedding_ms[row.qid]) for row in chosen]
        together = [recall + embedding for recall, embedding in pairs]
        figures[str(budget)] = {"p50": percentile(together, 50), "p95": percentile(together, 95)}
    return figures
