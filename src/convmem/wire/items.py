"""Translates single items of the Responses API into chat messages, and chat messages into items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from convmem.wire.message import ITEMS
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.wire.values import Message

__all__ = ["assistant_of", "begins_anew", "input_items", "is_said", "kind_of", "message_of", "result_of"]

_Item = dict[str, Any]

_RESULT_OF = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""The type of the item that answers a call, by the type of the call."""
_AUTO: Final = "auto"
"""The `detail` of a picture where none is given: Responses names it, chat leaves it out."""


def kind_of(item: Mapping[str, Any]) -> str:
    """Return the type of an item; an item without a type is a message."""
    return str(item.get("type") or "message")


def is_said(item: Mapping[str, Any]) -> bool:
    """Whether the model said an item: its messages, calls and thoughts, but not the answers to its calls."""
    kind = kind_of(item)
    if kind == "message":
        return item.get("role") == "assistant"
    return not (kind.endswith("_output") or kind == "mcp_approval_response")


def begins_anew(item: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an item of the model's begins another turn.

    A message whose content is a plain string, as apps write it that know chat, does so after another message.
    """
    plain_text = kind_of(item) == "message" and isinstance(item.get("content"), str)
    return plain_text and any(kind_of(each) == "message" for each in before)


def message_of(item: _Item) -> Message:
    """Translate a message item that the model did not say into a turn."""
    said: Message = {key: value for key, value in item.items() if key not in {"type", "content"}}
    said["content"] = _chat_content(item.get("content"))
    given = {key: value for key, value in item.items() if (key, value) != ("type", "message")}
    return said if _sayable(given, said) else {**said, ITEMS: [item]}


def _sayable(given: _Item, said: Message) -> bool:
    """Whether a chat message says all that the item does, so that the item need not be kept with it."""
    content: object = given.get("content")
    if isinstance(content, str):
        return given == said
    if not isinstance(content, list):
        return False
    return {**given, "content": _input_content(said["content"])} == given


def result_of(item: _Item) -> Message:
    """Translate the item that answers a call into a turn."""
    output: object = item.get("output")
    call_id: object = item.get("call_id")
    parts: object = [output] if is_object(output) else output
    content = _chat_content(parts) or ""
    said: Message = {"role": "tool", "tool_call_id": call_id, "content": content}
    told: _Item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return said if item == told and isinstance(output, str) else {**said, ITEMS: [item]}


def assistant_of(items: Sequence[_Item], *, verbatim: bool = False) -> Message:
    """Translate the items that the model said in one go into one turn.

    Args:
        items: the items, in order.
        verbatim: keep the items with the turn even if its text says all that they do.
    """
    texts, refusals, calls, thoughts = _spoken(items)
    said: Message = {"role": "assistant", "content": "\n\n".join(texts) if texts else None}
    if refusals:
        said["refusal"] = "\n\n".join(refusals)
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if calls:
        said["tool_calls"] = calls
    only = {key: value for key, value in items[0].items() if key != "type"}
    return said if len(items) == 1 and only == said and not verbatim else {**said, ITEMS: list(items)}


def _spoken(items: Sequence[_Item]) -> tuple[list[str], list[str], list[Message], list[str]]:
    texts: list[str] = []
    refusals: list[str] = []
    calls: list[Message] = []
    thoughts: list[str] = []
    for item in items:
        kind = kind_of(item)
        if kind == "message":
            if text := _joined(item.get("content"), "text"):
                texts.append(text)
            if refusal := _joined(item.get("content"), "refusal"):
                refusals.append(refusal)
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
        elif kind == "custom_tool_call":
            custom = {"name": item.get("name"), "input": item.get("input")}
            calls.append({"id": item.get("call_id"), "type": "custom", "custom": custom})
        elif kind == "reasoning":
            thoughts.append(_joined(item.get("content"), "text"))
    return texts, refusals, calls, [thought for thought in thoughts if thought]


def _joined(content: object, key: str) -> str:
    if isinstance(content, str):
        return content if key == "text" else ""
    parts = content if is_array(content) else []
    texts = [part.get(key) for part in parts if is_object(part)]
    return "".join(text for text in texts if isinstance(text, str))


# Content parts.


def _chat_content(content: object) -> object:
    return [_chat_part(part) for part in content] if is_array(content) else content


def _chat_part(given: object) -> object:
    """Translate a content part into chat's words; a part that chat has no word for stays as it is."""
    if not is_object(given):
        return given
    kind = given.get("type")
    if kind in {"input_text", "output_text"} and isinstance(given.get("text"), str):
        return {"type": "text", "text": given["text"]}
    if kind == "input_image" and isinstance(given.get("image_url"), str):
        detail = given.get("detail")
        image = {"url": given["image_url"]} | ({"detail": detail} if detail not in {None, _AUTO} else {})
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and not given.get("file_url"):
        names = ("file_id", "file_data", "filename")
        return {"type": "file", "file": {name: given[name] for name in names if given.get(name) is not None}}
    return given


def _input_content(content: object) -> object:
    return [_input_part(part) for part in content] if is_array(content) else content


def _input_part(given: object) -> object:
    if not is_object(given):
        return given
    kind = given.get("type")
    if kind == "text":
        return {"type": "input_text", "text": given.get("text")}
    if kind == "image_url" and is_object(image := given.get("image_url")):
        return {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail", _AUTO)}
    if kind == "file" and is_object(file := given.get("file")):
        return {"type": "input_file", **file}
    return given


# Putting turns back.


def input_items(messages: Sequence[Message]) -> list[_Item]:
    """Translate turns into input items without ids, which a provider that stores nothing takes too."""
    items: list[_Item] = []
    kinds: dict[object, str] = {}
    for message in messages:
        role = message.get("role")
        if role == "tool":
            call_id = message.get("tool_call_id")
            kind = kinds.get(call_id, "function_call_output")
            output = _input_content(message.get("content"))
            items.append({"type": kind, "call_id": call_id, "output": output})
            continue
        if role != "assistant":
            items.append({"role": role, "content": _input_content(message.get("content"))})
            continue
        if text := _said_text(message):
            items.append({"role": "assistant", "content": text})
        for call in message.get("tool_calls") or ():
            item = _call_item(call)
            kinds[item["call_id"]] = _RESULT_OF[item["type"]]
            items.append(item)
    return items


def _said_text(message: Message) -> str:
    text = _joined(message.get("content"), "text")
    refusal: object = message.get("refusal")
    return text or (refusal if isinstance(refusal, str) else "")


def _call_item(call: Mapping[str, Any]) -> _Item:
    custom = call.get("type") == "custom"
    made = cast("Mapping[str, Any]", call.get("custom" if custom else "function") or {})
    payload = "input" if custom else "arguments"
    return {
        "type": "custom_tool_call" if custom else "function_call",
        "call_id": call.get("id"),
        "name": made.get("name"),
        payload: made.get(payload) or "",
    }
