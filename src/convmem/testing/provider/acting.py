"""A stand-in for a model that uses tools: what `python -m convmem.testing.provider` answers with."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.order_legality import thinking_is_off
from convmem.testing.provider.reply import Reply, ToolCall, echo
from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convmem.testing.provider.dialect import Dialect
    from convmem.testing.provider.received import ReceivedRequest

__all__ = ["call_or_echo", "thinking_aloud"]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# A word of a tool's name that says nothing of what the tool is about.
_COMMON = frozenset({"call", "find", "from", "into", "list", "make", "read", "send", "tool", "with"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LONG = 4
"""How many letters a word of a tool's name has at least to call the tool by itself."""


def call_or_echo(request: ReceivedRequest) -> Reply:
    """Call the tools that the newest message asks for; repeat what tools have found; else echo.

    A message asks for an offered tool by its name (`get_weather Kyoto`) or by a word of the name of four
    letters or more (`What is the weather in Kyoto?`). A JSON object behind the name is the arguments
    (`get_weather {"city": "Kyoto"}`); without one, each required parameter is made from the message by its
    type: a text is the whole message, a number the first figure in it. A `tool_choice` that forces a call
    is followed. When the newest messages are results of tools, the reply repeats them after `echo: `.
    """
    found = _results(request)
    if found:
        return Reply("echo: " + "\n".join(found))
    tools = dict(_offered(request.fields.get("tools")))
    said = request.newest_user_words
    wanted = _wanted(tools, said, request.fields.get("tool_choice"))
    if not wanted:
        return echo(request)
    return Reply(tool_calls=[ToolCall(name, _arguments(name, tools[name], said)) for name in wanted])


def thinking_aloud(reply: Reply, request: ReceivedRequest, dialect: Dialect) -> Reply:
    """The reply with a thought, where the model thinks and its provider asks for the thought again.

    A client that sends such a reply back has something to send, as with the real provider.
    """
    asked_again = dialect.reasoning.startswith("require") and "tools" in request.fields
    if request.endpoint != "chat" or not asked_again or thinking_is_off(request.fields, dialect):
        return reply
    return replace(reply, reasoning_content="The message and the tools decide what to do.")


def _results(request: ReceivedRequest) -> list[str]:
    """What the results of tools say that end the request."""
    found: list[str] = []
    for message in reversed(request.messages or request.items):
        if message.get("role") == "tool":
            found.append(_text(message.get("content")))
        elif str(message.get("type", "")).endswith("_call_output"):
            found.append(_text(message.get("output")))
        else:
            break
    return found[::-1]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not is_array(content):
        return json.dumps(content, ensure_ascii=False)
    return "\n".join(str(part.get("text", "")) for part in content if is_object(part))


def _offered(tools: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The functions that a chat or Responses request offers, with the schemas of their parameters."""
    for tool in tools if is_array(tools) else ():
        if is_object(tool) and tool.get("type") == "function":
            function = tool.get("function", tool)
            if is_object(function) and isinstance(function.get("name"), str):
                schema = function.get("parameters")
                yield str(function["name"]), schema if is_object(schema) else {}


def _wanted(tools: Mapping[str, object], said: str, choice: object) -> Sequence[str]:
    """The names of the tools to call, in the order in which they are offered."""
    if choice == "none" or not tools:
        return ()
    if is_object(choice):
        function = choice.get("function", choice)
        name = function.get("name") if is_object(function) else None
        return [name] if isinstance(name, str) and name in tools else ()
    named = [name for name in tools if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said, re.IGNORECASE)]
    spoken = {word.lower() for word in re.findall(r"[A-Za-z]+", said)}
    meant = named or [name for name in tools if spoken & set(_telling(name))]
    return meant or (list(tools)[:1] if choice == "required" else ())


def _telling(name: str) -> Iterator[str]:
    for word in _WORD.findall(name):
        if len(word) >= _LONG and word.lower() not in _COMMON:
            yield word.lower()


def _arguments(name: str, schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """The arguments given behind the name, else made up for what is required."""
    start = said.find("{", max(said.lower().find(name.lower()), 0))
    if start >= 0:
        try:
            given, _ = json.JSONDecoder().raw_decode(said, start)
        except ValueError:
            given = None
        if is_object(given):
            return given
    properties = schema.get("properties")
    required = schema.get("required")
    known: Mapping[str, Any] = properties if is_object(properties) else {}
    names = [each for each in required if isinstance(each, str)] if is_array(required) else []
    return {each: _value(known.get(each), said) for each in names}


def _value(schema: object, said: str) -> object:
    """A value for one parameter, by the type that its schema gives."""
    given: Mapping[str, Any] = schema if is_object(schema) else {}
    choices = given.get("enum")
    if is_array(choices) and choices:
        return next((each for each in choices if str(each).lower() in said.lower()), choices[0])
    number = _NUMBER.search(said)
    kinds = given.get("type")
    kind = next((each for each in kinds if each != "null"), None) if is_array(kinds) else kinds
    if kind == "integer":
        return int(float(number[0])) if number else 0
    if kind == "number":
        return float(number[0]) if number else 0.0
    made: Mapping[object, object] = {"boolean": True, "array": [], "object": {}, "null": None}
    return made.get(kind, said)
