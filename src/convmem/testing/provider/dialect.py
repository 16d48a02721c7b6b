"""What the OpenAI-compatible providers do differently, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIALECTS", "Dialect", "DialectName", "ErrorShape", "ReasoningRule", "UsageShape"]

DialectName: TypeAlias = Literal[
    "deepseek", "deepseek-r1", "deepseek-v3.2", "gemini", "llama.cpp", "nvidia", "ollama", "openai", "vllm"
]

ReasoningRule: TypeAlias = Literal["accept", "refuse", "require", "require-in-loop"]
"""What a provider does with reasoning on assistant messages that are sent back to it.

`accept` takes it or leaves it. `refuse` answers 400 when it is there: OpenAI, and DeepSeek R1.
`require` answers 400 when the request has `tools`, thinking is not switched off and an assistant message
lacks `reasoning_content`: DeepSeek since V4. `require-in-loop` asks for it only after the newest user
message: DeepSeek V3.2.
"""

ErrorShape: TypeAlias = Literal["deepseek", "gemini", "llama.cpp", "nvidia", "ollama", "openai", "vllm"]

UsageShape: TypeAlias = Literal["deepseek", "null-details", "openai", "plain", "timings"]
"""What usage says of the cache: DeepSeek's hits and misses beside OpenAI's details; details that are null,
as vLLM's without `--enable-prompt-tokens-details`; OpenAI's details; nothing, as Ollama; OpenAI's details
beside llama.cpp's `timings`.
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
        ignores_unknown: whether other fields are passed over instead of refused.
        reasoning: what happens to reasoning on messages sent back.
        reasoning_field: what reasoning is called in replies and messages.
        leading_system: whether system messages may only stand before all others.
        alternating: whether two user or two assistant messages in a row are refused.
        template_status: the status of those two refusals.
        assistant_parts: whether an assistant's content may be a list of parts.
        null_tool_calls: whether `tool_calls: null` is taken for no tool calls.
        call_fields: the fields a tool call may have.
        call_ids: how ids of tool calls are made, from the number of the request and of the call in it.
        signed_calls: whether the first tool call of a message is signed, and the signature is asked for
            until the next user message, as Gemini 3 does.
        whole_calls: whether a streamed tool call comes in one piece.
        one_call_index: whether all tool calls of a stream have the index 0.
        repeated_role: whether every delta of a stream says the role.
        pattern_names: whether `name` must match OpenAI's pattern for names.
        json_word: whether `response_format: json_object` needs the word "json" in some message.
        formats: the types of `response_format`.
        stop_limit: how many stop sequences are taken.
        cache_grain: the unit in which the prompt cache counts, tokens.
        cache_minimum: the shortest prefix that counts as cached, tokens.
        usage: what usage says of the cache.
        errors: the shape of errors.
        keep_alive: the comment a stream is kept alive with.
    """

    name: DialectName
    request_fields: frozenset[str] = _REQUEST_FIELDS
    message_fields: Mapping[str, frozenset[str]] = field(default_factory=lambda: _MESSAGE_FIELDS)
    ignores_unknown: bool = False
    reasoning: ReasoningRule = "refuse"
    reasoning_field: str = "reasoning_content"
    leading_system: bool = False
    alternating: bool = False
    template_status: int = 400
    assistant_parts: bool = True
    null_tool_calls: bool = False
    call_fields: frozenset[str] = frozenset({"custom", "function", "id", "type"})
    call_ids: str = "call_{request:06d}_{call}"
    signed_calls: bool = False
    whole_calls: bool = False
    one_call_index: bool = False
    repeated_role: bool = False
    pattern_names: bool = True
    json_word: bool = True
    formats: frozenset[str] = frozenset({"json_object", "json_schema", "text"})
    stop_limit: int = 4
    cache_grain: int = 128
    cache_minimum: int = 1024
    usage: UsageShape = "openai"
    errors: ErrorShape = "openai"
    keep_alive: bytes = b": keep-alive\n\n"


_DEEPSEEK_MESSAGE_FIELDS = {
    role: fields | {"prefix"} if role == "assistant" else fields
    for role, fields in _MESSAGE_FIELDS.items()
    if role in {"assistant", "system", "tool", "user"}
}

_DEEPSEEK = Dialect(
    name="deepseek",
    request_fields=_REQUEST_FIELDS | {"thinking", "user_id"},
    message_fields=_DEEPSEEK_MESSAGE_FIELDS,
    reasoning="require",
    leading_system=True,
    null_tool_calls=True,
    call_ids="call_{call:02d}_{request:06d}",
    pattern_names=False,
    formats=frozenset({"json_object", "text"}),
    stop_limit=16,
    cache_grain=64,
    cache_minimum=64,
    usage="deepseek",
    errors="deepseek",
)

# What a server of open models refuses is decided by the chat template of the model; this is a strict one.
_TEMPLATE = Dialect(
    name="vllm",
    request_fields=_REQUEST_FIELDS | {"add_generation_prompt", "continue_final_message"},
    message_fields={role: _MESSAGE_FIELDS[role] for role in ("assistant", "system", "tool", "user")},
    ignores_unknown=True,
    reasoning="accept",
    reasoning_field="reasoning",
    leading_system=True,
    alternating=True,
    null_tool_calls=True,
    call_ids="chatcmpl-tool-{request:06d}{call}",
    pattern_names=False,
    json_word=False,
    stop_limit=64,
    cache_grain=16,
    cache_minimum=16,
    usage="null-details",
    errors="vllm",
)

_TABLE = (
    Dialect(name="openai"),
    _DEEPSEEK,
    replace(_DEEPSEEK, name="deepseek-v3.2", reasoning="require-in-loop"),
    replace(_DEEPSEEK, name="deepseek-r1", reasoning="refuse", alternating=True),
    _TEMPLATE,
    replace(
        _TEMPLATE,
        name="llama.cpp",
        reasoning_field="reasoning_content",
        template_status=500,
        call_ids="{request:031d}{call}",
        usage="timings",
        errors="llama.cpp",
        keep_alive=b":\n\n",
    ),
    Dialect(
        name="ollama",
        ignores_unknown=True,
        reasoning="accept",
        reasoning_field="reasoning",
        null_tool_calls=True,
        call_ids="call_{request:07d}{call}",
        whole_calls=True,
        repeated_role=True,
        pattern_names=False,
        json_word=False,
        usage="plain",
        errors="ollama",
    ),
    Dialect(
        name="gemini",
        request_fields=_REQUEST_FIELDS - {"frequency_penalty", "store", "web_search_options"},
        call_fields=frozenset({"extra_content", "function", "id", "type"}),
        call_ids="function-call-{request:06d}{call}",
        signed_calls=True,
        whole_calls=True,
        one_call_index=True,
        pattern_names=False,
        json_word=False,
        errors="gemini",
    ),
    replace(
        _TEMPLATE,
        name="nvidia",
        request_fields=_REQUEST_FIELDS - {"prompt_cache_key", "store"},
        ignores_unknown=False,
        reasoning_field="reasoning_content",
        assistant_parts=False,
        errors="nvidia",
    ),
)

DIALECTS: Mapping[DialectName, Dialect] = {dialect.name: dialect for dialect in _TABLE}
"""The dialects by name."""
