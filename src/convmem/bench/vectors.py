"""Embeddings kept on disk: a benchmark that was interrupted goes on where it was, a repeated one is quick."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from convmem.embed import Embedder, Kind

__all__ = ["CachedOnDisk"]

_KEPT_AS = {"passage": "<f2", "query": "<f4"}
"""Passages as convmem stores them, so that nothing is rounded twice."""


class CachedOnDisk:
    """An embedder that asks another one only for what it was not asked before.

    Kept by a hash of the text under the other's fingerprint, so that models never mix. What is embedded is
    committed at once.

    Args:
        embedder: makes what is missing.
        folder: where `vectors.db` lies; None keeps vectors in memory.
    """

    def __init__(self, embedder: Embedder, folder: Path | None) -> None:
        self._embedder = embedder
        self._lock = Lock()
        self.asked = 0
        """Texts that the other embedder was asked for."""
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        name = ":memory:" if folder is None else str(folder / "vectors.db")
        self._rows = sqlite3.connect(name, timeout=60, check_same_thread=False)
        with self._rows:
            self._rows.execute(
                "CREATE TABLE IF NOT EXISTS vectors (fingerprint TEXT, kind TEXT, hash BLOB, vector BLOB,"
                " PRIMARY KEY (fingerprint, kind, hash)) WITHOUT ROWID"
            )

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        return self._embedder.dim

    @property
    def fingerprint(self) -> str:
        """The other's own."""
        return self._embedder.fingerprint

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One row per text."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        with self._lock:
            missing = self.missing(texts, kind)
            if missing:
                self._keep(missing, self._embedder.embed(missing, kind), kind)
            for row, text in zip(rows, texts, strict=True):
                row[:] = np.frombuffer(self._kept(text, kind) or b"", _KEPT_AS[kind])
        return rows

    def missing(self, texts: Iterable[str], kind: Kind) -> list[str]:
        """The texts, each once, that are not kept yet."""
        with self._lock:
            return [text for text in dict.fromkeys(texts) if self._kept(text, kind) is None]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._rows.close()

    def _kept(self, text: str, kind: Kind) -> bytes | None:
        row = self._rows.execute(
            "SELECT vector FROM vectors WHERE fingerprint = ? AND kind = ? AND hash = ?",
            (self.fingerprint, kind, _hash(text)),
        ).fetchone()
        return row[0] if row is not None else None

    def _keep(self, texts: Sequence[str], vectors: NDArray[np.float32], kind: Kind) -> None:
        self.asked += len(texts)
        kept = vectors.astype(_KEPT_AS[kind])
        with self._rows:
            self._rows.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
                [
                    (self.fingerprint, kind, _hash(text), row.tobytes())
                    for text, row in zip(texts, kept, strict=True)
                ],
            )


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
