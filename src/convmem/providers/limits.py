"""How many tokens a model takes, by its name on whatever host, from the table `limits.toml`."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

__all__ = ["UNKNOWN_MODEL_TOKENS", "context_limit"]

UNKNOWN_MODEL_TOKENS = 32_000
"""Up to how many tokens memory fills the request of a model it does not know. The caller's own messages
are never cut for such a model."""


@cache
def _table() -> tuple[tuple[str, int], ...]:
    text = resources.files("convmem.providers").joinpath("limits.toml").read_text(encoding="utf-8")
    return tuple((row["match"], row["context"]) for row in tomllib.loads(text)["model"])


@cache
def context_limit(model: str | None) -> int | None:
    """The most tokens a model takes, input and output together; None when that is not known."""
    name = (model or "").lower().rsplit("/", 1)[-1]
    return next((tokens for pattern, tokens in _table() if fnmatchcase(name, pattern)), None)
