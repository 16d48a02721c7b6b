"""Token counts and prompt cache hits that are the same on every run.

A token is four bytes of UTF-8, rounded up: near enough to real tokenizers to make budgets and costs
plausible, and simple enough to be computed by hand. The prompt is rendered as the tools and then one JSON
object per line, so a request that only appends to an earlier one shares its prefix.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import JsonObject, is_array

if TYPE_CHECKING:
    from convmem.testing.provider.dialect import Dialect

__all__ = ["PromptCache", "count_tokens", "usage_of"]

_TOKEN_BYTES = 4


def count_tokens(text: str | bytes) -> int:
    """How many tokens a text has here: a quarter of its bytes in UTF-8, rounded up."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return -(-len(data) // _TOKEN_BYTES)


class PromptCache:
    """An ideal prefix cache: it forgets nothing and knows every prompt as soon as it has arrived.

    Prompts are cached per model and, where the request names one, per `user_id`.
    """

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self._lock = threading.Lock()

    def take(self, body: JsonObject, dialect: Dialect) -> tuple[int, int]:
        """Look a prompt up and remember it.

        Args:
            body: the request.
            dialect: how the provider counts.

        Returns:
            The tokens of the prompt, and how many of them were the start of an earlier prompt.
        """
        prompt = _render(body)
        grain = dialect.cache_grain
        chain = hashlib.blake2b(digest_size=16)
        chain.update(repr((body.get("model"), body.get("user_id"))).encode("utf-8", "surrogatepass"))
        prefixes: list[bytes] = []
        for start in range(0, len(prompt) - grain * _TOKEN_BYTES + 1, grain * _TOKEN_BYTES):
            chain.update(prompt[start : start + grain * _TOKEN_BYTES])
            prefixes.append(chain.digest())
        with self._lock:
            hits = sum(prefix in self._known for prefix in prefixes)
            self._known.update(prefixes)
        cached = hits * grain
        return count_tokens(prompt), cached if cached >= dialect.cache_minimum else 0


def usage_of(
    *, prompt: int, cached: int, completion: int, reasoning: int, dialect: Dialect
) -> dict[str, Any]:
    """Build the usage object of a chat reply; `reasoning` is a part of `completion`."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if dialect.usage == "plain":
        return usage
    details = {"cached_tokens": cached} if dialect.usage != "null-details" else None
    usage["prompt_tokens_details"] = details
    if dialect.usage != "timings":
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    if dialect.usage == "deepseek":
        usage["prompt_cache_hit_tokens"] = cached
        usage["prompt_cache_miss_tokens"] = prompt - cached
    return usage


def _render(body: JsonObject) -> bytes:
    messages = body.get("messages")
    lines: list[object] = [body.get("tools") or [], *(messages if is_array(messages) else [])]
    text = "".join(
        json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n" for line in lines
    )
    return text.encode("utf-8", "surrogatepass")
