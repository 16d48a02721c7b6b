"""A `Reply` in the words of the chat API: one JSON object, or the chunks of a stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import pieces
from convmem.testing.provider.usage import count_tokens, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.testing.provider.dialect import Dialect
    from convmem.testing.provider.reply import Reply, ToolCall

__all__ = ["Call", "chunks", "completion"]

_FIRST_CREATED = 1_700_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a reply needs to know of the request it answers.

    Attributes:
        number: the number of the request; ids and the creation time are made from it.
        model: the model that was asked for.
        n: how many choices were asked for.
        prompt_tokens: the tokens of the prompt.
        cached_tokens: how many of them came from the prompt cache.
        include_usage: whether a stream ends with the usage.
    """

    number: int
    model: str
    n: int
    prompt_tokens: int
    cached_tokens: int
    include_usage: bool
    dialect: Dialect


def completion(reply: Reply, call: Call) -> dict[str, Any]:
    """Build the JSON object of a reply that is not streamed."""
    choices = [
        {
            "index": index,
            "message": _message(part, tools, call.dialect),
            "logprobs": None,
            "finish_reason": part.finish,
        }
        for index, (part, tools) in enumerate(_choices(reply, call))
    ]
    return {**_envelope(call, "chat.completion"), "choices": choices, "usage": _usage(reply, call)}


def chunks(reply: Reply, call: Call) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed reply, those of several choices in turns.

    Usage is there only when it was asked for: null in every chunk, then in a last one without choices.
    """
    envelope = _envelope(call, "chat.completion.chunk")
    blank: dict[str, Any] = {"usage": None} if call.include_usage else {}
    streams = [
        _choice_chunks(index, part, tools) for index, (part, tools) in enumerate(_choices(reply, call))
    ]
    for step in zip_longest(*streams):
        for choice in step:
            if choice is not None:
                yield {**envelope, "choices": [choice], **blank}
    if call.include_usage:
        yield {**envelope, "choices": [], "usage": _usage(reply, call)}


def _choices(reply: Reply, call: Call) -> list[tuple[Reply, list[dict[str, Any]]]]:
    """The single replies, each with its tool calls in wire form; ids count through all choices."""
    found: list[tuple[Reply, list[dict[str, Any]]]] = []
    serial = 0
    for part in reply.parts(call.n):
        tools = [
            _tool_call(tool, tool.id or f"call_{call.number:06d}_{serial + offset}")
            for offset, tool in enumerate(part.tool_calls)
        ]
        serial += len(tools)
        found.append((part, tools))
    return found


def _tool_call(tool: ToolCall, call_id: str) -> dict[str, Any]:
    key = "input" if tool.kind == "custom" else "arguments"
    return {"id": call_id, "type": tool.kind, tool.kind: {"name": tool.name, key: tool.payload}}


def _envelope(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.number:06d}",
        "object": kind,
        "created": _FIRST_CREATED + call.number,
        "model": call.model,
        "system_fingerprint": "fp_local",
    }


def _message(part: Reply, tools: list[dict[str, Any]], dialect: Dialect) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": part.text}
    if dialect.name == "openai":
        message |= {"refusal": part.refusal, "annotations": []}
    elif part.refusal is not None:
        message["refusal"] = part.refusal
    if part.reasoning_content is not None:
        message["reasoning_content"] = part.reasoning_content
    if tools:
        message["tool_calls"] = tools
    return {**message, **part.extra}


def _choice_chunks(index: int, part: Reply, tools: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for delta in _deltas(part, tools):
        yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": part.finish}


def _deltas(part: Reply, tools: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    opening: dict[str, Any] = {"role": "assistant", "content": None if part.text is None else ""}
    if part.reasoning_content is not None:
        opening |= {"content": None, "reasoning_content": ""}
    yield {**opening, **part.extra}
    for piece in pieces(part.reasoning_content or "", part.chunk_size):
        yield {"content": None, "reasoning_content": piece}
    for piece in pieces(part.text or "", part.chunk_size):
        yield {"content": piece}
    for piece in pieces(part.refusal or "", part.chunk_size):
        yield {"refusal": piece}
    for index, tool in enumerate(tools):
        kind = tool["type"]
        key = "input" if kind == "custom" else "arguments"
        yield {"tool_calls": [{"index": index, **tool, kind: {**tool[kind], key: ""}}]}
        for piece in pieces(tool[kind][key], part.chunk_size):
            yield {"tool_calls": [{"index": index, kind: {key: piece}}]}


def _usage(reply: Reply, call: Call) -> dict[str, Any]:
    if reply.usage is not None:
        return dict(reply.usage)
    spoken = reasoning = 0
    for part in reply.parts(call.n):
        reasoning += count_tokens(part.reasoning_content or "")
        spoken += count_tokens(part.content or "") + count_tokens(part.refusal or "")
        spoken += sum(count_tokens(tool.name + tool.payload) for tool in part.tool_calls)
    return usage_of(
        prompt=call.prompt_tokens,
        cached=call.cached_tokens,
        completion=spoken + reasoning,
        reasoning=reasoning,
        dialect=call.dialect,
    )
