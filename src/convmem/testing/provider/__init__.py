"""A chat provider for tests: real HTTP and server-sent events on loopback, scripted replies and failures."""

from __future__ import annotations

from convmem.testing.provider.acting import call_or_echo
from convmem.testing.provider.desk import Hold
from convmem.testing.provider.dialect import Dialect, DialectName, ReasoningRule
from convmem.testing.provider.fault import Fault
from convmem.testing.provider.legality import problems
from convmem.testing.provider.received import ReceivedRequest, Served
from convmem.testing.provider.reply import EmbeddingReply, Reply, ToolCall, echo
from convmem.testing.provider.script import Responder
from convmem.testing.provider.server import LocalProvider
from convmem.testing.provider.vendors import DIALECTS, dialect_of

__all__ = [
    "DIALECTS",
    "Dialect",
    "DialectName",
    "EmbeddingReply",
    "Fault",
    "Hold",
    "LocalProvider",
    "ReasoningRule",
    "ReceivedRequest",
    "Reply",
    "Responder",
    "Served",
    "ToolCall",
    "call_or_echo",
    "dialect_of",
    "echo",
    "problems",
]
