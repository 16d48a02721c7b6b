"""mem0's open-source Memory with `infer=False`: turns are kept as they are, no model reads them."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .embedding import Embedding

__all__ = ["Mem0"]

_USER = "benchmark"
_UNUSED = {"api_key": "unused"}


class Mem0:
    """One raw memory per turn, in a Qdrant collection on disk; no threshold, so that k are found.

    Its keyword and entity scores need models that are downloaded; without these it ranks by vectors.
    """

    def __init__(self, embedding: Embedding) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="convmem-mem0-", ignore_cleanup_errors=True)
        os.environ["MEM0_TELEMETRY"] = "False"  # read once, when it is imported
        os.environ.setdefault("MEM0_DIR", self._folder.name)
        made: Any = import_module("mem0").Memory
        store = {
            "collection_name": "turns",
            "path": f"{self._folder.name}/qdrant",
            "embedding_model_dims": embedding.dim,
        }
        self._memory: Any = made.from_config(
            {
                "llm": {"provider": "openai", "config": _UNUSED},
                "embedder": {"provider": "openai", "config": _UNUSED},
                "vector_store": {"provider": "qdrant", "config": store},
                "history_db_path": ":memory:",
            }
        )
        self._memory.embedding_model = _Given(embedding)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """One raw memory per turn."""
        for id_, text in zip(ids, texts, strict=True):
            message = {"role": "user", "content": text}
            self._memory.add([message], user_id=_USER, metadata={"turn": id_}, infer=False)

    def search(self, question: str, k: int) -> list[str]:
        """The memories that mem0 puts first."""
        found = self._memory.search(question, filters={"user_id": _USER}, top_k=k, threshold=0.0)
        return [memory["metadata"]["turn"] for memory in found["results"]]

    def close(self) -> None:
        """Close the collection, and remove its folder."""
        self._memory.vector_store.client.close()
        self._folder.cleanup()


class _Given:
    """mem0's embedding interface."""

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        if memory_action == "search":
            return self._embedding.query(text)
        return self._embedding.passages([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        return [self.embed(text, memory_action) for text in texts]
