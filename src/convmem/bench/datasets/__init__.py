"""Conversations with questions whose answers lie in known turns, in the formats in which they come."""

from __future__ import annotations

from convmem.bench.datasets.dates import parse_date
from convmem.bench.datasets.find import Source, find
from convmem.bench.datasets.model import Conversation, DataSet, Question, Session, Turn

__all__ = ["Conversation", "DataSet", "Question", "Session", "Source", "Turn", "find", "parse_date"]
