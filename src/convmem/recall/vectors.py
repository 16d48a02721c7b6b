"""The vectors of one user's turns: a flat float32 matrix that grows, and what centring needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT: Final = float(1 << 24)
"""Sums are kept as multiples of 2**-24, so that they are the same to the last bit in whatever order."""


class Vectors:
    """Unit vectors by row; turns without one have a zero row and `present` False.

    Values are immutable: `append`, `put` and `select` return new ones. Appending shares spare room of
    the same buffer, so a turn more costs its own row and not a copy of all.
    """

    __slots__ = ("_axis", "_buffer", "_lengths", "present", "total")

    def __init__(
        self, buffer: NDArray[np.float32], present: NDArray[np.bool_], total: NDArray[np.int64]
    ) -> None:
        self._buffer = buffer
        self.total = total
        self.present = present
        # Once asked for: lengths of the rows less their mean, and the direction between two languages.
        self._lengths: NDArray[np.float64] | None = None
        self._axis: tuple[NDArray[np.float32] | None, NDArray[np.float64] | None] | None = None

    @staticmethod
    def build(rows: NDArray[Any] | None, count: int) -> Vectors:
        """Take float rows [count, dim] of any precision.

        None, or a row with NaN or of zero length, is absent.
        """
        if rows is None:
            rows = np.zeros((count, 0), dtype=np.float32)
        if rows.ndim != 2 or rows.shape[0] != count:  # noqa: PLR2004
            raise ValueError(f"vectors must be of shape [{count}, dim], not {list(rows.shape)}")
        matrix, present = _unit(rows)
        return Vectors(matrix, present, _exact_sum(matrix))

    def __len__(self) -> int:
        return self.present.size

    @property
    def dim(self) -> int:
        """Length of a vector; 0 when no turn has ever had one."""
        return int(self._buffer.shape[1])

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The rows, [turns, dim]."""
        return self._buffer[: len(self)]

    @property
    def count(self) -> int:
        """How many turns have a vector."""
        return int(np.count_nonzero(self.present))

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean of the present rows.

        Summed in integers, so that it is the same to the last bit however the rows came together.
        """
        return (self.total / (_EXACT * max(1, self.count))).astype(np.float32)

    def append(self, rows: NDArray[Any] | None, count: int) -> Vectors:
        """Return with `count` more rows."""
        more = Vectors.build(rows, count)
        first, dim = self._same_dim(more.dim)
        if more.dim != dim:
            more = Vectors.build(np.full((count, dim), np.nan, dtype=np.float32), count)
        size = len(self) + count
        buffer = first
        # Spare rows are free while nobody wrote them: a row in use is of unit length or was cleared on
        # purpose, and the marker NaN in the first cell says that it is neither.
        spare = (
            dim > 0 and size <= buffer.shape[0] and bool(np.isnan(buffer[len(self), 0])) if count else True
        )
        if not spare:
            buffer = np.full((size + max(64, size // 4), dim), np.nan, dtype=np.float32)
            buffer[: len(self)] = first[: len(self)]
        buffer[len(self) : size] = more.matrix
        return Vectors(
            buffer,
            np.concatenate((self.present, more.present)),
            (self.total if self.total.size else np.zeros(dim, dtype=np.int64)) + more.total,
        )

    def _same_dim(self, dim: int) -> tuple[NDArray[np.float32], int]:
        """The buffer, widened when the first vectors arrive."""
        if self.dim == 0 and dim:
            return np.zeros((len(self), dim), dtype=np.float32), dim
        if dim not in {0, self.dim}:
            raise ValueError(
                f"vectors of {dim} dimensions cannot join vectors of {self.dim}: one model at a time"
            )
        return self._buffer, self.dim

    def put(self, index: NDArray[np.intp], rows: NDArray[Any]) -> Vectors:
        """Return with the rows at `index` replaced: vectors that were made after their turns."""
        more = Vectors.build(rows, index.size)
        first, dim = self._same_dim(more.dim)
        present = self.present.copy()
        replaced = index[present[index]]
        # Rows that were absent are filled in place: older values of this object know them to be absent
        #     and never look.
        buffer = first[: len(self)].copy() if replaced.size else first
        total = self.total if self.total.size else np.zeros(dim, dtype=np.int64)
        total = total - _exact_sum(buffer[replaced]) + more.total
        buffer[index] = more.matrix
        present[index] = more.present
        return Vectors(buffer, present, total)

    def select(self, kept: NDArray[np.bool_]) -> Vectors:
        """Return the marked rows, in a buffer that holds nothing else."""
        gone = ~kept & self.present
        return Vectors(self.matrix[kept], self.present[kept], self.total - _exact_sum(self.matrix[gone]))

    def centred_cosines(
        self,
        queries: NDArray[np.float32],
        wide: NDArray[np.bool_] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float64]:
        """Weighted sum over the queries of the cosine between query and turn, both less the mean turn.

        NaN for turns without a vector.

        Vectors of e5-like models all lie within a narrow cone (cosines near .8). Less the mean, a
        cosine says how much a turn has to do with the question rather than how much it is like any
        text. And they lie by language first: where a memory holds two, the direction from the one to the
        other is taken out as well, or a question finds only turns in its own (after "all but the top",
        Mu and Viswanath 2018, with the direction known instead of guessed).

        Args:
            queries: one row each.
            wide: which turns are in Chinese, Japanese or Korean; None when that is not known.
            weights: one for each query; None for their mean.
        """
        mean = self.mean
        centred = _unit(np.atleast_2d(queries))[0] - mean
        axis, along = self._language(wide)
        if axis is not None:
            centred -= np.outer(centred @ axis, axis)
        centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        direction = centred.mean(axis=0) if weights is None else weights @ centred
        if self._lengths is None:
            square = float(mean.astype(np.float64) @ mean)
            squares = 1.0 - 2.0 * (self.matrix @ mean).astype(np.float64) + square
            if along is not None:
                squares -= along**2
            self._lengths = np.sqrt(np.maximum(squares, 1e-6))
        cosines = ((self.matrix @ direction) - float(direction.astype(np.float64) @ mean)) / self._lengths
        return np.where(self.present, cosines, np.nan)

    def directions(self, rows: NDArray[np.intp], wide: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Unit vectors of some turns less the mean turn, and less what tells two languages apart."""
        centred = self.matrix[rows] - self.mean
        axis, _ = self._language(wide)
        if axis is not None:
            centred -= np.outer(centred @ axis, axis)
        centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        result: NDArray[np.float32] = centred
        return result

    def _language(
        self, wide: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None]:
        """The unit direction from one language to the other, and each centred row's part along it."""
        if self._axis is not None or wide is None:
            return self._axis or (None, None)
        one, other = self.present & wide, self.present & ~wide
        fewest = min(np.count_nonzero(one), np.count_nonzero(other))
        self._axis = (None, None)
        if fewest >= _FEWEST:
            apart = self.matrix[one].mean(axis=0, dtype=np.float64) - self.matrix[other].mean(
                axis=0, dtype=np.float64
            )
            axis = (apart / max(float(np.linalg.norm(apart)), 1e-9)).astype(np.float32)
            along = (self.matrix @ axis).astype(np.float64) - float(self.mean.astype(np.float64) @ axis)
            self._axis = (axis, along)
        return self._axis


_FEWEST: Final = 8
"""Turns that there must be in each of two languages before the direction between them says anything."""


def _unit(rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows at unit length as float32, absent ones zero."""
    matrix = np.array(rows, dtype=np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    present = np.isfinite(length) & (length > 0)
    matrix[~present] = 0
    matrix /= np.where(present, length, 1)[:, None]
    return matrix, present


def _exact_sum(matrix: NDArray[np.float32]) -> NDArray[np.int64]:
    total = np.zeros(matrix.shape[1], dtype=np.int64)
    for begin in range(0, matrix.shape[0], 1024):  # in blocks that stay in the cache
        total += (
            np.rint(matrix[begin : begin + 1024] * np.float32(_EXACT))
            .astype(np.int32)
            .sum(axis=0, dtype=np.int64)
        )
    return total
