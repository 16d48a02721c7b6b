"""The everyday sentences of `recall.cohort`, embedded a few at a time in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from convmem.recall.cohort import SENTENCES, Cohort
from convmem.threads.locks import reckoning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convmem.embed.protocol import Embedder, Kind

__all__ = ["CohortMaker"]

_AT_ONCE = 8
"""Sentences per request: turns that are waiting for their vectors wait no longer than for this."""
_KINDS: tuple[Literal["passage"], Literal["query"]] = ("passage", "query")


class CohortMaker:
    """Makes a `Cohort` in small steps, once for each embedder in a process.

    Args:
        embedder: makes the vectors.
    """

    def __init__(self, embedder: Embedder) -> None:
        texts = [text for language in SENTENCES for text in language]
        self._embedder = embedder
        self._left: list[tuple[Kind, list[str]]] = [
            (kind, texts[begin : begin + _AT_ONCE])
            for kind in _KINDS
            for begin in range(0, len(texts), _AT_ONCE)
        ]
        self._made: dict[Kind, list[NDArray[np.float32]]] = {kind: [] for kind in _KINDS}
        self.cohort: Cohort | None = None

    @property
    def done(self) -> bool:
        """Whether all are embedded; the cohort is None even then where the vectors tell nothing apart."""
        return not self._left

    def step(self) -> None:
        """Embed the next few sentences; whatever the embedder raises is raised, and they are tried again."""
        if not self._left:
            return
        kind, texts = self._left[0]
        vectors = self._embedder.embed(texts, kind)
        self._made[kind].append(vectors)
        del self._left[0]
        if not self._left:
            passages, queries = (np.concatenate(self._made[kind]) for kind in _KINDS)
            with reckoning:
                self.cohort = Cohort.of(passages, queries)
            self._made.clear()
