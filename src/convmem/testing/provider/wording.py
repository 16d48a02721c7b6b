"""How vendors say that a request is illegal, as far as reports of their users have it: a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from convmem.testing.provider.order_legality import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.testing.provider.dialect import Dialect, ErrorShape
    from convmem.testing.provider.problem import Problem

__all__ = ["Refusal", "refusal_of"]

_DESERIALIZE = "Failed to deserialize the JSON body into the target type: messages[{index}]"
_TOO_FEW_RESULTS = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. (insufficient tool messages following tool_calls message)"
)
_NO_SUCH_CALL = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
_JSON_WORD = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused request is answered with.

    Attributes:
        text: the message of the error.
        status: the HTTP status.
        error: fields of the error object besides the message.
    """

    text: str
    status: int = 400
    error: Mapping[str, Any] = field(default_factory=dict[str, Any])


# Whose errors name the place in `param`.
_PLACED = frozenset({"ollama", "openai", "vllm"})

_Wordings: TypeAlias = Mapping[str, Refusal]

# By rule (see `Problem.rule`); "" stands for all others. Templates are filled from the facts of the problem
# and `at`, its place.
_OPENAI: _Wordings = {
    "field": Refusal("Unknown parameter: '{at}'.", error={"code": "unknown_parameter"}),
    "parameter": Refusal("Unknown parameter: '{at}'.", error={"code": "unknown_parameter"}),
    "part-field": Refusal("Unknown parameter: '{at}'.", error={"code": "unknown_parameter"}),
    "call-field": Refusal("Unknown parameter: '{at}'.", error={"code": "unknown_parameter"}),
    "role": Refusal(
        "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', "
        "and 'developer'.",
        error={"code": "invalid_value"},
    ),
    "too-many": Refusal(
        "Invalid 'messages': array too long. Expected an array with maximum length {limit}, but got an array "
        "with length {count} instead.",
        error={"code": "array_above_max_length"},
    ),
    "part-type": Refusal(
        "Invalid value: '{kind}'. Supported values are: {kinds}.", error={"code": "invalid_value"}
    ),
    "call-id": Refusal(
        "Invalid '{at}': string too long. Expected a string with maximum length 40, but got a longer one.",
        error={"code": "string_above_max_length"},
    ),
    "call-unanswered": Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: {id}"
    ),
    "result-displaced": Refusal(f"Invalid parameter: {_NO_SUCH_CALL}"),
    "json-word": Refusal(_JSON_WORD),
    "reasoning-alone": Refusal(
        "Item '{id}' of type 'reasoning' was provided without its required following item."
    ),
    "reasoning-lost": Refusal(
        "Item '{id}' of type '{kind}' was provided without its required 'reasoning' item: '{reasoning}'."
    ),
    "item-unknown": Refusal("Item with id '{id}' not found.", status=404),
    "item-id": Refusal(
        "Invalid '{at}': '{id}'. Expected an ID that begins with '{prefix}'.", error={"code": "invalid_value"}
    ),
    "output-missing": Refusal("No tool output found for function call {id}."),
    "call-missing": Refusal("No tool call found for function call output with call_id {id}."),
}
_DEEPSEEK: _Wordings = {
    "content-absent": Refusal(f"{_DESERIALIZE}: missing field `content`"),
    "content-missing": Refusal(f"{_DESERIALIZE}: missing field `content`"),
    "content-null": Refusal(f"{_DESERIALIZE}: invalid type: null, expected a string"),
    "part-type": Refusal(f"{_DESERIALIZE}: unknown variant `{{kind}}`, expected `text`"),
    "content-list": Refusal(f"{_DESERIALIZE}: invalid type: sequence, expected a string"),
    "role": Refusal(
        f"{_DESERIALIZE}.role: unknown variant `{{role}}`, expected one of `system`, `user`, `assistant`, "
        "`tool`"
    ),
    "empty": Refusal("Invalid assistant message: content or tool_calls must be set"),
    "reasoning-missing": Refusal(
        "The `reasoning_content` in the thinking mode must be passed back to the API."
    ),
    "alternating": Refusal(
        "deepseek-reasoner does not support successive user or assistant messages (messages[{place}] and "
        "messages[{index}] in your input). You should interleave the user/assistant messages in the message "
        "sequence."
    ),
    "user-first": Refusal(
        "The first message (except the system message) of deepseek-reasoner must be a user message, but an "
        "assistant message detected."
    ),
    "last": Refusal(
        "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix "
        "mode on (refer to https://api-docs.deepseek.com/guides/chat_prefix_completion)."
    ),
    "result-displaced": Refusal(
        "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
    ),
    "call-unanswered": Refusal(_TOO_FEW_RESULTS),
    "json-word": Refusal(
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
    ),
    "format": Refusal("This response_format type is unavailable now"),
    "tool-choice": Refusal("Thinking mode does not support this tool_choice"),
}
_KIMI: _Wordings = {
    "empty": Refusal("Invalid request: the message at position {index} with role '{role}' must not be empty"),
    "blank": Refusal("Invalid request: the message at position {index} with role '{role}' must not be empty"),
    "blank-part": Refusal("Invalid request: text content is empty"),
    "reasoning-missing": Refusal(
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index {index}"
    ),
    "temperature": Refusal("invalid temperature: only 1 is allowed for this model"),
    "tool-choice": Refusal("tool_choice 'required' is incompatible with thinking enabled"),
}
# MiniMax numbers every illegal parameter 2013.
_MINIMAX: _Wordings = {
    "result-displaced": Refusal("invalid params, tool call result does not follow tool call (2013)"),
    "call-unanswered": Refusal("invalid params, tool call result does not follow tool call (2013)"),
    "result-unknown": Refusal("invalid params, tool result's tool id({id}) not found (2013)"),
    "arguments": Refusal("invalid params, invalid function arguments json string, tool_call_id: {id} (2013)"),
    "": Refusal("invalid params, {what} (2013)"),
}
_ORDER = {"type": "invalid_request_message_order", "code": "3230"}
_MISTRAL: _Wordings = {
    "after-tool": Refusal("Unexpected role '{role}' after role 'tool'", error=_ORDER),
    "system-late": Refusal("Unexpected role '{role}' after role '{before}'", error=_ORDER),
    "result-displaced": Refusal("Unexpected role 'tool' after role 'user'", error=_ORDER),
    "last": Refusal(
        "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
        error=_ORDER,
    ),
    "call-unanswered": Refusal("Not the same number of function calls and responses", error=_ORDER),
    "empty": Refusal("Assistant message must have either content or tool_calls, but not none.", error=_ORDER),
    "call-id": Refusal(
        "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.",
        error={"type": "invalid_function_call", "code": "3280"},
    ),
    "field": Refusal("Extra inputs are not permitted", 422, {"detail": "extra_forbidden"}),
    "parameter": Refusal("Extra inputs are not permitted", 422, {"detail": "extra_forbidden"}),
    "call-field": Refusal("Extra inputs are not permitted", 422, {"detail": "extra_forbidden"}),
    "part-field": Refusal("Extra inputs are not permitted", 422, {"detail": "extra_forbidden"}),
}
_ANTHROPIC: _Wordings = {
    "content-empty": Refusal("messages: text content blocks must be non-empty"),
    "blank": Refusal("messages: text content blocks must contain non-whitespace text"),
    "blank-part": Refusal("messages: text content blocks must contain non-whitespace text"),
    "empty": Refusal(
        "messages.{index}: all messages must have non-empty content except for the optional final assistant "
        "message"
    ),
    "alternating": Refusal(
        'messages: roles must alternate between "user" and "assistant", but found multiple "{role}" roles in '
        "a row"
    ),
    "call-id": Refusal("messages.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$': {id}"),
    "tools-missing": Refusal("Requests which include `tool_use` or `tool_result` blocks must define tools"),
    "user-first": Refusal('messages: first message must use the "user" role'),
    "last": Refusal(
        "This model does not support assistant message prefill. The conversation must end with a user "
        "message."
    ),
    "call-unanswered": Refusal(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {id}. "
        "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    ),
    "result-displaced": Refusal(
        "messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message."
    ),
    "result-unknown": Refusal(
        "messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
        "`tool_result` block must have a corresponding `tool_use` block in the previous message."
    ),
    "field": Refusal("messages.{index}.{field}: Extra inputs are not permitted"),
}
_GROQ: _Wordings = {
    "field": Refusal(
        "'messages.{index}' : for 'role:{role}' the following must be satisfied[('messages.{index}' : "
        "property '{field}' is unsupported)]"
    ),
    "parameter": Refusal("property '{field}' is unsupported"),
}
_QWEN = "<400> InternalError.Algo.InvalidParameter: "
_WORDINGS: Mapping[ErrorShape, _Wordings] = {
    "openai": _OPENAI,
    "deepseek": _DEEPSEEK,
    "kimi": _KIMI,
    "glm": {
        "": Refusal("The messages parameter is illegal. Please check the documentation."),
        "parameter": Refusal(
            "Invalid API parameter, please check the documentation.", error={"code": "1210"}
        ),
    },
    "minimax": _MINIMAX,
    "qwen": {
        "result-displaced": Refusal(f"{_QWEN}{_NO_SUCH_CALL}"),
        "call-unanswered": Refusal(
            f'{_QWEN}An assistant message with "tool_calls" must be followed by tool messages responding to '
            'each "tool_call_id". The following tool_call_ids did not have response messages: {id}'
        ),
        "json-word": Refusal(f"{_QWEN}{_JSON_WORD}"),
        "": Refusal(f"{_QWEN}{{at}}: {{what}}"),
    },
    "mistral": _MISTRAL,
    "anthropic": _ANTHROPIC,
    "groq": _GROQ,
    "doubao": {
        "content-absent": Refusal(
            "The request failed because it is missing `messages.content` parameter.",
            error={"code": "MissingParameter", "param": ""},
        ),
        "": Refusal("The parameter `messages` specified in the request are not valid: {at}: {what}"),
    },
    "gemini": {
        "unsigned": Refusal(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools "
            "to work correctly, and missing thought_signature may lead to degraded model performance. "
            "Additional data, function call `default_api:{name}` , position {position}. Please refer to "
            "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
        ),
        "forged": Refusal("Corrupted thought signature."),
    },
    "ollama": {"arguments": Refusal("invalid tool call arguments")},
}


def refusal_of(problems: Sequence[Problem], dialect: Dialect) -> Refusal:
    """What a request with these problems is answered with.

    A vendor stops at the first problem and says it in words of its own. Where those are not known, every
    problem is named with its place.

    Args:
        problems: at least one.
        dialect: of the provider that refuses.
    """
    first = problems[0]
    place = {"param": first.at} if dialect.errors in _PLACED else {}
    wordings = _WORDINGS.get(dialect.errors, {})
    known = wordings.get(first.rule) if first.rule else None
    known = known or wordings.get("")
    if known is None:
        text = "; ".join(map(str, problems))
        status = dialect.template_status if TEMPLATE in first.what else 400
        return Refusal(text, status, place)
    text = known.text.format(**{**first.facts, "at": first.at, "what": first.what})
    error = dict(known.error)
    if "detail" in error:
        error["detail"] = {"type": error["detail"], "loc": _place(first), "msg": text}
    return Refusal(text, known.status, {**place, **error})


def _place(problem: Problem) -> list[object]:
    """Where Mistral's validator says that it found something."""
    if "index" not in problem.facts:
        return ["body", problem.at]
    facts = problem.facts
    return ["body", "messages", facts["index"], facts["role"], facts["field"]]
