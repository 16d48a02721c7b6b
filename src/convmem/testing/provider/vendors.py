"""The dialects by name, and whose rules a model is served by. Sources are in docs/providers.md.

A new one has its name in `DialectName` and a column in a table of that page, each cell of which
`tests/local_provider/test_dialects.py` asks; `tests/legality/matrix.py` has a row of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from convmem.testing.provider.dialect import MESSAGE_FIELDS, REQUEST_FIELDS, Dialect, DialectName

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DIALECTS", "Rules", "dialect_of"]

_ROLES = ("assistant", "system", "tool", "user")
_ASSISTANT = frozenset({"content", "name", "role", "tool_calls"})
_MARKED = frozenset({"cache_control"})


def _fields(*assistant: str, named: tuple[str, ...] = _ROLES) -> dict[str, frozenset[str]]:
    """The fields of messages without OpenAI's own: no role `developer`, no `audio`, no `annotations`.

    Args:
        *assistant: what else an assistant's message may have.
        named: the roles that may have a `name`.
    """
    made = {role: MESSAGE_FIELDS[role] for role in _ROLES}
    made["assistant"] = _ASSISTANT.union(assistant)
    return {role: fields if role in named else fields - {"name"} for role, fields in made.items()}


_SEEN = frozenset({"image_url", "text"})

_DEEPSEEK = Dialect(
    name="deepseek",
    request_fields=REQUEST_FIELDS | {"thinking", "user_id"},
    message_fields=_fields("prefix"),
    null_fields=True,
    beside_calls=frozenset({"empty"}),
    text_roles=frozenset({"assistant", "tool"}),
    user_parts=_SEEN,
    sees=("deepseek-flash*", "deepseek-v4-flash*", "deepseek-v4.1-flash*"),
    reasoning="require",
    leading_system=True,
    last="prefix",
    null_tool_calls=True,
    call_ids="call_{call:02d}_{request:06d}",
    pattern_names=False,
    tool_choice="unforced-in-thinking",
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
    request_fields=REQUEST_FIELDS | {"add_generation_prompt", "continue_final_message"},
    message_fields={role: MESSAGE_FIELDS[role] for role in _ROLES},
    ignores_unknown=True,
    reasoning="accept",
    reasoning_field="reasoning",
    leading_system=True,
    user_first=True,
    alternating=True,
    null_tool_calls=True,
    call_ids="chatcmpl-tool-{request:06d}{call}",
    json_arguments=True,
    pattern_names=False,
    json_word=False,
    stop_limit=64,
    cache_grain=16,
    cache_minimum=16,
    usage="null-details",
    errors="vllm",
)

# What a hosted service is taken for where nothing is said of it: as strict as the strictest that say it.
# A call without words needs a string, as at DeepSeek; Anthropic's opposite rule stands in its own row.
_HOSTED = Dialect(
    name="glm",
    request_fields=REQUEST_FIELDS | {"thinking"},
    message_fields=_fields(),
    beside_calls=frozenset({"empty"}),
    text_roles=frozenset({"assistant", "tool"}),
    user_parts=_SEEN,
    assistant_parts=frozenset({"text"}),
    reasoning="accept",
    leading_system=True,
    pattern_names=False,
    errors="glm",
)

_TABLE = (
    Dialect(name="openai", empty_assistant=True, message_limit=2_048, call_id_pattern=".{1,40}"),
    _DEEPSEEK,
    replace(_DEEPSEEK, name="deepseek-v3.2", reasoning="require-in-loop", sees=()),
    replace(_DEEPSEEK, name="deepseek-r1", reasoning="refuse", user_first=True, alternating=True, sees=()),
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
        empty_assistant=True,
        reasoning="accept",
        reasoning_field="reasoning",
        null_tool_calls=True,
        call_ids="call_{request:07d}{call}",
        json_arguments=True,
        whole_calls=True,
        repeated_role=True,
        pattern_names=False,
        json_word=False,
        usage="plain",
        errors="ollama",
    ),
    Dialect(
        name="gemini",
        request_fields=REQUEST_FIELDS - {"frequency_penalty", "store", "web_search_options"},
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
        request_fields=REQUEST_FIELDS - {"prompt_cache_key", "store"},
        ignores_unknown=False,
        text_roles=frozenset({"assistant", "system", "tool"}),
        reasoning_field="reasoning_content",
        errors="nvidia",
    ),
    replace(
        _HOSTED,
        name="kimi",
        message_fields=_fields("partial"),
        # Moonshot's own command line leaves the key out.
        beside_calls=frozenset({"absent", "empty"}),
        blank_text="empty-refused",
        text_roles=frozenset(),
        reasoning="require-on-calls",
        always_thinks=("kimi-k3*", "kimi-k2.7*"),
        call_ids="f:{call}_{request:06d}",
        tool_choice="not-required",
        temperature=1.0,
        errors="kimi",
    ),
    _HOSTED,
    replace(
        _HOSTED,
        name="minimax",
        request_fields=REQUEST_FIELDS | {"reasoning_split", "thinking"},
        part_fields=_MARKED,
        reasoning_fields=frozenset({"reasoning_details"}),
        reasoning_form="think",
        call_ids="call_function_{request:06d}_{call}",
        json_arguments=True,
        tool_parameters=True,
        errors="minimax",
    ),
    replace(
        _HOSTED,
        name="qwen",
        request_fields=REQUEST_FIELDS | {"enable_thinking", "thinking_budget"},
        part_fields=_MARKED,
        # The samples send back what came, "" beside calls; adapters send null.
        beside_calls=frozenset({"empty", "null"}),
        text_roles=frozenset(),
        errors="qwen",
    ),
    replace(
        _HOSTED,
        name="mistral",
        request_fields=REQUEST_FIELDS | {"prompt_mode", "random_seed", "safe_prompt"},
        message_fields=_fields("prefix", named=("tool",)),
        assistant_parts=frozenset({"text", "thinking"}),
        beside_calls=frozenset({"absent", "empty"}),
        text_roles=frozenset(),
        reasoning="refuse",
        reasoning_form="parts",
        user_first=True,
        assistant_after_tool=True,
        last="prefix",
        call_ids="{request:07d}{call:02d}",
        call_id_pattern="[0-9A-Za-z]{9}",
        errors="mistral",
    ),
    # Claude behind an OpenAI-compatible gateway: what Anthropic refuses, the gateway passes on.
    replace(
        _HOSTED,
        name="anthropic",
        part_fields=_MARKED,
        beside_calls=frozenset({"absent", "null"}),
        blank_text="blank-refused",
        text_roles=frozenset(),
        reasoning="refuse",
        user_first=True,
        alternating=True,
        last="never-assistant",
        call_ids="toolu_{request:06d}{call}",
        call_id_pattern="[0-9A-Za-z_-]{1,64}",
        calls_need_tools=True,
        json_arguments=True,
        errors="anthropic",
    ),
    replace(
        _HOSTED,
        name="openrouter",
        request_fields=REQUEST_FIELDS | {"models", "plugins", "provider", "reasoning", "transforms"},
        user_parts=_SEEN | {"file", "input_audio"},
        part_fields=_MARKED,
        text_roles=frozenset(),
        reasoning_field="reasoning",
        reasoning_fields=frozenset({"reasoning_details"}),
        errors="openrouter",
    ),
    replace(
        _HOSTED,
        name="groq",
        request_fields=REQUEST_FIELDS | {"reasoning_format"},
        beside_calls=frozenset({"absent"}),
        reasoning_field="reasoning",
        errors="groq",
    ),
    replace(
        _HOSTED,
        name="xai",
        # Models that think refuse these three.
        request_fields=REQUEST_FIELDS - {"frequency_penalty", "presence_penalty", "stop"},
        message_fields=_fields(named=("user",)),
        reasoning="refuse",
        errors="xai",
    ),
    replace(_HOSTED, name="doubao", errors="doubao"),
    replace(
        _HOSTED,
        name="siliconflow",
        request_fields=REQUEST_FIELDS | {"enable_thinking", "thinking_budget"},
        errors="siliconflow",
    ),
    replace(
        _HOSTED,
        name="together",
        reasoning_field="reasoning",
        reasoning_fields=frozenset({"reasoning_content"}),
        errors="together",
    ),
)

DIALECTS: Mapping[DialectName, Dialect] = {dialect.name: dialect for dialect in _TABLE}
"""The dialects by name."""

# Patterns of models' names, less what stands before the last slash; the first that fits counts.
_MODELS: tuple[tuple[str, DialectName], ...] = (
    ("deepseek-r1*", "deepseek-r1"),
    ("deepseek-v3.2*", "deepseek-v3.2"),
    ("deepseek*", "deepseek"),
    ("kimi*", "kimi"),
    ("moonshot*", "kimi"),
    ("glm*", "glm"),
    ("minimax*", "minimax"),
    ("qwen*", "qwen"),
    ("qwq*", "qwen"),
    ("*mistral*", "mistral"),
    ("*mixtral*", "mistral"),
    ("*stral-*", "mistral"),
    ("claude*", "anthropic"),
    ("gemini*", "gemini"),
    ("grok*", "xai"),
    ("doubao*", "doubao"),
)


def dialect_of(model: object) -> DialectName:
    """Whose rules a model is served by, as far as its name tells; OpenAI's for any other."""
    if not isinstance(model, str):
        return "openai"
    name = model.lower().rpartition("/")[2]
    for pattern, dialect in _MODELS:
        if fnmatchcase(name, pattern):
            return dialect
    return "openai"


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose rules the requests to a provider are answered by.

    Attributes:
        name: the dialect of all; None takes each request's from its model.
    """

    name: DialectName | None = None

    def of(self, model: object) -> Dialect:
        """The dialect of a request."""
        return DIALECTS[self.name or dialect_of(model)]
