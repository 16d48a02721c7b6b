"""Every way the client has of asking for a reply, sync and async alike.

A door is asked with a conversation in the words of chat and answers with the reply in the words of chat, so
that one app can walk through all of them.
"""

from __future__ import annotations

import inspect
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Message = dict[str, Any]

SYSTEM = {"role": "system", "content": "Answer briefly. 简短回答。"}
FUNCTION = {"name": "look_up", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOLS = [{"type": "function", "function": FUNCTION}]
TOOLS = [{"type": "function", "strict": False, **FUNCTION}]
STRICT = {
    "name": "look_up",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"q": {"type": "string"}},
        "required": ["q"],
        "additionalProperties": False,
    },
}


async def got(value):
    """The value, awaited when it has to be."""
    return await value if inspect.isawaitable(value) else value


async def each(stream) -> AsyncIterator[Any]:
    """The items of a stream of either kind."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def whole(stream) -> list[Any]:
    return [item async for item in each(stream)]


@asynccontextmanager
async def entered(manager) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as inner:
            yield inner
    else:
        with manager as inner:
            yield inner


@dataclass
class State:
    """What an app remembers between two calls of one conversation.

    Attributes:
        previous: the id of the last response.
        conversation: the id of the conversation that the provider keeps.
        sent: how many messages of the conversation the provider has.
        events: what streams gave, one after the other.
    """

    previous: str | None = None
    conversation: str | None = None
    sent: int = 0
    events: list[Any] | None = None

    def keep(self, events: list[Any]) -> None:
        self.events = [*(self.events or []), *(event.model_dump(warnings=False) for event in events)]


# Chat.


def chat(said: list[Message], **more) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [SYSTEM, *said], "tools": CHAT_TOOLS, **more}


def from_chat(completion) -> Message:
    message = completion if isinstance(completion, dict) else completion.model_dump()
    return plain_chat(message["choices"][0]["message"])


def plain_chat(message: Message) -> Message:
    """What an app appends to its history."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
        }
        for call in message.get("tool_calls") or []
    ]
    return {"role": "assistant", "content": message["content"], **({"tool_calls": calls} if calls else {})}


def from_chunks(chunks: list[dict]) -> Message:
    message: Message = {"content": None, "tool_calls": []}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if delta.get("content"):
                message["content"] = (message["content"] or "") + delta["content"]
            for call in delta.get("tool_calls") or []:
                if call.get("id"):
                    message["tool_calls"].append({"id": call["id"], "function": dict(call["function"])})
                else:
                    message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]
    return plain_chat(message)


async def chat_create(client, said, state):
    return from_chat(await got(client.chat.completions.create(**chat(said))))


async def chat_options(client, said, state):
    return from_chat(await got(client.with_options(timeout=20).copy().chat.completions.create(**chat(said))))


async def chat_stream(client, said, state):
    chunks = await whole(await got(client.chat.completions.create(**chat(said, stream=True))))
    state.keep(chunks)
    return from_chunks([chunk.model_dump() for chunk in chunks])


async def chat_stream_helper(client, said, state):
    asked = chat(said, tools=[{"type": "function", "function": STRICT}])
    async with entered(client.chat.completions.stream(**asked)) as stream:
        state.keep([event for event in await whole(stream) if event.type != "chunk"])
        return from_chat(await got(stream.get_final_completion()))


async def chat_parse(client, said, state):
    asked = chat(said, tools=[{"type": "function", "function": STRICT}])
    return from_chat(await got(client.chat.completions.parse(**asked)))


async def chat_raw(client, said, state):
    raw = await got(client.chat.completions.with_raw_response.create(**chat(said)))
    return from_chat(await got(raw.parse()))


async def chat_raw_stream(client, said, state):
    raw = await got(client.chat.completions.with_raw_response.create(**chat(said, stream=True)))
    chunks = await whole(await got(raw.parse()))
    return from_chunks([chunk.model_dump() for chunk in chunks])


async def chat_view(client, said, state):
    async with entered(client.chat.completions.with_streaming_response.create(**chat(said))) as response:
        return from_chat(await got(response.parse()))


async def chat_view_json(client, said, state):
    async with entered(client.chat.completions.with_streaming_response.create(**chat(said))) as response:
        return from_chat(await got(response.json()))


async def chat_view_lines(client, said, state):
    view = client.chat.completions.with_streaming_response
    async with entered(view.create(**chat(said, stream=True))) as response:
        return from_chunks(data_of(await whole(response.iter_lines())))


async def chat_view_stream(client, said, state):
    view = client.chat.completions.with_streaming_response
    async with entered(view.create(**chat(said, stream=True))) as response:
        chunks = await whole(await got(response.parse()))
    return from_chunks([chunk.model_dump() for chunk in chunks])


def data_of(lines: list[str]) -> list[dict]:
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


# Responses.


