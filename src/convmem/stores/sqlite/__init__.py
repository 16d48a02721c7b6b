"""The store in a SQLite file."""

from convmem.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
