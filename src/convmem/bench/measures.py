"""What counts as found, and how sure the figures are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Found", "auroc", "half_width", "interval", "judge", "ndcg", "percentile", "recall_at"]

_RESAMPLES = 2_000
_READABLE = 90
"""Characters of a trimmed turn that say something."""


@dataclass(frozen=True, slots=True)
class Found:
    """How much of a question's gold stands in a context.

    Attributes:
        strict: the share of gold turns that stand there whole.
        kept: the same, and of trimmed turns the share of their characters that stand there.
        touched: the share of gold turns of which something that can be read stands there.
        any: 1 when one gold turn stands there whole, else 0.
        all: 1 when all of them do, else 0.
    """

    strict: float
    kept: float
    touched: float
    any: float
    all: float


def judge(gold: Mapping[str, int], shares: Mapping[str, float], whole: Collection[str]) -> Found:
    """Judge a context.

    Args:
        gold: the turns that answer the question, with their characters.
        shares: for turns of which something is shown, the share of their characters.
        whole: the turns shown whole.
    """
    shown = {id_: 1.0 if id_ in whole else min(1.0, shares.get(id_, 0.0)) for id_ in gold}
    strict = sum(id_ in whole for id_ in gold)
    touched = sum(id_ in whole or shown[id_] * length >= _READABLE for id_, length in gold.items())
    n = len(gold)
    return Found(strict / n, sum(shown.values()) / n, touched / n, float(strict > 0), float(strict == n))


def recall_at(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """The share of gold among the first k."""
    return len(set(ranked[:k]) & set(gold)) / len(set(gold))


def ndcg(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain with gains of 0 and 1 (Järvelin and Kekäläinen, 2002)."""
    wanted = set(gold)
    gain = sum(1 / math.log2(rank + 2) for rank, id_ in enumerate(ranked[:k]) if id_ in wanted)
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted))))


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """How often a positive stands above a negative, ties counting half; None where one side is empty."""
    if not positive or not negative:
        return None
    below = np.sort(np.asarray(negative))
    under = np.searchsorted(below, positive, side="left")
    upto = np.searchsorted(below, positive, side="right")
    return float((under + upto).sum()) / 2 / (len(positive) * len(negative))


def interval(values: Sequence[float], clusters: Sequence[str], seed: int) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean, whole conversations drawn at a time.

    Questions about one conversation share what makes it hard: drawing them one by one would make the
    interval too narrow. With one conversation alone there is no choice.
    """
    names = set(clusters)
    groups = list(clusters) if len(names) > 1 else [str(i) for i in range(len(values))]
    labels, of = np.unique(groups, return_inverse=True)
    totals = np.bincount(of, values)
    sizes = np.bincount(of)
    drawn = np.random.default_rng(seed).integers(0, labels.size, size=(_RESAMPLES, labels.size))
    means = totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def half_width(values: Sequence[float], clusters: Sequence[str], seed: int) -> float:
    """Half of the interval."""
    low, high = interval(values, clusters, seed)
    return (high - low) / 2


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` percent do not exceed; 0 for none."""
    return float(np.percentile(values, share)) if values else 0.0
