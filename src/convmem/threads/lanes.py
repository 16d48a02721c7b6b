"""Sets up the four threads of a Memory beside its writer, and how many of them each kind of work may take."""

from __future__ import annotations

from convmem.threads.pool import Pool, Share

__all__ = ["Lanes"]

_THREADS = 4
"""Background threads of one Memory, the writer not counted. More would cost memory and compete for Python's
one interpreter lock; fewer would let a slow embedding service or a big load hold up other users' calls."""
_COMPOSING = 3
"""Threads that compose requests at once. The fourth is left for what compositions wait for (a summary, a
question's vector, a partition): with none left, compositions would wait for work that can never begin."""


class Lanes:
    """The queues of background work of one Memory, the most urgent first, all on one pool of four threads.

    Loading and analyzing turns share one thread, calls of models (which may be far away, and hang) share two.
    So one thread is always left for composing requests, whatever hangs elsewhere.
    """

    def __init__(self) -> None:
        self.pool = Pool("convmem", _THREADS)
        reading, models = Share(1), Share(2)
        # A lane takes precedence over those made after it: what a call waits for comes before what nobody
        # waits for.
        self.compose = self.pool.lane("compose", Share(_COMPOSING))
        self.embed = self.pool.lane("embed", models)
        self.load = self.pool.lane("load", reading)
        self.cut = self.pool.lane("cut", models, Share(1))
        self.index = self.pool.lane("index", reading)
        self.vectors = self.pool.lane("vectors", models, Share(1))
