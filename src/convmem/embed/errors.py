"""What goes wrong while embedding."""

from __future__ import annotations

from convmem.errors import ConvmemError

__all__ = ["EmbedderError"]


class EmbedderError(ConvmemError):
    """The embedder gave no vectors; the cause is chained. Inside a call, memory goes on without them."""
