"""Reads token counts from the usage fields of replies, whatever the provider calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

__all__ = ["Counted", "cached_tokens", "counted"]

# Where providers say how many tokens of the prompt came from their cache, as part of the prompt's tokens.
_PLACES = (
    ("prompt_tokens_details", "cached_tokens"),  # OpenAI's chat, DeepSeek, Gemini, vLLM, llama.cpp
    ("input_tokens_details", "cached_tokens"),  # OpenAI's Responses
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cached_tokens",),  # Moonshot
)


# Where providers say how many tokens of the prompt they wrote to their cache.
_WRITTEN = (("prompt_tokens_details", "cache_write_tokens"), ("input_tokens_details", "cache_write_tokens"))


class Counted(NamedTuple):
    """A call's tokens as its provider counted them.

    Attributes:
        prompt: tokens of the prompt, those from the cache included.
        cached: tokens of the prompt that came from the cache.
        output: tokens of the reply, reasoning included.
        written: tokens of the prompt that were written to the cache; None where the provider does not say.
    """

    prompt: int
    cached: int
    output: int
    written: int | None


def cached_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """Return how many tokens of the prompt came from the provider's cache; None where it does not say."""
    return _first(usage, *_PLACES)


def counted(usage: Mapping[str, Any]) -> Counted | None:
    """Return the tokens of a call; None when the provider did not count prompt or reply.

    Some providers (Gemini) leave reasoning out of the reply's tokens and count it in the total alone: so the
    total less the prompt is taken for the reply's where that is more.
    """
    prompt = _first(usage, ("prompt_tokens",), ("input_tokens",))
    output = _first(usage, ("completion_tokens",), ("output_tokens",))
    if prompt is None or output is None:
        return None
    total = _first(usage, ("total_tokens",)) or 0
    cached = min(cached_tokens(usage) or 0, prompt)
    return Counted(prompt, cached, max(output, total - prompt), _first(usage, *_WRITTEN))


def _first(usage: Mapping[str, Any] | None, *places: tuple[str, ...]) -> int | None:
    """Return the first whole number of 0 or more that stands in one of these places; None without one."""
    for place in places:
        found: object = usage
        for key in place:
            found = cast("Mapping[str, object]", found).get(key) if isinstance(found, Mapping) else None
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
    return None
