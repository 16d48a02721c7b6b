"""LlamaIndex's vector memory block, over a Chroma collection in memory."""

from __future__ import annotations

import asyncio
import re
import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .embedding import Embedding

__all__ = ["LlamaIndex"]

_MESSAGE = re.compile(r"<message role='user'>(.*?)</message>", re.DOTALL)


class LlamaIndex:
    """A user's message per turn, put one by one: the block makes one node of each put.

    The block gives texts back, no ids: turns are recognised by their texts, equal ones in their order.
    """

    def __init__(self, embedding: Embedding) -> None:
        base: Any = import_module("llama_index.core.base.embeddings.base").BaseEmbedding
        types: Any = import_module("llama_index.core.base.llms.types")
        blocks: Any = import_module("llama_index.core.memory.memory_blocks.vector")
        stores: Any = import_module("llama_index.vector_stores.chroma")
        chromadb: Any = import_module("chromadb")

        def query(_: object, text: str) -> list[float]:
            return embedding.query(text)

        def passage(_: object, text: str) -> list[float]:
            return embedding.passages([text])[0]

        async def query_later(_: object, text: str) -> list[float]:
            return embedding.query(text)

        async def passage_later(_: object, text: str) -> list[float]:
            return embedding.passages([text])[0]

        given: Any = type(
            "Given",
            (base,),
            {
                "_get_query_embedding": query,
                "_aget_query_embedding": query_later,
                "_get_text_embedding": passage,
                "_aget_text_embedding": passage_later,
            },
        )
        settings = import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._client: Any = chromadb.EphemeralClient(settings)
        self._name = uuid.uuid4().hex
        collection = self._client.create_collection(self._name, metadata={"hnsw:space": "cosine"})
        self._block: Any = blocks.VectorMemoryBlock(
            vector_store=stores.ChromaVectorStore(chroma_collection=collection), embed_model=given()
        )
        self._message: Any = types.ChatMessage
        self._loop = asyncio.new_event_loop()
        self._ids: dict[str, list[str]] = {}

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """One put per turn."""
        for id_, text in zip(ids, texts, strict=True):
            self._ids.setdefault(text, []).append(id_)
            self._loop.run_until_complete(self._block.aput([self._message(role="user", content=text)]))

    def search(self, question: str, k: int) -> list[str]:
        """The block's answer, taken apart again."""
        self._block.similarity_top_k = k
        asked = [self._message(role="user", content=question)]
        found: str = self._loop.run_until_complete(self._block.aget(asked))
        left = {text: list(ids) for text, ids in self._ids.items()}
        return [left[text].pop(0) for text in _MESSAGE.findall(found) if left.get(text)]

    def close(self) -> None:
        """Drop the collection, and end the loop."""
        self._client.delete_collection(self._name)
        self._loop.close()
