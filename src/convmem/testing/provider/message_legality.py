"""What is wrong with one message of a chat request by itself. Pure; see `legality.py`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from convmem.testing.provider.dialect import MESSAGE_FIELDS
from convmem.testing.provider.problem import Problem
from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from convmem.testing.provider.dialect import Dialect, ReasoningRule

__all__ = ["is_empty_assistant", "message_problems"]

_NAME_PATTERN = re.compile(r"[^\s<|\\/>]+")
_TEXT_ONLY = frozenset({"text"})
_SAYING = ("tool_calls", "refusal", "audio", "function_call", "prefix", "partial")
_OPENAI_FIELDS = frozenset[str]().union(*MESSAGE_FIELDS.values())


def message_problems(
    message: object, index: int, dialect: Dialect, rule: ReasoningRule, user_parts: frozenset[str]
) -> Iterator[Problem]:
    """Find what is wrong with the message at `index`.

    Args:
        message: the parsed message.
        index: its place among the messages.
        dialect: whose rules to apply.
        rule: what the provider does with reasoning sent back to it.
        user_parts: the types of content parts that the model takes of a user.
    """
    at = f"messages[{index}]"
    if not is_object(message):
        yield Problem(at, "expected an object")
        return
    role = message.get("role")
    if not isinstance(role, str) or role not in dialect.message_fields:
        known = sorted(dialect.message_fields)
        facts = {"index": index, "role": role, "roles": known}
        yield Problem(f"{at}.role", f"expected one of {', '.join(known)}, got {role!r:.60}", "role", facts)
        return
    yield from _field_problems(message, index, role, dialect, rule)
    yield from _name_problems(message, at, role, dialect)
    if role == "assistant":
        yield from _assistant_problems(message, index, dialect)
    elif role == "function":
        if not isinstance(message.get("content"), str | None):
            yield Problem(f"{at}.content", "expected a string or null")
    elif "content" not in message:
        what = "expected a string or a non-empty array of content parts, got nothing"
        yield Problem(f"{at}.content", what, "content-missing", {"index": index, "role": role})
    else:
        yield from _content_problems(message["content"], index, role, dialect, user_parts)
    call_id = message.get("tool_call_id")
    if role == "tool" and (not isinstance(call_id, str) or not call_id):
        yield Problem(f"{at}.tool_call_id", "expected a non-empty string")


def is_empty_assistant(message: Mapping[str, object]) -> bool:
    """Whether an assistant's message has neither text nor calls nor anything else it could have said."""
    if any(message.get(name) for name in _SAYING):
        return False
    content = message.get("content")
    if is_array(content):
        kinds = {str(part.get("type")) for part in content if is_object(part)}
        texts = [part.get("text") for part in content if is_object(part)]
        return kinds <= {"text", "thinking"} and not any(texts)
    return not content


def _field_problems(
    message: dict[str, object], index: int, role: str, dialect: Dialect, rule: ReasoningRule
) -> Iterator[Problem]:
    if dialect.ignores_unknown:
        return
    known = dialect.message_fields[role]
    if role == "assistant" and rule != "refuse":
        known |= {dialect.reasoning_field, *dialect.reasoning_fields}
    for name, value in message.items():
        if name in known or (dialect.null_fields and value is None and name in _OPENAI_FIELDS):
            continue
        at = f"messages[{index}].{name}"
        facts = {"index": index, "role": role, "field": name}
        yield Problem(at, f"unknown parameter for the role {role}", "field", facts)


def _name_problems(message: dict[str, object], at: str, role: str, dialect: Dialect) -> Iterator[Problem]:
    name = message.get("name")
    if name is None and ("name" not in message or dialect.null_fields) and role != "function":
        return
    if not isinstance(name, str) or not name:
        yield Problem(f"{at}.name", "expected a non-empty string")
    elif dialect.pattern_names and not _NAME_PATTERN.fullmatch(name):
        yield Problem(f"{at}.name", f"does not match the pattern ^{_NAME_PATTERN.pattern}$")


def _assistant_problems(message: dict[str, object], index: int, dialect: Dialect) -> Iterator[Problem]:
    at = f"messages[{index}]"
    facts = {"index": index, "role": "assistant"}
    content = message.get("content")
    empty = is_empty_assistant(message)
    if empty and (content is None or not dialect.empty_assistant):
        yield Problem(at, "expected content, tool_calls, refusal, audio or function_call", "empty", facts)
    elif content or (content == "" and not message.get("tool_calls")):
        yield from _content_problems(content, index, "assistant", dialect)
    elif message.get("tool_calls") and content in (None, ""):
        form = "empty" if content == "" else "null" if "content" in message else "absent"
        if form not in dialect.beside_calls:
            what = f"beside tool_calls {form} content is not taken"
            yield Problem(f"{at}.content", what, f"content-{form}", facts)
    elif content is not None:
        yield from _content_problems(content, index, "assistant", dialect)
    for name in ("refusal", "reasoning_content"):
        if not isinstance(message.get(name), str | None):
            yield Problem(f"{at}.{name}", "expected a string or null")
    if not isinstance(message.get("prefix", False), bool):
        yield Problem(f"{at}.prefix", "expected a boolean")
    legacy = message.get("function_call")
    if legacy is not None:
        yield from _call_detail_problems(legacy, f"{at}.function_call", "arguments")
    yield from _tool_calls_problems(message, at, dialect)


