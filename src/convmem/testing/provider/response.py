"""A `Reply` in the words of the Responses API: one response object, or the events of a stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import JsonObject, pieces
from convmem.testing.provider.usage import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from convmem.testing.provider.reply import Reply, ToolCall

__all__ = ["ResponseCall", "events", "failed", "response", "running"]

_FIRST_CREATED = 1_700_000_000

# Fields of a response that repeat the request's, and what they are when it does not say.
_REPEATED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCall:
    """What a response needs to know of the request it answers.

    Attributes:
        number: the number of the request; ids and times are made from it.
        body: the request.
        conversation: the id of the conversation it belongs to.
        prompt_tokens: the tokens of everything the model sees.
        cached_tokens: how many of them came from the prompt cache.
    """

    number: int
    body: JsonObject = field(default_factory=dict[str, Any])
    conversation: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0

    @property
    def id(self) -> str:
        """The id of the response."""
        return f"resp_{self.number:06d}"


def response(reply: Reply, call: ResponseCall) -> dict[str, Any]:
    """Build the response object of a reply that came to its end."""
    cut = reply.finish_reason if reply.finish_reason in {"length", "content_filter"} else None
    status = "incomplete" if cut else "completed"
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}
    return {
        **_envelope(call, status),
        "incomplete_details": {"reason": reason[cut]} if cut else None,
        "output": _output(reply, call, status),
        "usage": _usage(reply, call),
    }


def running(call: ResponseCall, status: str) -> dict[str, Any]:
    """Build the response object of a reply that is still to come."""
    return _envelope(call, status)


def failed(call: ResponseCall, code: str, message: str) -> dict[str, Any]:
    """Build the response object of a reply that will not come."""
    return {**_envelope(call, "failed"), "error": {"code": code, "message": message}}


def events(reply: Reply, call: ResponseCall) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed reply, numbered from 0."""
    for number, event in enumerate(_events(reply, call)):
        yield {**event, "sequence_number": number}


def _events(reply: Reply, call: ResponseCall) -> Iterator[dict[str, Any]]:
    whole = response(reply, call)
    queued = call.body.get("background") is True
    yield {"type": "response.created", "response": running(call, "queued" if queued else "in_progress")}
    if queued:
        yield {"type": "response.queued", "response": running(call, "queued")}
    yield {"type": "response.in_progress", "response": running(call, "in_progress")}
    for index, item in enumerate(whole["output"]):
        for event in _item_events(item, reply.chunk_size):
            yield {"output_index": index, **event}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _envelope(call: ResponseCall, status: str) -> dict[str, Any]:
    repeated = {
        name: default if (given := call.body.get(name)) is None else given
        for name, default in _REPEATED.items()
    }
    return {
        "id": call.id,
        "object": "response",
        "created_at": _FIRST_CREATED + call.number,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": str(call.body.get("model", "")),
        "output": [],
        "conversation": None if call.conversation is None else {"id": call.conversation},
        "usage": None,
        **repeated,
    }


def _output(reply: Reply, call: ResponseCall, status: str) -> list[dict[str, Any]]:
    """The items of a reply; a Responses call has one choice, the first."""
    part = reply.parts(1)[0]
    items: list[dict[str, Any]] = []
    if part.reasoning_content is not None:
        summary = [{"type": "summary_text", "text": part.reasoning_content}]
        items.append({"id": f"rs_{call.number:06d}", "type": "reasoning", "summary": summary})
    content: list[dict[str, Any]] = []
    # A reply that was cut while the model thought has no message, only reasoning.
    cut = not part.text and part.finish_reason == "length" and part.reasoning_content is not None
    if part.text is not None and not cut:
        content.append({"type": "output_text", "text": part.text, "annotations": [], "logprobs": []})
    if part.refusal is not None:
        content.append({"type": "refusal", "refusal": part.refusal})
    if content:
        items.append({
            "id": f"msg_{call.number:06d}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
            **part.extra,
        })  # fmt: skip
    items.extend(_call_item(tool, call, serial) for serial, tool in enumerate(part.tool_calls))
    return items


def _call_item(tool: ToolCall, call: ResponseCall, serial: int) -> dict[str, Any]:
    custom = tool.kind == "custom"
    return {
        "id": f"{'ctc' if custom else 'fc'}_{call.number:06d}_{serial}",
        "type": "custom_tool_call" if custom else "function_call",
        "status": "completed",
        "call_id": tool.id or f"call_{call.number:06d}_{serial}",
        "name": tool.name,
        "input" if custom else "arguments": tool.payload,
    }


# Kinds of pieces: the part or field as it begins, and the events that fill it.


def _item_events(item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    kind, item_id = item["type"], item["id"]
    opening = dict(item)
    if kind == "reasoning":
        inner = _summary_events(item, size)
        opening |= {"summary": []}
    elif kind == "message":
        inner = _content_events(item, size)
        opening |= {"status": "in_progress", "content": []}
    else:
        key = "input" if kind == "custom_tool_call" else "arguments"
        name = f"response.{kind}_input" if key == "input" else f"response.{kind}_arguments"
        inner = _filled(name, {}, item[key], key, size)
        opening |= {"status": "in_progress", key: ""}
    yield {"type": "response.output_item.added", "item": opening}
    for event in inner:
        yield {"item_id": item_id, **event}
    yield {"type": "response.output_item.done", "item": item}


def _content_events(item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["content"]):
        key = "text" if part["type"] == "output_text" else "refusal"
        more: dict[str, Any] = {"logprobs": []} if key == "text" else {}
        name = "response.output_text" if key == "text" else "response.refusal"
        place = {"content_index": index}
        yield {"type": "response.content_part.added", **place, "part": {**part, key: ""}}
        yield from _filled(name, {**place, **more}, part[key], key, size)
        yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(item: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for index, part in enumerate(item["summary"]):
        place = {"summary_index": index}
        yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
        yield from _filled("response.reasoning_summary_text", place, part["text"], "text", size)
        yield {"type": "response.reasoning_summary_part.done", **place, "part": part}


def _filled(name: str, place: JsonObject, text: str, key: str, size: int) -> Iterator[dict[str, Any]]:
    for piece in pieces(text, size):
        yield {"type": f"{name}.delta", **place, "delta": piece}
    yield {"type": f"{name}.done", **place, key: text}


def _usage(reply: Reply, call: ResponseCall) -> dict[str, Any]:
    if reply.usage is not None:
        return dict(reply.usage)
    part = reply.parts(1)[0]
    reasoning = count_tokens(part.reasoning_content or "")
    said: Iterable[str] = (
        part.content or "",
        part.refusal or "",
        *(tool.name + tool.payload for tool in part.tool_calls),
    )
    spoken = sum(map(count_tokens, said))
    return {
        "input_tokens": call.prompt_tokens,
        "input_tokens_details": {"cached_tokens": call.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": spoken + reasoning,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": call.prompt_tokens + spoken + reasoning,
    }
