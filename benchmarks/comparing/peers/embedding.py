"""The embedder that peers are given, which writes down what it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from convmem.embed import Kind

__all__ = ["Embedding", "Peer", "Vectors", "embedded"]


class Peer(Protocol):
    """Another memory, of one conversation."""

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Take in turns, in the order in which they were said."""
        ...

    def search(self, question: str, k: int) -> list[str]:
        """Ids of the turns that fit best, best first, k at most."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Vectors(Protocol):
    """What makes the vectors: an embedder."""

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One row per text."""
        ...


class Embedding:
    """Vectors as lists, for whoever wants them so.

    Args:
        vectors: makes them.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.heard: list[str] = []
        """The passages that were asked for."""

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self._vectors.dim

    def passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of what is to be found."""
        self.heard += texts
        rows: list[list[float]] = self._vectors.embed(list(texts), "passage").tolist()
        return rows

    def query(self, text: str) -> list[float]:
        """The vector of what is searched with."""
        row: list[float] = self._vectors.embed([text], "query")[0].tolist()
        return row


class _Arbitrary:
    """Vectors that mean nothing, for telling what is embedded without a model."""

    dim = 8

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        del kind
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[len(text) % self.dim] = 1.0
        return rows


_TOLD = ("Ana: I moved to Porto in May.", "Bo: 我把自行车卖了。")
_ASKED = "Where did Ana move?"


def embedded(make: Callable[[Embedding], Peer]) -> str:
    """What such a memory embeds: "the turns as told", or an example of what it is instead."""
    embedding = Embedding(_Arbitrary())
    peer = make(embedding)
    try:
        peer.add(["1", "2"], list(_TOLD))
        turns = list(embedding.heard)
        peer.search(_ASKED, 1)
    finally:
        peer.close()
    other = [text for text in turns if text not in _TOLD]
    if other:
        found = f"not the turns but {other[0]!r}"
    else:
        found = "the turns as told" if set(turns) == set(_TOLD) else "not all of the turns"
    return f"{found}; questions as if they were passages" if _ASKED in embedding.heard else found