def items(said: list[Message]) -> list[Message]:
    made: list[Message] = []
    for message in said:
        if message["role"] == "tool":
            output = {"call_id": message["tool_call_id"], "output": message["content"]}
            made.append({"type": "function_call_output", **output})
            continue
        if message["content"]:
            made.append({"role": message["role"], "content": message["content"]})
        made += [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in message.get("tool_calls", [])
        ]
    return made


def asked(said: list[Message], **more) -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        "instructions": SYSTEM["content"],
        "input": items(said),
        "tools": TOOLS,
        **more,
    }


def from_response(response) -> Message:
    # Without warnings: the SDK's parsed responses do not fit their own declared types.
    response = response if isinstance(response, dict) else response.model_dump(warnings=False)
    texts = [
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    ]
    calls = [
        {"id": item["call_id"], "function": item}
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    return plain_chat({"content": "".join(texts) or None, "tool_calls": calls})


async def responses_create(client, said, state):
    return from_response(await got(client.responses.create(**asked(said))))


async def responses_stream(client, said, state):
    events = await whole(await got(client.responses.create(**asked(said, stream=True))))
    state.keep(events)
    return from_response(events[-1].response)


async def responses_stream_helper(client, said, state):
    strict = {"type": "function", **STRICT}
    async with entered(client.responses.stream(**asked(said, tools=[strict]))) as stream:
        state.keep(await whole(stream))
        return from_response(await got(stream.get_final_response()))


async def responses_parse(client, said, state):
    strict = {"type": "function", **STRICT}
    return from_response(await got(client.responses.parse(**asked(said, tools=[strict]))))


async def responses_raw(client, said, state):
    raw = await got(client.responses.with_raw_response.create(**asked(said)))
    return from_response(await got(raw.parse()))


async def responses_view(client, said, state):
    async with entered(client.responses.with_streaming_response.create(**asked(said))) as response:
        return from_response(await got(response.json()))


async def responses_view_lines(client, said, state):
    view = client.responses.with_streaming_response
    async with entered(view.create(**asked(said, stream=True))) as response:
        return from_response(data_of(await whole(response.iter_lines()))[-1]["response"])


def newest(said: list[Message], state: State) -> list[Message]:
    """What the provider does not have yet."""
    new = said[state.sent :]
    state.sent = len(said) + 1  # and the reply
    return new


async def responses_previous(client, said, state):
    given = asked(newest(said, state))
    if state.previous is not None:
        given["previous_response_id"] = state.previous
    response = await got(client.responses.create(**given))
    state.previous = response.id
    return from_response(response)


async def responses_previous_stream(client, said, state):
    given = asked(newest(said, state), stream=True)
    if state.previous is not None:
        given["previous_response_id"] = state.previous
    events = await whole(await got(client.responses.create(**given)))
    state.previous = events[-1].response.id
    return from_response(events[-1].response)


async def responses_conversation(client, said, state):
    if state.conversation is None:
        state.conversation = (await got(client.conversations.create())).id
    given = asked(newest(said, state), conversation=state.conversation)
    return from_response(await got(client.responses.create(**given)))


async def responses_background(client, said, state):
    response = await got(client.responses.create(**asked(said, background=True)))
    while response.status in {"queued", "in_progress"}:
        response = await got(client.responses.retrieve(response.id))
    return from_response(response)


async def responses_resumed(client, said, state):
    """Begun in the background, its stream left after three events, and fetched to its end."""
    stream = await got(client.responses.create(**asked(said, background=True, stream=True)))
    async for event in each(stream):
        if event.type == "response.created":
            response_id = event.response.id
        if event.sequence_number == 2:
            break
    await got(stream.close())
    rest = await whole(await got(client.responses.retrieve(response_id, stream=True, starting_after=2)))
    return from_response(rest[-1].response)


DOORS: dict[str, Callable[[Any, list[Message], State], Awaitable[Message]]] = {
    "chat.create": chat_create,
    "chat.create stream": chat_stream,
    "chat.stream": chat_stream_helper,
    "chat.parse": chat_parse,
    "chat.with_raw_response": chat_raw,
    "chat.with_raw_response stream": chat_raw_stream,
    "chat.with_streaming_response": chat_view,
    "chat.with_streaming_response json": chat_view_json,
    "chat.with_streaming_response lines": chat_view_lines,
    "chat.with_streaming_response stream": chat_view_stream,
    "chat with_options, copy": chat_options,
    "responses.create": responses_create,
    "responses.create stream": responses_stream,
    "responses.stream": responses_stream_helper,
    "responses.parse": responses_parse,
    "responses.with_raw_response": responses_raw,
    "responses.with_streaming_response": responses_view,
    "responses.with_streaming_response lines": responses_view_lines,
    "responses previous_response_id": responses_previous,
    "responses previous_response_id stream": responses_previous_stream,
    "responses conversation": responses_conversation,
    "responses background, polled": responses_background,
    "responses background, resumed": responses_resumed,
}
KEPT_BY_PROVIDER = {name for name in DOORS if "previous" in name or "conversation" in name}
