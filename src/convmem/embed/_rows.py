"""Vectors as they leave an embedder: float32 rows of length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convmem.embed.errors import EmbedderError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["unit_rows"]


def unit_rows(rows: ArrayLike, *, source: str) -> NDArray[np.float32]:
    """The rows scaled to length 1; a row of zeros stays one.

    Raises:
        EmbedderError: a number is missing, infinite or not a number. `source` says who is to blame.
    """
    wide = np.asarray(rows, dtype=np.float64)
    if wide.ndim != 2 or not np.isfinite(wide).all():  # noqa: PLR2004 - rows and columns
        raise EmbedderError(f"{source} gave vectors that are not finite numbers of one length")
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
