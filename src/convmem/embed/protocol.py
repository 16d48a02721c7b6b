"""The seam at which an embedder plugs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "Kind"]

Kind: TypeAlias = Literal["query", "passage"]
"""What a text is for: to search with, or to be found. Many models want the two told apart."""


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how close they are in meaning.

    An embedder is called from several threads at once and in forked children, and keeps both working.
    `convmem.testing.embedder.EmbedderConformance` checks an implementation.
    """

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    @property
    def fingerprint(self) -> str:
        """Model, version and whatever else changes a vector: stored beside the vectors, never mixed.

        Two embedders whose vectors may not be compared have different fingerprints.
        """
        ...

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One row per text, in order: float32 of shape (len(texts), dim), each row of length 1.

        Any string is a text: empty, a megabyte, with NUL or lone surrogates. A text with nothing but
        whitespace may have the zero vector, which is close to nothing. The array is the caller's to change.
        """
        ...
