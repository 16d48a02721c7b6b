"""Recall: one user's turns, ranked for a question and packed into a budget. Pure: no I/O, no clock, no SDK.

`analyze_turn` makes an `Entry` of a turn once; `encode` makes it bytes for one database row.
`Partition` holds a user's entries and vectors as arrays, `search` ranks them, `pack` fills a token
budget.
"""

from __future__ import annotations

from convmem.recall.codec import DamagedEntryError, encode
from convmem.recall.entry import Entry, analyze_turn
from convmem.recall.pack import Excerpt, Packed, pack, render
from convmem.recall.partition import Partition
from convmem.recall.query import query_text, search
from convmem.recall.question import Query, RankedTurn, Ranking
from convmem.recall.settings import Settings

__all__ = [
    "DamagedEntryError",
    "Entry",
    "Excerpt",
    "Packed",
    "Partition",
    "Query",
    "RankedTurn",
    "Ranking",
    "Settings",
    "analyze_turn",
    "encode",
    "pack",
    "query_text",
    "render",
    "search",
]
