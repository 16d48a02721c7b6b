"""A `Reply` in the words of the chat API: one JSON object, or the chunks of a stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import pieces
from convmem.testing.provider.usage import count_tokens, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convmem.testing.provider.dialect import Dialect, ReasoningForm
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
        split_reasoning: whether the request asks for reasoning apart from the text (`reasoning_split`).
        dialect: whose rules the reply follows.
    """

    number: int
    model: str
    n: int
    prompt_tokens: int
    cached_tokens: int
    include_usage: bool
    split_reasoning: bool
    dialect: Dialect


def completion(reply: Reply, call: Call) -> dict[str, Any]:
    """Build the JSON object of a reply that is not streamed."""
    choices = [
        {
            "index": index,
            "message": _message(part, tools, call),
            "logprobs": None,
            "finish_reason": part.finish,
        }
        for index, (part, tools) in enumerate(_choices(reply, call))
    ]
    usage = _usage(reply, call)
    return {**_envelope(call, "chat.completion"), "choices": choices, "usage": usage, **_timings(usage, call)}


def chunks(reply: Reply, call: Call) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed reply, those of several choices in turns.

    Usage is there only when it was asked for: null in every chunk, then in a last one without choices.
    """
    envelope = _envelope(call, "chat.completion.chunk")
    blank: dict[str, Any] = {"usage": None} if call.include_usage else {}
    streams = [
        _choice_chunks(index, part, tools, call) for index, (part, tools) in enumerate(_choices(reply, call))
    ]
    for step in zip_longest(*streams):
        for choice in step:
            if choice is not None:
                yield {**envelope, "choices": [choice], **blank}
    if call.include_usage:
        usage = _usage(reply, call)
        yield {**envelope, "choices": [], "usage": usage, **_timings(usage, call)}


def _choices(reply: Reply, call: Call) -> list[tuple[Reply, list[dict[str, Any]]]]:
    """The single replies, each with its tool calls in wire form; ids count through all choices."""
    found: list[tuple[Reply, list[dict[str, Any]]]] = []
    serial = 0
    for part in reply.parts(call.n):
        ids = (
            call.dialect.call_ids.format(request=call.number, call=serial + offset)
            for offset in range(len(part.tool_calls))
        )
        tools = [_tool_call(tool, tool.id or made) for tool, made in zip(part.tool_calls, ids, strict=True)]
        if tools and call.dialect.signed_calls:
            signature = f"signature-{call.number}-{serial}"
            tools[0]["extra_content"] = {"google": {"thought_signature": signature}}
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


def _message(part: Reply, tools: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _content(part, call)}
    if message["content"] is None and "null" not in call.dialect.beside_calls and tools:
        # What a provider says it takes back: what stands for no content is its own.
        message["content"] = ""
        if "empty" not in call.dialect.beside_calls:
            del message["content"]
    if call.dialect.name == "openai":
        message |= {"refusal": part.refusal, "annotations": []}
    elif part.refusal is not None:
        message["refusal"] = part.refusal
    if part.reasoning_content is not None:
        message |= _thought(part.reasoning_content, call)
    if part.audio is not None:
        message["audio"] = dict(part.audio)
    if tools:
        message["tool_calls"] = tools
    return {**message, **part.extra}


def _content(part: Reply, call: Call) -> object:
    """The content, with the reasoning where the dialect has it there."""
    if part.reasoning_content is None or (form := _form(call)) == "field":
        return part.text
    if form == "parts":
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": part.reasoning_content}]}
        return [thinking, *([{"type": "text", "text": part.text}] if part.text else [])]
    return "".join(_think(part))


def _form(call: Call) -> ReasoningForm:
    """Where this reply carries its reasoning; MiniMax's newer models have a field for it."""
    form = call.dialect.reasoning_form
    apart = call.split_reasoning or "m3.1" in call.model.lower()
    return "field" if form == "think" and apart else form


def _think(part: Reply) -> Iterator[str]:
    """The text with the reasoning in front; a model that is cut while it thinks does not close the tag."""
    yield f"<think>\n{part.reasoning_content}"
    if part.text or part.finish_reason != "length":
        yield f"\n</think>\n\n{part.text or ''}"


