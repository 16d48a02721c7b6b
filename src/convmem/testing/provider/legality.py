"""What makes a chat request illegal. Pure: bodies in, sentences out.

A sentence starts with the place, such as `messages[3].tool_calls[0].id`, then a colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convmem.testing.provider.dialect import DIALECTS, Dialect, DialectName, ReasoningRule
from convmem.testing.provider.parameters import parameter_problems
from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["TEMPLATE", "problems"]

_NAME_PATTERN = re.compile(r"[^\s<|\\/>]+")
TEMPLATE = "the conversation cannot be rendered:"
"""How refusals begin that are made where a chat becomes a prompt."""

_TEXT_ONLY = frozenset({"text"})
_PART_TYPES = {
    "assistant": frozenset({"refusal", "text"}),
    "user": frozenset({"file", "image_url", "input_audio", "text"}),
}


def problems(
    body: Mapping[str, object], dialect: DialectName = "openai", *, reasoning: ReasoningRule | None = None
) -> list[str]:
    """Say everything that is wrong with the body of a chat request, in the order of its fields.

    Args:
        body: the parsed JSON body.
        dialect: whose rules to apply.
        reasoning: what the provider does with reasoning sent back to it; by default what the dialect says.

    Returns:
        One sentence per problem, each starting with the place; empty when the body is legal.
    """
    rules = DIALECTS[dialect]
    found = list(parameter_problems(body, rules))
    messages = body.get("messages")
    if not is_array(messages) or not messages:
        found.append("messages: expected a non-empty array")
        return found
    rule = reasoning or rules.reasoning
    for index, message in enumerate(messages):
        found.extend(_message_problems(message, f"messages[{index}]", rules, rule))
    found.extend(_tool_order_problems(messages))
    found.extend(_position_problems(messages, rules))
    newest = max((i for i, m in enumerate(messages) if is_object(m) and m.get("role") == "user"), default=-1)
    if rule in {"require", "require-in-loop"} and body.get("tools") and not _thinking_is_off(body):
        found.extend(_missing_reasoning_problems(messages, newest if rule == "require-in-loop" else -1))
    if rules.signed_calls:
        found.extend(_unsigned_call_problems(messages, newest))
    return found


def _message_problems(message: object, at: str, dialect: Dialect, rule: ReasoningRule) -> Iterator[str]:
    """What is wrong with one message by itself."""
    if not is_object(message):
        yield f"{at}: expected an object"
        return
    role = message.get("role")
    if not isinstance(role, str) or role not in dialect.message_fields:
        yield f"{at}.role: expected one of {', '.join(sorted(dialect.message_fields))}, got {role!r:.60}"
        return
    known = dialect.message_fields[role]
    if role == "assistant" and rule != "refuse":
        known |= {dialect.reasoning_field}
    for name in message:
        if name not in known and not dialect.ignores_unknown:
            yield f"{at}.{name}: unknown parameter for the role {role}"
    yield from _name_problems(message, at, role, dialect)
    if role == "assistant":
        yield from _assistant_problems(message, at, dialect)
    elif role == "function":
        if not isinstance(message.get("content"), str | None):
            yield f"{at}.content: expected a string or null"
    else:
        yield from _content_problems(message.get("content"), f"{at}.content", role)
    call_id = message.get("tool_call_id")
    if role == "tool" and (not isinstance(call_id, str) or not call_id):
        yield f"{at}.tool_call_id: expected a non-empty string"


def _name_problems(message: dict[str, object], at: str, role: str, dialect: Dialect) -> Iterator[str]:
    name = message.get("name")
    if name is None and "name" not in message and role != "function":
        return
    if not isinstance(name, str) or not name:
        yield f"{at}.name: expected a non-empty string"
    elif dialect.pattern_names and not _NAME_PATTERN.fullmatch(name):
        yield f"{at}.name: does not match the pattern ^{_NAME_PATTERN.pattern}$"


def _assistant_problems(message: dict[str, object], at: str, dialect: Dialect) -> Iterator[str]:
    content = message.get("content")
    if is_array(content) and not dialect.assistant_parts:
        yield f"{at}.content: message content as a list is only supported for user messages"
    if content is not None:
        yield from _content_problems(content, f"{at}.content", "assistant")
    elif all(message.get(name) is None for name in ("tool_calls", "refusal", "audio", "function_call")):
        yield f"{at}: expected content, tool_calls, refusal, audio or function_call"
    for name in ("refusal", "reasoning_content"):
        if not isinstance(message.get(name), str | None):
            yield f"{at}.{name}: expected a string or null"
    if not isinstance(message.get("prefix", False), bool):
        yield f"{at}.prefix: expected a boolean"
    legacy = message.get("function_call")
    if legacy is not None:
        yield from _call_detail_problems(legacy, f"{at}.function_call", "arguments")
    yield from _tool_calls_problems(message, at, dialect)


def _tool_calls_problems(message: dict[str, object], at: str, dialect: Dialect) -> Iterator[str]:
    calls = message.get("tool_calls")
    if calls is None and ("tool_calls" not in message or dialect.null_tool_calls):
        return
    if not is_array(calls) or not calls:
        yield f"{at}.tool_calls: expected a non-empty array"
        return
    for index, call in enumerate(calls):
        yield from _tool_call_problems(call, f"{at}.tool_calls[{index}]")
        if is_object(call) and not dialect.ignores_unknown:
            unknown = [name for name in call if name not in dialect.call_fields]
            yield from (f"{at}.tool_calls[{index}].{name}: unknown parameter" for name in unknown)
    ids = _call_ids(message)
    if len(set(ids)) < len(ids):
        yield f"{at}.tool_calls: two calls have the same id"


def _tool_call_problems(call: object, at: str) -> Iterator[str]:
    if not is_object(call):
        yield f"{at}: expected an object"
        return
    if not isinstance(call.get("id"), str) or not call["id"]:
        yield f"{at}.id: expected a non-empty string"
    kind = call.get("type")
    if kind == "function":
        yield from _call_detail_problems(call.get("function"), f"{at}.function", "arguments")
    elif kind == "custom":
        yield from _call_detail_problems(call.get("custom"), f"{at}.custom", "input")
    else:
        yield f"{at}.type: expected function or custom, got {kind!r:.60}"


def _call_detail_problems(detail: object, at: str, payload: str) -> Iterator[str]:
    if not is_object(detail):
        yield f"{at}: expected an object"
        return
    if not isinstance(detail.get("name"), str) or not detail["name"]:
        yield f"{at}.name: expected a non-empty string"
    if not isinstance(detail.get(payload), str):
        yield f"{at}.{payload}: expected a string"


def _content_problems(content: object, at: str, role: str) -> Iterator[str]:
    if isinstance(content, str):
        return
    if not is_array(content) or not content:
        yield f"{at}: expected a string or a non-empty array of content parts"
        return
    allowed = _PART_TYPES.get(role, _TEXT_ONLY)
    for index, part in enumerate(content):
        kind = part.get("type") if is_object(part) else None
        if not is_object(part) or not isinstance(kind, str) or kind not in allowed:
            yield f"{at}[{index}].type: expected one of {', '.join(sorted(allowed))}, got {kind!r:.60}"
        elif not _PART_PAYLOADS[kind](part.get(kind)):
            yield f"{at}[{index}].{kind}: missing or of the wrong type"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _has_texts(*names: str) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        return is_object(value) and all(isinstance(value.get(name), str) for name in names)

    return accepts


_PART_PAYLOADS: Mapping[str, Callable[[object], bool]] = {
    "file": is_object,
    "image_url": _has_texts("url"),
    "input_audio": _has_texts("data", "format"),
    "refusal": _is_text,
    "text": _is_text,
}


@dataclass(slots=True)
class _CallGroup:
    """The calls of one assistant message and which of them have been answered."""

    at: str
    ids: list[str]
    answered: set[str] = field(default_factory=set[str])

    def unanswered(self) -> Iterator[str]:
        missing = [call_id for call_id in self.ids if call_id not in self.answered]
        if missing:
            yield (
                f"{self.at}: an assistant message with tool_calls must be followed by tool messages "
                f"responding to each tool_call_id; without response: {', '.join(missing)}"
            )


def _tool_order_problems(messages: list[object]) -> Iterator[str]:
    """Calls and results belong together: every call answered once, at once, and nothing else answered."""
    group: _CallGroup | None = None
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        if not is_object(message):
            continue
        if message.get("role") != "tool":
            if group:
                yield from group.unanswered()
            ids = _call_ids(message) if message.get("role") == "assistant" else []
            group = _CallGroup(at, ids) if ids else None
            continue
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str):
            continue
        if group is None:
            yield f"{at}: a tool message must follow an assistant message with tool_calls"
        elif call_id not in group.ids:
            yield f"{at}.tool_call_id: {call_id} is not one of the tool_calls of {group.at}"
        elif call_id in group.answered:
            yield f"{at}.tool_call_id: {call_id} is answered twice"
        else:
            group.answered.add(call_id)
    if group:
        yield from group.unanswered()


def _call_ids(message: dict[str, object]) -> list[str]:
    calls = message.get("tool_calls")
    if not is_array(calls):
        return []
    ids = [call.get("id") for call in calls if is_object(call)]
    return [call_id for call_id in ids if isinstance(call_id, str)]


def _position_problems(messages: list[object], dialect: Dialect) -> Iterator[str]:
    """Messages that may only stand at the start or at the end."""
    leading = True
    for index, message in enumerate(messages):
        if not is_object(message):
            continue
        if message.get("role") != "system":
            leading = False
        elif dialect.leading_system and not leading:
            yield f"messages[{index}]: {TEMPLATE} a system message may only stand at the start"
        if dialect.alternating and index and message.get("role") in {"assistant", "user"}:
            before = messages[index - 1]
            if is_object(before) and before.get("role") == message["role"]:
                yield f"messages[{index}]: {TEMPLATE} successive user or assistant messages are not supported"
        known = dialect.message_fields["assistant"]
        if "prefix" in known and message.get("prefix") is True and index != len(messages) - 1:
            yield f"messages[{index}].prefix: only allowed on the last message"


def _thinking_is_off(body: Mapping[str, object]) -> bool:
    thinking = body.get("thinking")
    return is_object(thinking) and thinking.get("type") == "disabled"


def _missing_reasoning_problems(messages: list[object], newest: int) -> Iterator[str]:
    for index, message in enumerate(messages):
        if (
            index < newest
            or not is_object(message)
            or message.get("role") != "assistant"
            or message.get("prefix") is True
        ):
            continue
        if not isinstance(message.get("reasoning_content"), str):
            yield (
                f"messages[{index}].reasoning_content: must be passed back to the API "
                "when the request has tools; an empty string when there was none"
            )


def _unsigned_call_problems(messages: list[object], newest: int) -> Iterator[str]:
    """Since the newest user message, the first call of each assistant message has its signature."""
    for index, message in enumerate(messages):
        calls = message.get("tool_calls") if is_object(message) else None
        if index < newest or not is_array(calls) or not calls:
            continue
        extra = calls[0].get("extra_content") if is_object(calls[0]) else None
        google = extra.get("google") if is_object(extra) else None
        if not is_object(google) or not google.get("thought_signature"):
            yield f"messages[{index}].tool_calls[0]: function call is missing a thought_signature"
