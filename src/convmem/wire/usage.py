"""What a provider's usage says, whatever it calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["cached_tokens"]

# Where providers say how many tokens of the prompt came from their cache, as part of the prompt's tokens.
_PLACES = (
    ("prompt_tokens_details", "cached_tokens"),  # OpenAI's chat, DeepSeek, Gemini, vLLM, llama.cpp
    ("input_tokens_details", "cached_tokens"),  # OpenAI's Responses
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cached_tokens",),  # Moonshot
)


def cached_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """Tokens of the prompt that were read from the provider's cache; None where it does not say."""
    for place in _PLACES:
        found: object = usage
        for key in place:
            found = cast("Mapping[str, object]", found).get(key) if isinstance(found, Mapping) else None
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    return None
