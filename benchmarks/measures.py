"""What counts as found, and how sure the figures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Found", "half_width", "judge", "percentile"]

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """How much of a question's gold stands in a context: shares, averaged over its gold turns.

    Attributes:
        strict: turns that stand there whole.
        kept: of trimmed turns, also the characters that stand there.
    """

    strict: float
    kept: float


def judge(gold: Sequence[str], shares: Mapping[str, float], whole: Collection[str]) -> Found:
    """Judge a context.

    Args:
        gold: ids of the turns that answer the question.
        shares: for turns of which something is shown, the share of their characters.
        whole: the turns shown whole.
    """
    strict = sum(id_ in whole for id_ in gold)
    kept = sum(1.0 if id_ in whole else min(1.0, shares.get(id_, 0.0)) for id_ in gold)
    return Found(strict / len(gold), kept / len(gold))


def half_width(values: Sequence[float], clusters: Sequence[str], seed: int) -> float:
    """Half of the 95 % bootstrap interval of the mean, whole conversations drawn at a time.

    Questions about one conversation share what makes it hard: drawing them one by one would make the
    interval too narrow. With one conversation alone there is no choice.
    """
    names = sorted(set(clusters))
    groups = list(clusters) if len(names) > 1 else [str(i) for i in range(len(values))]
    labels, of = np.unique(groups, return_inverse=True)
    totals = np.bincount(of, values)
    sizes = np.bincount(of)
    drawn = np.random.default_rng(seed).integers(0, labels.size, size=(_RESAMPLES, labels.size))
    means = totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(high - low) / 2


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` percent do not exceed; 0 for none."""
    return float(np.percentile(values, share)) if values else 0.0
