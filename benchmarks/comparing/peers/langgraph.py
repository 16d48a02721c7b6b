"""LangGraph's SqliteStore, in memory, set up as its documentation says, and as it takes effect."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .embedding import Embedding

__all__ = ["LangGraph", "LangGraphText"]

_HERE = ("turns",)


class LangGraph:
    """Items `{"text": turn}`, with the documented option `fields` naming what is embedded of them."""

    _option = "fields"

    def __init__(self, embedding: Embedding) -> None:
        base: Any = import_module("langchain_core.embeddings").Embeddings

        def passages(_: object, texts: list[str]) -> list[list[float]]:
            return embedding.passages(texts)

        def query(_: object, text: str) -> list[float]:
            return embedding.query(text)

        given: Any = type("Given", (base,), {"embed_documents": passages, "embed_query": query})
        store: Any = import_module("langgraph.store.sqlite").SqliteStore
        index = {"dims": embedding.dim, "embed": given(), self._option: ["text"]}
        self._open: Any = store.from_conn_string(":memory:", index=index)
        self._store: Any = self._open.__enter__()
        self._store.setup()
        self._operation: Any = import_module("langgraph.store.base").PutOp

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """One item per turn."""
        if ids:
            turns = zip(ids, texts, strict=True)
            self._store.batch([self._operation(_HERE, id_, {"text": text}) for id_, text in turns])

    def search(self, question: str, k: int) -> list[str]:
        """The most similar items."""
        return [item.key for item in self._store.search(_HERE, query=question, limit=k)]

    def close(self) -> None:
        """Close the store."""
        self._open.__exit__(None, None, None)


class LangGraphText(LangGraph):
    """The same with `text_fields`, the option that the store in fact reads."""

    _option = "text_fields"
