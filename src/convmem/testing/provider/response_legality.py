"""What makes a Responses request illegal. Pure: bodies in, problems out; see `legality.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from convmem.testing.provider.problem import Problem
from convmem.testing.provider.shapes import is_array, is_integer, is_number, is_object, lone_surrogate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["context_problems", "response_problems"]

# The parameters of `POST /responses`, from the OpenAI API reference.
_REQUEST_FIELDS = frozenset({
    "access_programs", "background", "background_options", "context_management", "conversation", "image",
    "include", "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model",
    "moderation", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier",
    "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs",
    "top_p", "truncation", "user", "verbosity",
})  # fmt: skip

_INPUT_PARTS = frozenset({"input_audio", "input_file", "input_image", "input_text"})
_PARTS = {
    "assistant": frozenset({"output_text", "refusal"}),
    "developer": _INPUT_PARTS,
    "system": _INPUT_PARTS,
    "user": _INPUT_PARTS,
}
_MESSAGE_FIELDS = frozenset({"content", "id", "phase", "role", "status", "type"})

# Kinds of items besides messages, and what each must carry as text.
_ITEMS: Mapping[str, tuple[str, ...]] = {
    "code_interpreter_call": ("id",),
    "compaction": ("encrypted_content",),
    "computer_call": ("call_id",),
    "computer_call_output": ("call_id",),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id",),
    "file_search_call": ("id",),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id",),
    "image_generation_call": ("id",),
    "item_reference": ("id",),
    "mcp_call": ("id",),
    "reasoning": ("id",),
    "web_search_call": ("id",),
}
# The fields of the items that go back and forth, and how their ids begin.
_ITEM_FIELDS: Mapping[str, frozenset[str]] = {
    "custom_tool_call": frozenset({"call_id", "id", "input", "name", "namespace", "status", "type"}),
    "custom_tool_call_output": frozenset({"call_id", "id", "output", "status", "type"}),
    "function_call": frozenset({"arguments", "call_id", "id", "name", "namespace", "status", "type"}),
    "function_call_output": frozenset({"call_id", "id", "output", "status", "type"}),
    "reasoning": frozenset({"content", "encrypted_content", "id", "status", "summary", "type"}),
}
_ID_STARTS = {"custom_tool_call": "ctc", "function_call": "fc", "message": "msg", "reasoning": "rs"}
_PART_FIELDS: Mapping[str, frozenset[str]] = {
    "input_text": frozenset({"prompt_cache_breakpoint", "text", "type"}),
    "output_text": frozenset({"annotations", "logprobs", "text", "type"}),
    "refusal": frozenset({"refusal", "type"}),
}
_CALLS = frozenset({"computer_call", "custom_tool_call", "function_call"})


class Keeper(Protocol):
    """What a provider has kept of earlier responses."""

    def knows(self, item_id: str) -> bool:
        """Whether an item with this id is kept."""
        ...

    def reasoning_of(self, item_id: str) -> str | None:
        """The id of the reasoning item that an item with this id was said after."""
        ...


def _number(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: is_number(value) and low <= value <= high


def _text(value: object) -> bool:
    return isinstance(value, str)


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _conversation(value: object) -> bool:
    return isinstance(value, str) or (is_object(value) and isinstance(value.get("id"), str))


_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "background": (_boolean, "a boolean"),
    "conversation": (_conversation, "a string or an object with an id"),
    "include": (is_array, "an array"),
    "instructions": (_text, "a string"),
    "max_output_tokens": (lambda value: is_integer(value) and value >= 16, "an integer of at least 16"),  # noqa: PLR2004 (the API's own limit)
    "metadata": (is_object, "an object"),
    "parallel_tool_calls": (_boolean, "a boolean"),
    "previous_response_id": (_text, "a string"),
    "prompt": (is_object, "an object"),
    "prompt_cache_key": (_text, "a string"),
    "reasoning": (is_object, "an object"),
    "safety_identifier": (_text, "a string"),
    "store": (_boolean, "a boolean"),
    "stream": (_boolean, "a boolean"),
    "stream_options": (is_object, "an object"),
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "text": (is_object, "an object"),
    "tools": (is_array, "an array"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "truncation": (lambda value: value in ("auto", "disabled"), "auto or disabled"),
    "user": (_text, "a string"),
}


def response_problems(body: Mapping[str, object]) -> list[Problem]:
    """Find everything that is wrong with the body of a Responses request by itself."""
    if lone_surrogate(body):
        return [Problem("body", "holds a lone surrogate, which no UTF-8 text can", "surrogate")]
    return list(_problems(body))


def _problems(body: Mapping[str, object]) -> Iterator[Problem]:
    for name in body:
        if name not in _REQUEST_FIELDS:
            yield Problem(name, "unknown parameter", "parameter", {"field": name})
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield Problem("model", "missing required parameter, a non-empty string")
    for name, (accepts, expected) in _CHECKS.items():
        if body.get(name) is not None and not accepts(body[name]):
            yield Problem(name, f"expected {expected}, got {body[name]!r:.60}")
    if body.get("previous_response_id") is not None and body.get("conversation") is not None:
        yield Problem("previous_response_id", "mutually exclusive with conversation")
    if body.get("background") is True and body.get("store") is False:
        yield Problem("background", "requires store to be true")
    yield from _tool_problems(body.get("tools"))
    yield from _input_problems(body)


def _tool_problems(tools: object) -> Iterator[Problem]:
    for index, tool in enumerate(tools if is_array(tools) else ()):
        if not is_object(tool) or not isinstance(tool.get("type"), str):
            yield Problem(f"tools[{index}].type", "missing required parameter")
        elif tool["type"] in {"custom", "function"} and not isinstance(tool.get("name"), str):
            yield Problem(f"tools[{index}].name", "missing required parameter")


def _input_problems(body: Mapping[str, object]) -> Iterator[Problem]:
    given = body.get("input")
    if given is None:
        if body.get("prompt") is None and body.get("conversation") is None:
            yield Problem("input", "one of input, prompt and conversation must be provided")
        return
    if isinstance(given, str):
        wanted = given
    elif is_array(given):
        wanted = repr(given)
        for index, item in enumerate(given):
            yield from _item_problems(item, f"input[{index}]")
    else:
        yield Problem("input", "expected a string or an array of items")
        return
    text = body.get("text")
    kind = text.get("format") if is_object(text) else None
    if is_object(kind) and kind.get("type") == "json_object":
        wanted += str(body.get("instructions") or "")
        if "json" not in wanted.casefold():
            yield Problem("input", "must contain the word 'json' to use text.format of type json_object")


def _item_problems(item: object, at: str) -> Iterator[Problem]:
    if not is_object(item):
        yield Problem(at, "expected an object")
        return
    kind = item.get("type", "message")
    if isinstance(kind, str):
        yield from _id_problems(item, at, kind)
    if kind == "message":
        yield from _message_problems(item, at)
    elif not isinstance(kind, str) or kind not in _ITEMS:
        yield Problem(f"{at}.type", f"unknown kind of item {kind!r:.60}")
    else:
        yield from _other_problems(item, at, kind)


def _other_problems(item: dict[str, object], at: str, kind: str) -> Iterator[Problem]:
    """What is wrong with an item that is not a message."""
    for name in item:
        if name not in _ITEM_FIELDS.get(kind, item):
            yield Problem(f"{at}.{name}", "unknown parameter", "parameter", {"field": name})
    if kind == "reasoning" and not is_array(item.get("summary")):
        yield Problem(f"{at}.summary", "missing required parameter")
    for name in _ITEMS[kind]:
        if not isinstance(item.get(name), str):
            yield Problem(f"{at}.{name}", "expected a string")
    if kind.endswith("_call_output"):
        yield from _output_problems(item.get("output"), f"{at}.output")


def _id_problems(item: dict[str, object], at: str, kind: str) -> Iterator[Problem]:
    """Ids of items tell their kind; an item may do without one."""
    item_id, start = item.get("id"), _ID_STARTS.get(kind)
    if isinstance(item_id, str) and start is not None and not item_id.startswith(start):
        facts = {"id": item_id, "prefix": start}
        yield Problem(f"{at}.id", f"expected an id that begins with {start}", "item-id", facts)


def _output_problems(output: object, at: str) -> Iterator[Problem]:
    if isinstance(output, str) or is_object(output):
        return
    if is_array(output):
        yield from _part_problems(output, at, _INPUT_PARTS)
    else:
        yield Problem(at, "expected a string or an array of parts")


def _message_problems(item: dict[str, object], at: str) -> Iterator[Problem]:
    role = item.get("role")
    if not isinstance(role, str) or role not in _PARTS:
        known = ", ".join(sorted(_PARTS))
        yield Problem(f"{at}.role", f"expected one of {known}, got {role!r:.60}")
        return
    for name in item:
        if name not in _MESSAGE_FIELDS:
            yield Problem(f"{at}.{name}", "unknown parameter", "parameter", {"field": name})
    content = item.get("content")
    if isinstance(content, str):
        return
    if not is_array(content):
        yield Problem(f"{at}.content", "expected a string or an array of parts")
        return
    yield from _part_problems(content, f"{at}.content", _PARTS[role])


def _part_problems(parts: Sequence[object], at: str, allowed: frozenset[str]) -> Iterator[Problem]:
    for index, part in enumerate(parts):
        kind = part.get("type") if is_object(part) else None
        if not is_object(part) or not isinstance(kind, str) or kind not in allowed:
            what = f"expected one of {', '.join(sorted(allowed))}, got {kind!r:.60}"
            yield Problem(f"{at}[{index}].type", what)
            continue
        for name in part:
            if name not in _PART_FIELDS.get(kind, part):
                where = f"{at}[{index}].{name}"
                yield Problem(where, "unknown parameter", "parameter", {"field": name})
        if kind in {"input_text", "output_text"} and not isinstance(part.get("text"), str):
            yield Problem(f"{at}[{index}].text", "expected a string")
        elif kind == "input_image" and not any(
            isinstance(part.get(k), str) for k in ("image_url", "file_id")
        ):
            yield Problem(f"{at}[{index}]", "expected image_url or file_id")


def context_problems(items: Sequence[Mapping[str, object]], own: int, kept: Keeper) -> list[Problem]:
    """Find what is wrong with items beside each other in everything the model would see.

    Args:
        items: the items, those the provider kept first.
        own: from which of them on they are the request's.
        kept: what the provider has kept of earlier responses.
    """
    found = list(_call_problems(items, own))
    found.extend(_reasoning_problems(items[own:], kept))
    return found


def _call_problems(items: Sequence[Mapping[str, object]], own: int) -> Iterator[Problem]:
    waiting: dict[str, None] = {}
    for index, item in enumerate(items):
        kind, call_id = str(item.get("type", "message")), item.get("call_id")
        if kind in _CALLS and isinstance(call_id, str):
            waiting[call_id] = None
        elif kind.endswith("_call_output") and isinstance(call_id, str):
            if call_id not in waiting:
                what = f"no tool call found for the output with call_id {call_id}"
                yield Problem(f"input[{index - own}]", what, "call-missing", {"id": call_id})
            waiting.pop(call_id, None)
    for call_id in waiting:
        yield Problem(
            "input", f"no tool output found for the call {call_id}", "output-missing", {"id": call_id}
        )


def _reasoning_problems(items: Sequence[Mapping[str, object]], kept: Keeper) -> Iterator[Problem]:
    """Reasoning and what was said after it go together, and what is not kept comes encrypted."""
    thoughts: set[str] = set()
    for index, item in enumerate(items):
        kind, item_id = str(item.get("type", "message")), item.get("id")
        at = f"input[{index}]"
        if kind == "reasoning":
            facts = {"id": item_id}
            if not any(map(_is_said, items[index + 1 : index + 2])):
                what = "reasoning without what was said after it"
                yield Problem(at, what, "reasoning-alone", facts)
            if isinstance(item_id, str):
                thoughts.add(item_id)
                if not item.get("encrypted_content") and not kept.knows(item_id):
                    yield Problem(at, f"no item {item_id} is kept", "item-unknown", facts)
        elif isinstance(item_id, str):
            thought = kept.reasoning_of(item_id)
            if thought is not None and thought not in thoughts:
                facts = {"id": item_id, "kind": kind, "reasoning": thought}
                yield Problem(at, f"lacks the reasoning {thought} before it", "reasoning-lost", facts)


def _is_said(item: Mapping[str, object]) -> bool:
    """Whether an item is the model's, and not somebody else's turn."""
    kind = str(item.get("type", "message"))
    return item.get("role") == "assistant" if kind == "message" else kind.endswith(("_call", "reasoning"))
