"""Other memories, fed the same turns and the same vectors, each behind its own installation.

They are told what convmem embeds of each turn, and asked which turns fit a question; the context is then
filled from their order as it is for the baselines. What reaches the embedder is written down: `embedded`
tells for each whether it was the turns as they were told.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from convmem.errors import MissingExtraError

from .embedding import Embedding, Peer, Vectors, embedded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NAMES", "Embedding", "Peer", "Vectors", "embedded", "maker", "releases"]

_PEERS = {
    "chroma": (".chroma:Chroma", ("chromadb",)),
    "langgraph": (
        ".langgraph:LangGraph",
        ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite"),
    ),
    "langgraph-text": (
        ".langgraph:LangGraphText",
        ("langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite"),
    ),
    "llamaindex": (
        ".llamaindex:LlamaIndex",
        ("llama-index-core", "llama-index-vector-stores-chroma"),
    ),
    "mem0": (".mem0:Mem0", ("mem0ai",)),
}

NAMES = tuple(_PEERS)


def maker(name: str) -> Callable[[Embedding], Peer]:
    """What makes an empty memory of this kind.

    Raises:
        MissingExtraError: what it needs is not installed; the text says what that is.
    """
    place, packages = _PEERS[name]
    if missing := [package for package in packages if _version(package) is None]:
        raise MissingExtraError(f"{name} needs a package: pip install {' '.join(missing)}")
    module, _, cls = place.partition(":")
    made: Callable[[Embedding], Peer] = getattr(import_module(module, __package__), cls)
    return made


def releases(name: str) -> dict[str, str]:
    """The versions of what it is made of."""
    return {package: _version(package) or "" for package in _PEERS[name][1]}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