def _thought(text: str, call: Call) -> dict[str, Any]:
    """The reasoning, or a piece of it, in fields of a message or of a delta; none where it is content."""
    if _form(call) != "field":
        return {}
    details = {"reasoning_details": [{"type": "reasoning.text", "text": text}]} if text else {}
    if call.split_reasoning and call.dialect.reasoning_form == "think":
        return details
    if call.dialect.name == "openrouter":
        return {"reasoning": text, **details}
    return {call.dialect.reasoning_field: text}


def _choice_chunks(
    index: int, part: Reply, tools: list[dict[str, Any]], call: Call
) -> Iterator[dict[str, Any]]:
    role = {"role": "assistant"} if call.dialect.repeated_role else {}
    for delta in _deltas(part, tools, call):
        yield {"index": index, "delta": {**role, **delta}, "logprobs": None, "finish_reason": None}
    yield {"index": index, "delta": role, "logprobs": None, "finish_reason": part.finish}


def _deltas(part: Reply, tools: list[dict[str, Any]], call: Call) -> Iterator[dict[str, Any]]:
    dialect = call.dialect
    quiet = part.text is None
    opening: dict[str, Any] = {"role": "assistant", "content": None if quiet else ""}
    if quiet and tools and "null" not in dialect.beside_calls:
        opening["content"] = ""
    if part.reasoning_content is not None:
        opening |= {"content": None, **_thought("", call)}
    yield {**opening, **part.extra}
    yield from _text_deltas(part, call)
    for piece in pieces(part.refusal or "", part.chunk_size):
        yield {"refusal": piece}
    if part.audio is not None:
        yield from _audio_deltas(part.audio, part.chunk_size)
    for serial, tool in enumerate(tools):
        index = 0 if dialect.one_call_index else serial
        if dialect.whole_calls:
            yield {"tool_calls": [{"index": index, **tool}]}
            continue
        kind = tool["type"]
        key = "input" if kind == "custom" else "arguments"
        yield {"tool_calls": [{"index": index, **tool, kind: {**tool[kind], key: ""}}]}
        for piece in pieces(tool[kind][key], part.chunk_size):
            yield {"tool_calls": [{"index": index, kind: {key: piece}}]}


def _text_deltas(part: Reply, call: Call) -> Iterator[dict[str, Any]]:
    """The pieces of the reasoning and of the text."""
    thought, form = part.reasoning_content or "", _form(call)
    if part.reasoning_content is not None and form == "think":
        for piece in pieces("".join(_think(part)), part.chunk_size):
            yield {"content": piece}
        return
    for piece in pieces(thought, part.chunk_size):
        if form == "parts":
            yield {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}
        else:
            yield {"content": None, **_thought(piece, call)}
    for piece in pieces(part.text or "", part.chunk_size):
        yield {"content": piece}


def _audio_deltas(audio: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """A spoken reply: its id, the words and the sound in pieces, when it expires."""
    yield {"audio": {"id": audio["id"]}}
    for piece in pieces(str(audio["transcript"]), size):
        yield {"audio": {"transcript": piece}}
    for piece in pieces(str(audio["data"]), 4_096):
        yield {"audio": {"data": piece}}
    yield {"audio": {"expires_at": audio["expires_at"]}}


def _timings(usage: dict[str, Any], call: Call) -> dict[str, Any]:
    """What llama.cpp says beside the usage."""
    if call.dialect.usage != "timings":
        return {}
    cached = call.cached_tokens
    return {"timings": {"cache_n": cached, "prompt_n": usage["prompt_tokens"] - cached}}


def _usage(reply: Reply, call: Call) -> dict[str, Any]:
    if reply.usage is not None:
        return dict(reply.usage)
    spoken = reasoning = 0
    for part in reply.parts(call.n):
        reasoning += count_tokens(part.reasoning_content or "")
        spoken += count_tokens(part.content or "") + count_tokens(part.refusal or "")
        spoken += count_tokens(str(part.audio["transcript"])) if part.audio is not None else 0
        spoken += sum(count_tokens(tool.name + tool.payload) for tool in part.tool_calls)
    return usage_of(
        prompt=call.prompt_tokens,
        cached=call.cached_tokens,
        completion=spoken + reasoning,
        reasoning=reasoning,
        dialect=call.dialect,
    )
