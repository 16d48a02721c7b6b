"""Exact counts for OpenAI's models, from tiktoken's tables where they are on disk; nothing is downloaded."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from convmem.tokens.estimate import Remembered, estimate, likely, sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiktoken import Encoding

__all__ = ["TABLES", "Tables", "encoding_of", "table_is_here"]

_log = logging.getLogger("convmem")

# tiktoken's tables, as its openai_public names them; the cache file is named by the SHA-1 of the address.
_ADDRESS: Final = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_SHA256: Final = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_NEWER: Final = ("gpt-4o", "gpt-4.1", "gpt-4.5", "chatgpt", "o1", "o3", "o4")
_OLDER: Final = ("gpt-4", "gpt-3.5", "gpt-35", "text-embedding")

_PIECE: Final = 20_000
"""Characters that are encoded in one step, so that no step holds the interpreter for long."""
_WHOLE: Final = 200_000
"""A text is encoded in pieces of 20,000 characters; of one with more than 200,000, a sample of as many is.

Each seam costs a token at most. 200,000 characters take 30 ms of English and 100 ms of one repeated
character; a megabyte of that in one piece takes tiktoken 0.14 a second and more.
"""
_SAMPLES: Final = 64
"""Pieces of a sample of `_WHOLE` characters."""
_SAMPLE: Final = _WHOLE // _SAMPLES


def encoding_of(model: str | None) -> str | None:
    """The name of an OpenAI model's encoding; None for other models, whose tokenizers are not known here."""
    name = (model or "").lower().rsplit("/", 1)[-1].removeprefix("ft:")
    if name.startswith(_NEWER):
        return "o200k_base"
    if name.startswith(_OLDER):
        return "cl100k_base"
    return "o200k_base" if name.startswith("gpt-") else None


def _file(encoding: str) -> Path | None:
    """Where tiktoken keeps a table; None when its cache is switched off."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder is None:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    name = hashlib.sha1(_ADDRESS.format(encoding).encode(), usedforsecurity=False).hexdigest()
    return Path(folder) / name if folder else None


def table_is_here(encoding: str) -> bool:
    """Whether tiktoken has the table of an encoding on disk, whole; if not, it would download it."""
    file = _file(encoding)
    try:
        table = file.read_bytes() if file is not None and encoding in _SHA256 else b""
    except (OSError, ValueError):
        return False
    return hashlib.sha256(table).hexdigest() == _SHA256.get(encoding)


class Tables:
    """Counters by encoding, loaded once, in the background.

    tiktoken needs .7–1 s to build the larger table, for .4 s of which nothing else in the process runs: more
    than a call may wait. Until it is there, there is no counter. A table that arrives on disk later is found;
    one that could not be loaded is not tried again.
    """

    def __init__(self) -> None:
        self._counters: dict[str, Callable[[str], int]] = {}
        # By process: a fork copies this, but not the threads that were loading.
        self._loading: dict[tuple[int, str, Path], threading.Thread] = {}

    def counter(self, encoding: str, *, wait: bool = False) -> Callable[[str], int] | None:
        """An exact counter, or None while there is none. Never raises.

        Args:
            encoding: `o200k_base` or `cl100k_base`.
            wait: until it is loaded or cannot be; for those in no hurry.
        """
        if found := self._counters.get(encoding):
            return found
        file = _file(encoding)
        try:
            if file is None or not file.is_file():
                return None
        except (OSError, ValueError):
            return None
        attempt = (os.getpid(), encoding, file)
        if attempt not in self._loading:
            thread = threading.Thread(target=self._load, args=(encoding,), name="convmem-tokens", daemon=True)
            thread.start()
            self._loading[attempt] = thread
        if wait:
            self._loading[attempt].join()
        return self._counters.get(encoding)

    def _load(self, encoding: str) -> None:
        if not table_is_here(encoding):
            _log.info("The table of %s in tiktoken's cache is damaged; tokens are estimated.", encoding)
            return
        try:
            import tiktoken  # noqa: PLC0415 (only where it can count)

            encoder = tiktoken.get_encoding(encoding)
        except Exception as error:  # noqa: BLE001 (whatever it is, the estimate serves)
            _log.info("tiktoken could not load %s (%s); tokens are estimated.", encoding, error)
            return
        self._counters[encoding] = Remembered(_exact(encoder))


TABLES: Final = Tables()
"""Those of this process: a table takes tens of megabytes, and is the same for everyone."""


def _exact(encoder: Encoding) -> Callable[[str], int]:
    def count(text: str) -> int:
        if len(text) <= _PIECE:
            return len(encoder.encode(text, disallowed_special=()))
        whole = len(text) <= _WHOLE
        starts = range(0, len(text), _PIECE)
        pieces = (
            [text[start : start + _PIECE] for start in starts] if whole else sample(text, _SAMPLES, _SAMPLE)
        )
        counted = sum(len(encoder.encode(piece, disallowed_special=())) for piece in pieces)
        return counted if whole else math.ceil(counted * likely(text) / sum(map(estimate, pieces)))

    return count
