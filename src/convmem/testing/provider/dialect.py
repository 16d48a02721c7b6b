"""What the OpenAI-compatible providers do differently: the rules that a dialect is made of.

`vendors.py` has the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MESSAGE_FIELDS",
    "REQUEST_FIELDS",
    "BlankText",
    "ContentForm",
    "Dialect",
    "DialectName",
    "ErrorShape",
    "LastMessage",
    "ReasoningForm",
    "ReasoningRule",
    "ToolChoice",
    "UsageShape",
]

DialectName: TypeAlias = Literal[
    "anthropic",
    "deepseek",
    "deepseek-r1",
    "deepseek-v3.2",
    "doubao",
    "gemini",
    "glm",
    "groq",
    "kimi",
    "llama.cpp",
    "minimax",
    "mistral",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "qwen",
    "siliconflow",
    "together",
    "vllm",
    "xai",
]

ReasoningRule: TypeAlias = Literal["accept", "refuse", "require", "require-in-loop", "require-on-calls"]
"""What a provider does with reasoning on assistant messages that are sent back to it.

`accept` takes it or leaves it. `refuse` answers 400 when it is there: OpenAI, and DeepSeek R1.
`require` answers 400 when the request has `tools`, thinking is not switched off and an assistant message
lacks `reasoning_content`: DeepSeek since V4. `require-in-loop` asks for it only after the newest user
message: DeepSeek V3.2. `require-on-calls` asks for one that is not empty on every message with tool calls
unless thinking is switched off: Kimi.
"""

ContentForm: TypeAlias = Literal["absent", "empty", "null"]
"""What may stand for content beside tool calls when the model said nothing: no key, `""`, or null."""

BlankText: TypeAlias = Literal["blank-refused", "empty-refused", "taken"]
"""What a provider does with empty texts of users and in content parts: take them, refuse `""`, or refuse
white space as well.
"""

LastMessage: TypeAlias = Literal["any", "never-assistant", "prefix"]
"""Whether an assistant message may be the last: any may, none, or one with `prefix: true`."""

ReasoningForm: TypeAlias = Literal["field", "parts", "think"]
"""Where replies carry reasoning: in a field of the message; as a `thinking` part of the content, as
Mistral's; between `<think>` and `</think>` in front of the text, as MiniMax's.
"""

ToolChoice: TypeAlias = Literal["any", "not-required", "unforced-in-thinking"]
"""Which `tool_choice` is refused: none; `required`, as Kimi does; any that forces a call while the model
thinks, as DeepSeek does.
"""

ErrorShape: TypeAlias = Literal[
    "anthropic",
    "deepseek",
    "doubao",
    "gemini",
    "glm",
    "groq",
    "kimi",
    "llama.cpp",
    "minimax",
    "mistral",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "qwen",
    "siliconflow",
    "together",
    "vllm",
    "xai",
]
"""Whose bodies and wordings errors have; the DeepSeek dialects share one."""

UsageShape: TypeAlias = Literal["deepseek", "null-details", "openai", "plain", "timings"]
"""What usage says of the cache: DeepSeek's hits and misses beside OpenAI's details; details that are null,
as vLLM's without `--enable-prompt-tokens-details`; OpenAI's details; nothing, as Ollama; OpenAI's details
beside llama.cpp's `timings`.
"""

# The parameters of `POST /chat/completions`, from the OpenAI API reference.
REQUEST_FIELDS = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed",
    "service_tier", "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools",
    "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
})  # fmt: skip

# `annotations` is a field of replies; OpenAI takes it back because its own samples append the reply.
# `name` on tool messages is in OpenAI's older samples and still taken.
MESSAGE_FIELDS = {
    "assistant": frozenset({
        "annotations", "audio", "content", "function_call", "name", "refusal", "role", "tool_calls",
    }),
    "developer": frozenset({"content", "name", "role"}),
    "function": frozenset({"content", "name", "role"}),
    "system": frozenset({"content", "name", "role"}),
    "tool": frozenset({"content", "name", "role", "tool_call_id"}),
    "user": frozenset({"content", "name", "role"}),
}  # fmt: skip


# Fields of a content part besides its type and what is named by the type. OpenAI's marks where a cached
# prefix ends, from GPT-5.6 on.
_PART_FIELDS = frozenset({"prompt_cache_breakpoint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The rules of one family of providers.

    Attributes:
        request_fields: the fields a request body may have.
        message_fields: the fields a message may have, by role; a role that is not here is refused.
        null_fields: whether other fields of OpenAI's messages may be there when they are null, as in the
            dump of a reply.
        part_fields: the fields a content part may have besides its type and its payload.
        user_parts: the types of content parts that a user's message may have.
        assistant_parts: the types that an assistant's may have.
        sees: patterns of the models that take pictures; others take text alone.
        ignores_unknown: whether other fields are passed over instead of refused.
        beside_calls: what may stand for content beside tool calls when there is none.
        empty_assistant: whether an assistant message with neither text nor calls is taken.
        blank_text: what happens to texts that say nothing.
        text_roles: the roles whose content must be a string, not a list of parts.
        reasoning: what happens to reasoning on messages sent back.
        reasoning_field: what reasoning is called in replies and messages.
        reasoning_fields: what else it may be called in messages sent back.
        reasoning_form: where replies carry it.
        always_thinks: patterns of the models whose thinking cannot be switched off.
        leading_system: whether system messages may only stand before all others.
        user_first: whether the first message after those must be a user's.
        alternating: whether two user or two assistant messages in a row are refused.
        assistant_after_tool: whether only an assistant may speak after the results of tools.
        last: whether the last message may be the assistant's.
        template_status: the status of refusals made where a chat becomes a prompt.
        message_limit: the most messages a request may have.
        null_tool_calls: whether `tool_calls: null` is taken for no tool calls.
        call_fields: the fields a tool call may have.
        call_ids: how ids of tool calls are made, from the number of the request and of the call in it.
        call_id_pattern: what ids of tool calls must look like.
        calls_need_tools: whether a request with calls in its messages must offer tools.
        json_arguments: whether the arguments of a call must be JSON.
        signed_calls: whether the first tool call of a message is signed, and the signature is asked for
            until the next user message, as Gemini 3 does.
        whole_calls: whether a streamed tool call comes in one piece.
        one_call_index: whether all tool calls of a stream have the index 0.
        repeated_role: whether every delta of a stream says the role.
        pattern_names: whether `name` must match OpenAI's pattern for names.
        tool_choice: which `tool_choice` is refused.
        tool_parameters: whether the functions of `tools` must have `parameters`.
        temperature: the only temperature that is taken.
        json_word: whether `response_format: json_object` needs the word "json" in some message.
        formats: the types of `response_format`.
        stop_limit: how many stop sequences are taken.
        cache_grain: the unit in which the prompt cache counts, tokens.
        cache_minimum: the shortest prefix that counts as cached, tokens.
        usage: what usage says of the cache.
        errors: whose bodies and wordings errors have.
        keep_alive: the comment a stream is kept alive with.
    """

    name: DialectName
    request_fields: frozenset[str] = REQUEST_FIELDS
    message_fields: Mapping[str, frozenset[str]] = field(default_factory=lambda: MESSAGE_FIELDS)
    null_fields: bool = False
    part_fields: frozenset[str] = _PART_FIELDS
    user_parts: frozenset[str] = frozenset({"file", "image_url", "input_audio", "text"})
    assistant_parts: frozenset[str] = frozenset({"refusal", "text"})
    sees: tuple[str, ...] = ("*",)
    ignores_unknown: bool = False
    beside_calls: frozenset[ContentForm] = frozenset({"absent", "empty", "null"})
    empty_assistant: bool = False
    blank_text: BlankText = "taken"
    text_roles: frozenset[str] = frozenset()
    reasoning: ReasoningRule = "refuse"
    reasoning_field: str = "reasoning_content"
    reasoning_fields: frozenset[str] = frozenset()
    reasoning_form: ReasoningForm = "field"
    always_thinks: tuple[str, ...] = ()
    leading_system: bool = False
    user_first: bool = False
    alternating: bool = False
    assistant_after_tool: bool = False
    last: LastMessage = "any"
    template_status: int = 400
    message_limit: int | None = None
    null_tool_calls: bool = False
    call_fields: frozenset[str] = frozenset({"custom", "function", "id", "type"})
    call_ids: str = "call_{request:06d}_{call}"
    call_id_pattern: str | None = None
    calls_need_tools: bool = False
    json_arguments: bool = False
    signed_calls: bool = False
    whole_calls: bool = False
    one_call_index: bool = False
    repeated_role: bool = False
    pattern_names: bool = True
    tool_choice: ToolChoice = "any"
    tool_parameters: bool = False
    temperature: float | None = None
    json_word: bool = True
    formats: frozenset[str] = frozenset({"json_object", "json_schema", "text"})
    stop_limit: int = 4
    cache_grain: int = 128
    cache_minimum: int = 1024
    usage: UsageShape = "openai"
    errors: ErrorShape = "openai"
    keep_alive: bytes = b": keep-alive\n\n"
