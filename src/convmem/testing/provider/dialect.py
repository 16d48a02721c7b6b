"""What the OpenAI-compatible providers do differently, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIALECTS", "Dialect", "DialectName", "ReasoningRule"]

DialectName: TypeAlias = Literal["deepseek", "openai"]

ReasoningRule: TypeAlias = Literal["accept", "refuse", "require"]
"""What a provider does with `reasoning_content` on assistant messages that are sent back to it.

`accept` takes it or leaves it. `refuse` answers 400 when it is there: OpenAI, and DeepSeek R1.
`require` answers 400 when the request has `tools`, thinking is not switched off and an assistant message
lacks it: DeepSeek since V4.
"""

# The parameters of `POST /chat/completions`, from the OpenAI API reference.
_REQUEST_FIELDS = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed",
    "service_tier", "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools",
    "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
})  # fmt: skip

# `annotations` is a field of replies; OpenAI takes it back because its own samples append the reply.
# `name` on tool messages is in OpenAI's older samples and still taken.
_MESSAGE_FIELDS = {
    "assistant": frozenset({
        "annotations", "audio", "content", "function_call", "name", "refusal", "role", "tool_calls",
    }),
    "developer": frozenset({"content", "name", "role"}),
    "function": frozenset({"content", "name", "role"}),
    "system": frozenset({"content", "name", "role"}),
    "tool": frozenset({"content", "name", "role", "tool_call_id"}),
    "user": frozenset({"content", "name", "role"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The rules of one family of providers.

    Attributes:
        request_fields: the fields a request body may have.
        message_fields: the fields a message may have, by role; a role that is not here is refused.
        reasoning: what happens to `reasoning_content` on messages sent back.
        leading_system: whether system messages may only stand before all others.
        null_tool_calls: whether `tool_calls: null` is taken for no tool calls.
        pattern_names: whether `name` must match OpenAI's pattern for names.
        json_word: whether `response_format: json_object` needs the word "json" in some message.
        stop_limit: how many stop sequences are taken.
        cache_grain: the unit in which the prompt cache counts, tokens.
        cache_minimum: the shortest prefix that counts as cached, tokens.
        cache_hit_fields: whether usage names `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens`.
    """

    name: DialectName
    request_fields: frozenset[str] = _REQUEST_FIELDS
    message_fields: Mapping[str, frozenset[str]] = field(default_factory=lambda: _MESSAGE_FIELDS)
    reasoning: ReasoningRule = "refuse"
    leading_system: bool = False
    null_tool_calls: bool = False
    pattern_names: bool = True
    json_word: bool = True
    stop_limit: int = 4
    cache_grain: int = 128
    cache_minimum: int = 1024
    cache_hit_fields: bool = False


_DEEPSEEK_MESSAGE_FIELDS = {
    role: fields | {"prefix"} if role == "assistant" else fields
    for role, fields in _MESSAGE_FIELDS.items()
    if role in {"assistant", "system", "tool", "user"}
}

DIALECTS: Mapping[DialectName, Dialect] = {
    "deepseek": Dialect(
        name="deepseek",
        request_fields=_REQUEST_FIELDS | {"thinking", "user_id"},
        message_fields=_DEEPSEEK_MESSAGE_FIELDS,
        reasoning="accept",
        leading_system=True,
        null_tool_calls=True,
        pattern_names=False,
        json_word=False,
        stop_limit=16,
        cache_grain=64,
        cache_minimum=64,
        cache_hit_fields=True,
    ),
    "openai": Dialect(name="openai"),
}
"""The dialects by name."""
