"""The four threads of a Memory beside its writer, and which work may have how many of them."""

from __future__ import annotations

from convmem.threads.pool import Pool, Share

__all__ = ["Lanes"]

_THREADS = 4
_COMPOSING = 3
"""One is left for what compositions wait for: a summary, a question's vector, a partition."""


class Lanes:
    """The lanes of one pool, the most urgent first.

    Of the four threads one is always left for composing requests, whatever hangs elsewhere: loading and
    analyzing have one together, whatever may call a model that is far away has two.
    """

    def __init__(self) -> None:
        self.pool = Pool("convmem", _THREADS)
        reading, models = Share(1), Share(2)
        self.compose = self.pool.lane("compose", Share(_COMPOSING))
        self.embed = self.pool.lane("embed", models)
        self.load = self.pool.lane("load", reading)
        self.cut = self.pool.lane("cut", models, Share(1))
        self.index = self.pool.lane("index", reading)
        self.vectors = self.pool.lane("vectors", models, Share(1))
