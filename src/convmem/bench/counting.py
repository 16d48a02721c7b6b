"""The tokens of a text by o200k, without a network: from tiktoken's cache, else from bpe-openai's data."""

from __future__ import annotations

import gzip
import hashlib
import os
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convmem.tokens.estimate import estimate
from convmem.tokens.tiktoken import TABLES, table_is_here

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MODEL", "counter"]

MODEL = "gpt-4o"
"""A model whose tokens convmem itself counts by o200k."""

_ENCODING = "o200k_base"
_ADDRESS = f"https://openaipublic.blob.core.windows.net/encodings/{_ENCODING}.tiktoken"


def counter(folder: Path) -> tuple[Callable[[str], int], str]:
    """What counts tokens, and its name; a name that begins with "estimate" is no exact count.

    It asks tiktoken itself: convmem's budgets are not checked by convmem's own counting.

    Args:
        folder: where the table is unpacked when tiktoken has none; this process's tiktoken then uses it.
    """
    if find_spec("tiktoken") is None:
        return estimate, "estimate: tiktoken is not installed"
    if not table_is_here(_ENCODING) and (packed := _packed()) is not None:
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha1(_ADDRESS.encode(), usedforsecurity=False).hexdigest()
        (folder / name).write_bytes(gzip.decompress(packed.read_bytes()))
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    # convmem loads the table in the background and estimates until it is there.
    if not table_is_here(_ENCODING) or TABLES.counter(_ENCODING, wait=True) is None:
        return (
            estimate,
            "estimate: tiktoken has no table of o200k (set TIKTOKEN_CACHE_DIR or pip install bpe-openai)",
        )
    encoding: Any = import_module("tiktoken").get_encoding(_ENCODING)

    @lru_cache(maxsize=100_000)
    def count(text: str) -> int:
        return len(encoding.encode(text, disallowed_special=()))

    return count, "tiktoken o200k"


def _packed() -> Path | None:
    """The table inside bpe-openai, which need not be imported for it."""
    found = find_spec("bpe_openai")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        table = Path(place, "data", f"{_ENCODING}.tiktoken.gz")
        if table.is_file():
            return table
    return None
