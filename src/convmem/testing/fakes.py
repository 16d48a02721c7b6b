"""Stand-ins for tests: the same answer every time, on every machine, at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from convmem.embed._rows import unit_rows
from convmem.embed._text import prepared
from convmem.embed.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from convmem.embed.protocol import Kind

__all__ = ["FakeEmbedder"]

_GRAM_SIZES = {True: (2, 3, 4), False: (1, 2)}  # ASCII or not: a letter says nothing, 京 does
_MAX_CHARS = 2000


class FakeEmbedder:
    """An embedder without a model: hashed character n-grams, so that texts sharing words are close.

    Attributes:
        fail: while true, every call raises `EmbedderError`.
        delay_s: seconds every call takes.
        calls: (kind, number of texts) of every call, in order, failed ones included.
    """

    def __init__(
        self, *, dim: int = 64, delay_s: float = 0.0, fail: bool = False, name: str = "fake"
    ) -> None:
        self.fail = fail
        self.delay_s = delay_s
        self.calls: list[tuple[Kind, int]] = []
        self._dim = dim
        self._name = name

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """Name and dimension."""
        return f"{self._name}/{self._dim}"

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One unit row per text; the zero row for a blank one. Queries and passages alike.

        Raises:
            EmbedderError: `fail` is set.
        """
        self.calls.append((kind, len(texts)))
        if self.delay_s:
            time.sleep(self.delay_s)
        if self.fail:
            raise EmbedderError("FakeEmbedder was told to fail")
        rows = np.zeros((len(texts), self._dim))
        for row, text in zip(rows, prepared(texts, kind, max_chars=_MAX_CHARS), strict=True):
            if text:
                self._count(f" {text.casefold()} ", row)
        return unit_rows(rows, source="FakeEmbedder")

    def _count(self, text: str, row: NDArray[np.float64]) -> None:
        for size in range(1, 5):
            for start in range(len(text) - size + 1):
                gram = text[start : start + size]
                if size in _GRAM_SIZES[gram.isascii()]:
                    number = crc32(gram.encode())
                    row[number % self._dim] += 1 if number & 1 << 31 else -1
        if not row.any():  # everything cancelled out
            row[0] = 1
