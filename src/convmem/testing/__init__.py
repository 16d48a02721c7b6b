"""Tools for testing code that uses convmem, or any other code that talks to a chat provider."""

from __future__ import annotations

from convmem.testing.provider import (
    EmbeddingReply,
    Fault,
    LocalProvider,
    ReceivedRequest,
    Reply,
    Served,
    ToolCall,
    call_or_echo,
    echo,
)

__all__ = [
    "EmbeddingReply",
    "Fault",
    "LocalProvider",
    "ReceivedRequest",
    "Reply",
    "Served",
    "ToolCall",
    "call_or_echo",
    "echo",
]
