"""What is wrong with where the messages of a chat request stand. Pure; see `legality.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from convmem.testing.provider.problem import Problem
from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convmem.testing.provider.dialect import Dialect, ReasoningRule

__all__ = ["TEMPLATE", "order_problems", "thinking_is_off"]

TEMPLATE = "the conversation cannot be rendered:"
"""How refusals begin that are made where a chat becomes a prompt."""

# What Gemini signs here, and what its documentation gives for calls that another model made.
_SIGNATURE = re.compile(r"signature-\d+-\d+|skip_thought_signature_validator")


def order_problems(
    body: Mapping[str, object], messages: Sequence[object], dialect: Dialect, rule: ReasoningRule
) -> Iterator[Problem]:
    """Find what is wrong with messages beside each other.

    Args:
        body: the request.
        messages: its messages.
        dialect: whose rules to apply.
        rule: what the provider does with reasoning sent back to it.
    """
    placed = [(index, message) for index, message in enumerate(messages) if is_object(message)]
    yield from _tool_problems(placed)
    yield from _position_problems(placed, dialect)
    yield from _end_problems(placed, dialect)
    if dialect.calls_need_tools and not body.get("tools"):
        called = next((index for index, message in placed if message.get("tool_calls")), None)
        if called is not None:
            what = "a request with tool_calls in its messages must offer tools"
            yield Problem(f"messages[{called}].tool_calls", what, "tools-missing")
    newest = max((index for index, message in placed if message.get("role") == "user"), default=-1)
    if not thinking_is_off(body, dialect):
        if rule in {"require", "require-in-loop"} and body.get("tools"):
            yield from _missing_reasoning(placed, newest if rule == "require-in-loop" else -1)
        elif rule == "require-on-calls":
            yield from _missing_reasoning_on_calls(placed, dialect)
    if dialect.signed_calls:
        yield from _unsigned_calls(placed, newest)


def thinking_is_off(body: Mapping[str, object], dialect: Dialect) -> bool:
    """Whether a request switches thinking off, and the model lets it."""
    model = str(body.get("model", "")).lower().rpartition("/")[2]
    if any(fnmatchcase(model, pattern) for pattern in dialect.always_thinks):
        return False
    thinking = body.get("thinking")
    return is_object(thinking) and thinking.get("type") == "disabled"


@dataclass(slots=True)
class _CallGroup:
    """The calls of one assistant message and which of them have been answered."""

    at: str
    ids: list[str]
    answered: set[str] = field(default_factory=set[str])

    def unanswered(self) -> Iterator[Problem]:
        missing = [call_id for call_id in self.ids if call_id not in self.answered]
        if missing:
            what = (
                "an assistant message with tool_calls must be followed by tool messages "
                f"responding to each tool_call_id; without response: {', '.join(missing)}"
            )
            yield Problem(self.at, what, "call-unanswered", {"id": missing[0], "ids": missing})


def _tool_problems(placed: Sequence[tuple[int, dict[str, object]]]) -> Iterator[Problem]:
    """Calls and results belong together: every call answered once, at once, and nothing else answered."""
    group: _CallGroup | None = None
    for index, message in placed:
        at = f"messages[{index}]"
        if message.get("role") != "tool":
            if group:
                yield from group.unanswered()
            ids = _call_ids(message) if message.get("role") == "assistant" else []
            group = _CallGroup(at, ids) if ids else None
            continue
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str):
            continue
        facts = {"index": index, "id": call_id}
        if group is None:
            what = "a tool message must follow an assistant message with tool_calls"
            yield Problem(at, what, "result-displaced", facts)
        elif call_id not in group.ids:
            what = f"{call_id} is not one of the tool_calls of {group.at}"
            yield Problem(f"{at}.tool_call_id", what, "result-unknown", facts)
        elif call_id in group.answered:
            yield Problem(f"{at}.tool_call_id", f"{call_id} is answered twice")
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


def _position_problems(
    placed: Sequence[tuple[int, dict[str, object]]], dialect: Dialect
) -> Iterator[Problem]:
    """Messages that may only stand at the start, at the end, or behind certain others."""
    leading = True
    before = ""
    for index, message in placed:
        at, given = f"messages[{index}]", message.get("role")
        role = given if isinstance(given, str) else ""
        facts: dict[str, object] = {"index": index, "role": role, "before": before, "place": index - 1}
        if role in {"developer", "system"}:
            if dialect.leading_system and not leading:
                what = f"{TEMPLATE} a system message may only stand at the start"
                yield Problem(at, what, "system-late", facts)
        elif leading:
            leading = False
            if dialect.user_first and role != "user":
                what = f"{TEMPLATE} the first message must be a user's"
                yield Problem(at, what, "user-first", facts)
        if dialect.alternating and index and role in {"assistant", "user"} and before == role:
            what = f"{TEMPLATE} successive user or assistant messages are not supported"
            yield Problem(at, what, "alternating", facts)
        if dialect.assistant_after_tool and before == "tool" and role not in {"assistant", "tool"}:
            yield Problem(at, f"unexpected role {role} after the role tool", "after-tool", facts)
        prefixed = message.get("prefix") is True and "prefix" in dialect.message_fields["assistant"]
        if prefixed and index != placed[-1][0]:
            yield Problem(f"{at}.prefix", "only allowed on the last message")
        before = role


def _end_problems(placed: Sequence[tuple[int, dict[str, object]]], dialect: Dialect) -> Iterator[Problem]:
    if not placed or dialect.last == "any":
        return
    index, message = placed[-1]
    if message.get("role") == "system" and len(placed) == 1:
        return
    prefixed = dialect.last == "prefix" and message.get("prefix") is True
    if message.get("role") == "assistant" and not prefixed and not message.get("tool_calls"):
        what = "the last message must be a user's or the result of a tool"
        yield Problem(f"messages[{index}]", what, "last", {"index": index, "role": "assistant"})


def _missing_reasoning(placed: Sequence[tuple[int, dict[str, object]]], newest: int) -> Iterator[Problem]:
    for index, message in placed:
        if index < newest or message.get("role") != "assistant" or message.get("prefix") is True:
            continue
        if not isinstance(message.get("reasoning_content"), str):
            what = (
                "must be passed back to the API when the request has tools; "
                "an empty string when there was none"
            )
            yield Problem(f"messages[{index}].reasoning_content", what, "reasoning-missing", {"index": index})


def _missing_reasoning_on_calls(
    placed: Sequence[tuple[int, dict[str, object]]], dialect: Dialect
) -> Iterator[Problem]:
    for index, message in placed:
        if message.get("role") == "assistant" and message.get("tool_calls"):
            thought = message.get(dialect.reasoning_field)
            if not isinstance(thought, str) or not thought:
                at = f"messages[{index}].{dialect.reasoning_field}"
                what = "must be there, and not empty, beside tool_calls while the model thinks"
                yield Problem(at, what, "reasoning-missing", {"index": index})


def _unsigned_calls(placed: Sequence[tuple[int, dict[str, object]]], newest: int) -> Iterator[Problem]:
    """Since the newest user message, the first call of each assistant message has its signature."""
    for index, message in placed:
        calls = message.get("tool_calls")
        if index < newest or not is_array(calls) or not calls:
            continue
        extra = calls[0].get("extra_content") if is_object(calls[0]) else None
        google = extra.get("google") if is_object(extra) else None
        signature = google.get("thought_signature") if is_object(google) else None
        at = f"messages[{index}].tool_calls[0]"
        if not isinstance(signature, str) or not signature:
            facts = {"name": _function_of(calls[0]), "position": index + 1}
            yield Problem(at, "function call is missing a thought_signature", "unsigned", facts)
        elif not _SIGNATURE.fullmatch(signature):
            yield Problem(at, "the thought_signature is not one of ours", "forged")


def _function_of(call: object) -> object:
    function = call.get("function") if is_object(call) else None
    return function.get("name") if is_object(function) else None
