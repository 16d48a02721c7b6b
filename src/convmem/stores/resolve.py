"""From what the user wrote to a store."""

from __future__ import annotations

from pathlib import Path

from convmem.errors import InputError
from convmem.protocols import Store
from convmem.stores.sqlite import SQLiteStore

__all__ = ["open_store"]


def open_store(store: str | Path | Store, durability: str) -> Store:
    """The store that a path, a URL or an object means; an object is given back as it is.

    Raises:
        InputError: it means none.
        StoreError: it cannot be opened.
    """
    if isinstance(store, Path):
        return SQLiteStore(store, durability=durability)
    if isinstance(store, str):
        if store.startswith("sqlite:///"):
            return SQLiteStore(store.removeprefix("sqlite:///"), durability=durability)
        if "://" in store:
            kind = store.split("://", 1)[0]
            raise InputError(
                f"there is no store for {kind}:// URLs; give a path, sqlite:///path or a Store object"
            )
        if not store:
            raise InputError('the store\'s path is empty; give a path, or ":memory:"')
        return SQLiteStore(store, durability=durability)
    if isinstance(store, Store):  # pyright: ignore[reportUnnecessaryIsInstance] (callers without types)
        return store
    raise InputError(f"{type(store).__name__} is no Store; it needs the methods of convmem.Store")