def _tool_calls_problems(message: dict[str, object], at: str, dialect: Dialect) -> Iterator[Problem]:
    calls = message.get("tool_calls")
    if calls is None and ("tool_calls" not in message or dialect.null_tool_calls):
        return
    if not is_array(calls) or not calls:
        yield Problem(f"{at}.tool_calls", "expected a non-empty array")
        return
    for index, call in enumerate(calls):
        yield from _tool_call_problems(call, f"{at}.tool_calls[{index}]", dialect)
    ids = [call.get("id") for call in calls if is_object(call)]
    if len(set(map(str, ids))) < len(ids):
        yield Problem(f"{at}.tool_calls", "two calls have the same id")


def _tool_call_problems(call: object, at: str, dialect: Dialect) -> Iterator[Problem]:
    if not is_object(call):
        yield Problem(at, "expected an object")
        return
    call_id = call.get("id")
    if not isinstance(call_id, str) or not call_id:
        yield Problem(f"{at}.id", "expected a non-empty string")
    elif dialect.call_id_pattern and not re.fullmatch(dialect.call_id_pattern, call_id):
        yield Problem(f"{at}.id", f"does not match {dialect.call_id_pattern}", "call-id", {"id": call_id})
    kind = call.get("type")
    if kind == "function":
        yield from _call_detail_problems(call.get("function"), f"{at}.function", "arguments")
        if dialect.json_arguments and not _is_json_object(call.get("function")):
            what = "expected a JSON object"
            yield Problem(f"{at}.function.arguments", what, "arguments", {"id": call_id})
    elif kind == "custom":
        yield from _call_detail_problems(call.get("custom"), f"{at}.custom", "input")
    else:
        yield Problem(f"{at}.type", f"expected function or custom, got {kind!r:.60}")
    if not dialect.ignores_unknown:
        for name in call:
            if name not in dialect.call_fields:
                yield Problem(f"{at}.{name}", "unknown parameter", "call-field", {"field": name})


def _is_json_object(function: object) -> bool:
    given = function.get("arguments") if is_object(function) else None
    try:
        return isinstance(given, str) and is_object(json.loads(given))
    except ValueError:
        return False


def _call_detail_problems(detail: object, at: str, payload: str) -> Iterator[Problem]:
    if not is_object(detail):
        yield Problem(at, "expected an object")
        return
    if not isinstance(detail.get("name"), str) or not detail["name"]:
        yield Problem(f"{at}.name", "expected a non-empty string")
    if not isinstance(detail.get(payload), str):
        yield Problem(f"{at}.{payload}", "expected a string")


def _content_problems(
    content: object,
    index: int,
    role: str,
    dialect: Dialect,
    user_parts: frozenset[str] = _TEXT_ONLY,
) -> Iterator[Problem]:
    at = f"messages[{index}].content"
    facts: dict[str, object] = {"index": index, "role": role}
    if isinstance(content, str):
        # What a tool found may be nothing; what somebody says may not.
        if role != "tool" and _is_refused_blank(content, dialect):
            yield Problem(at, "must not be empty", "blank", facts)
        return
    if content is None and role != "assistant":
        yield Problem(at, "expected a string or a non-empty array of content parts", "content-null", facts)
        return
    if not is_array(content) or not content:
        yield Problem(at, "expected a string or a non-empty array of content parts")
        return
    if role in dialect.text_roles:
        yield Problem(at, f"expected a string for the role {role}", "content-list", facts)
        return
    allowed = {"assistant": dialect.assistant_parts, "user": user_parts}.get(role, _TEXT_ONLY)
    for number, part in enumerate(content):
        yield from _part_problems(part, f"{at}[{number}]", allowed, {**facts, "part": number}, dialect)


def _part_problems(
    part: object, at: str, allowed: frozenset[str], facts: dict[str, object], dialect: Dialect
) -> Iterator[Problem]:
    kind = part.get("type") if is_object(part) else None
    if not is_object(part) or not isinstance(kind, str) or kind not in allowed:
        known = ", ".join(sorted(allowed))
        what = f"expected one of {known}, got {kind!r:.60}"
        yield Problem(f"{at}.type", what, "part-type", {**facts, "kind": kind, "kinds": known})
        return
    if not _PART_PAYLOADS[kind](part.get(kind)):
        yield Problem(f"{at}.{kind}", "missing or of the wrong type")
    elif kind == "text" and _is_refused_blank(str(part["text"]), dialect):
        yield Problem(f"{at}.text", "must not be empty", "blank-part", facts)
    if not dialect.ignores_unknown:
        for name in part:
            if name not in {"type", kind, *dialect.part_fields}:
                yield Problem(f"{at}.{name}", "unknown parameter", "part-field", {**facts, "field": name})


def _is_refused_blank(text: str, dialect: Dialect) -> bool:
    if dialect.blank_text == "taken":
        return False
    return not (text.strip() if dialect.blank_text == "blank-refused" else text)


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
    "thinking": is_array,
}
