"""Embedders: what turns text into vectors, and how one is chosen.

Importing this package loads neither numpy nor any model or SDK; each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from convmem.embed.errors import EmbedderError
from convmem.embed.protocol import Embedder, Kind

if TYPE_CHECKING:
    from convmem.embed.cache import CachedEmbedder
    from convmem.embed.local import E5Embedder, UseEmbedder
    from convmem.embed.openai import OpenAIEmbedder
    from convmem.embed.sentence_transformers import SentenceTransformersEmbedder

__all__ = [
    "CachedEmbedder",
    "E5Embedder",
    "Embedder",
    "EmbedderError",
    "Kind",
    "OpenAIEmbedder",
    "SentenceTransformersEmbedder",
    "UseEmbedder",
]

_HOME = {
    "CachedEmbedder": "convmem.embed.cache",
    "E5Embedder": "convmem.embed.local",
    "OpenAIEmbedder": "convmem.embed.openai",
    "SentenceTransformersEmbedder": "convmem.embed.sentence_transformers",
    "UseEmbedder": "convmem.embed.local",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
