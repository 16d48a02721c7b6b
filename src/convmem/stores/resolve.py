"""Opens the store that a path, a URL or an object means."""

from __future__ import annotations

import os
import re
from inspect import iscoroutinefunction
from typing import cast

from convmem.errors import InputError
from convmem.protocols import Store
from convmem.stores.sqlite import SQLiteStore

__all__ = ["open_store"]

_GIVE = 'give the path of a file, ":memory:", sqlite:///path or a Store object'

_URL = "sqlite:///"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"(?:sqlite3?|file):", re.IGNORECASE)


def open_store(store: object, durability: str) -> Store:
    """Open the store that a path or a URL means, or return a store that was given as an object.

    Raises:
        InputError: the argument means no store; no file was made.
        StoreError: the store cannot be opened.
    """
    if isinstance(store, str | os.PathLike):
        path = os.fspath(store)  # pyright: ignore[reportUnknownVariableType] (a path of either kind)
        if not isinstance(path, str):
            raise InputError(f"store is a path in bytes, {path!r:.60}; give it as a str: os.fsdecode(path)")
        return SQLiteStore(_file_of(path, url=isinstance(store, str)), durability=durability)
    if isinstance(store, type):
        raise InputError(f"store is the class {store.__name__}; pass an instance of it")
    if not isinstance(store, Store):
        raise InputError(f"store is {type(store).__name__}, which is no Store; {_GIVE}")
    _check_methods(store)
    return store


def _check_methods(store: Store) -> None:
    for name in ("write", "nodes", "find", "turns", "sessions", "stats", "close"):
        method: object = getattr(store, name)
        if not callable(method):
            raise InputError(f"store is {type(store).__name__}, whose {name} is no method; {_GIVE}")
        if iscoroutinefunction(method):
            raise InputError(
                f"store is {type(store).__name__}, whose {name} is async and would not be awaited; {_GIVE}"
            )
    key = cast("object", store.key)
    if not isinstance(key, bytes) or not key:
        raise InputError(
            f"store is {type(store).__name__}, whose key is no bytes; give it 32 random ones, made once"
        )


def _file_of(given: str, *, url: bool) -> str:
    """Return the path of the file that a path or a URL means.

    Raises:
        InputError: the text names no file, or is more likely meant as something else.
    """
    path = given
    if url and given.startswith(_URL):
        path = given.removeprefix(_URL)
        if "?" in path:
            raise InputError(
                f"store is {given!r:.100}: a sqlite URL has no options here; leave out what follows ?"
            )
    elif url and given.startswith("sqlite://"):
        raise InputError(
            f"store is {given!r:.100}: a sqlite URL names a file and no host;"
            " write sqlite:///relative/path or sqlite:////absolute/path"
        )
    elif url and "://" in given:
        kind = given.split("://", 1)[0]
        raise InputError(f"store is {given!r:.100}: there is no store for {kind}:// URLs; {_GIVE}")
    if not path.strip():
        raise InputError(f"store is an empty path; {_GIVE}")
    if path == ":memory:":
        return path
    if "\0" in path or not _encodable(path):
        raise InputError(f"store is {path!r:.100}, which no file can be called; {_GIVE}")
    if path.endswith(("/", os.sep)):
        raise InputError(f"store is {path!r:.100}, which names a folder; name a file in it")
    # Strange names (":memo:", "C:\x" on Linux) can be those of files. A file that exists is opened; a new one
    # is not made under a name that most likely is a slip.
    if not os.path.lexists(os.path.expanduser(path)):  # noqa: PTH111 (as SQLiteStore has it)
        _check_meant(path, url=url)
    return path


def _encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _check_meant(path: str, *, url: bool) -> None:
    if path.startswith(":") and path.endswith(":"):
        raise InputError(f'store is {path!r:.100}; a database in memory is called ":memory:"')
    if url and _SCHEME.match(path):
        raise InputError(
            f"store is {path!r:.100}, which reads like a URL; write sqlite:///path, or the path alone"
        )
    if os.sep == "/" and (_DRIVE.match(path) or "\\" in path):
        raise InputError(
            f"store is {path!r:.100}, a path as Windows has it; this system separates folders by /"
        )
