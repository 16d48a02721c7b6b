"""The store that keeps the journal in one SQLite file."""

from convmem.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
