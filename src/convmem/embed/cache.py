"""Caches the vectors of queries: regenerated replies, retries and tool loops ask the same thing again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from convmem.embed.protocol import Embedder, Kind

__all__ = ["CachedEmbedder"]


class CachedEmbedder:
    """An embedder that remembers the vectors of the most recent queries.

    Only queries: passages are embedded once anyway and would push them out. What is remembered is a hash of
    the text, not the text; `clear()` when something was forgotten. Two threads asking the same for the first
    time both ask the embedder.

    Args:
        embedder: asked for what is not known.
        size: most vectors kept; 1,024 of 384 numbers are 1.6 MB.
    """

    def __init__(self, embedder: Embedder, *, size: int = 1024) -> None:
        self._embedder = embedder
        self._size = size
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self._embedder.dim

    @property
    def fingerprint(self) -> str:
        """The embedder's own: its vectors are passed on unchanged."""
        return self._embedder.fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """What the embedder gives, asking it at most once, and only for the queries not remembered."""
        if kind != "query" or isinstance(texts, str):
            return self._embedder.embed(texts, kind)
        keys = [self._key(text, kind) for text in texts]
        known = self._recall(keys)
        asked = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if asked or not keys:
            fresh = self._embedder.embed(list(asked.values()), kind)
            if not keys:
                return fresh
            new = dict(zip(asked, fresh, strict=True))
            self._keep(new)
            known.update(new)
        return np.stack([known[key] for key in keys])

    def clear(self) -> None:
        """Remember nothing."""
        with self._lock:
            self._kept.clear()

    def _key(self, text: str, kind: Kind) -> bytes:
        digest = blake2b(f"{self.fingerprint}\0{kind}\0".encode(), digest_size=16)
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def _recall(self, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
            return {key: self._kept[key] for key in keys if key in self._kept}

    def _keep(self, new: dict[bytes, NDArray[np.float32]]) -> None:
        with self._lock:
            for key, vector in new.items():
                self._kept[key] = vector.copy()
                self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
