"""A Chroma collection, in memory, with cosine distance."""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .embedding import Embedding

__all__ = ["Chroma"]


class Chroma:
    """Documents by their turn's id; embedded by the collection's own embedding function."""

    def __init__(self, embedding: Embedding) -> None:
        chromadb: Any = import_module("chromadb")
        base: Any = import_module("chromadb.api.types").EmbeddingFunction
        numpy: Any = import_module("numpy")

        def passages(_: object, input: list[str]) -> list[Any]:  # noqa: A002 (Chroma's word)
            return [numpy.array(row, dtype="float32") for row in embedding.passages(input)]

        def queries(_: object, input: list[str]) -> list[Any]:  # noqa: A002
            return [numpy.array(embedding.query(text), dtype="float32") for text in input]

        def nothing(_: object) -> None:
            return None

        def name() -> str:
            return "given"

        def config(_: object) -> dict[str, Any]:
            return {}

        function: Any = type(
            "Given",
            (base,),
            {
                "__init__": nothing,
                "__call__": passages,
                "embed_query": queries,
                "name": staticmethod(name),
                "get_config": config,
                "build_from_config": staticmethod(nothing),
            },
        )
        settings = import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._client: Any = chromadb.EphemeralClient(settings)
        self._name = uuid.uuid4().hex
        self._collection: Any = self._client.create_collection(
            self._name, embedding_function=function(), metadata={"hnsw:space": "cosine"}
        )

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """One document per turn."""
        if ids:
            self._collection.add(ids=list(ids), documents=list(texts))

    def search(self, question: str, k: int) -> list[str]:
        """The nearest documents."""
        found: list[str] = self._collection.query(query_texts=[question], n_results=k)["ids"][0]
        return found

    def close(self) -> None:
        """Drop the collection."""
        self._client.delete_collection(self._name)
