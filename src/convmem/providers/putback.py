"""The form in which one journaled message goes back to a provider; pure, and of nothing but the message.

What comes in is what some caller or some provider gave: another API's fields, another program's roles,
replies that were cut. What goes out has only what the dialect's provider takes.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, cast

from convmem.providers.roles import ROLES, known_role
from convmem.wire.message import ITEMS, SETTINGS_ROLES, dumps, part_text, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from convmem.providers.profile import Profile
    from convmem.wire.values import Message

__all__ = ["OPEN", "THOUGHTS", "form", "may_return", "says_something", "signed"]

OPEN: Final = ("prefix", "partial")
"""Marks of a reply's beginning that the model is to continue: DeepSeek's and Mistral's, and Kimi's."""

THOUGHTS: Final = ("reasoning_content", "reasoning")
"""What providers call a model's reasoning."""

_ITEM_FIELDS = frozenset({ITEMS, "id", "status", "phase"})
"""Fields by which a message is known that a caller sent as items of the Responses API."""

_SIGNED = "extra_content"
_WORDLESS: Mapping[str, Message] = {"empty": {"content": ""}, "null": {"content": None}, "absent": {}}
"""What stands for content beside tool calls when the model said nothing, by what the dialect says of it."""

_DETAILS = "reasoning_details"
_ILLEGAL_IN_NAMES = re.compile(r"[\s<|\\/>]+")
_NAME_LENGTH = 64
"""The longest `name` that OpenAI takes; its pattern is ^[^\\s<|\\\\/>]+$."""

_TEXT_KINDS = frozenset({"text", "input_text", "output_text"})
_IMAGES = frozenset({"image_url", "input_image", "computer_screenshot"})
_MEDIA = frozenset({*_IMAGES, "input_audio", "file", "input_file"})


def form(rules: Profile, message: Message, *, tools: bool) -> Message | None:
    """The message as the provider takes it; None when nothing of it can go back.

    Args:
        rules: the provider's dialect.
        message: as it was journaled.
        tools: whether the request offers tools.
    """
    role = known_role(message.get("role"))
    if role == "assistant":
        made = _assistant(rules, message, tools=tools)
    elif role in {"tool", "function"}:
        made = None if rules.calls_need_tools and not tools else _result(rules, message, role)
    else:
        made = _said(rules, message, role) if role is not None else None
    if made is None:
        return None
    made = cast("Message", _sound(made))
    return message if made == message else made


def may_return(rules: Profile, message: Message, *, tools: bool) -> bool:
    """Whether the message, as a caller sent it, is a chat message with all that the provider asks for."""
    if message.get("role") not in ROLES or message.keys() & _ITEM_FIELDS:
        return False
    if message.get("role") != "assistant":
        content: object = message.get("content")
        parts = cast("list[object]", content) if isinstance(content, list) else []
        return all(_kind(part) not in _MEDIA or _is_wanted(rules, _kind(part)) for part in parts)
    calls = bool(message.get("tool_calls"))
    if not calls and not says_something(message) and message.get("audio") is None:
        return False
    if rules.reasoning == "with-tools" and tools:
        return isinstance(message.get("reasoning_content"), str)
    return not (calls and rules.reasoning_filler) or bool(message.get(_name_of_thoughts(rules)))


def says_something(message: Message) -> bool:
    """Whether an assistant's message has a word, or a call of the kind that needs no result."""
    return bool(text_of(message).strip()) or message.get("function_call") is not None


# Users, and system messages inside the conversation.


def _said(rules: Profile, message: Message, role: str) -> Message | None:
    content: object = message.get("content")
    if isinstance(content, list):
        content = _user_parts(rules, cast("list[object]", content))
    if not content or (isinstance(content, str) and not content.strip()):
        return None
    if not isinstance(content, str | list):
        return None
    as_system = role == "developer" and rules.developer == "system"
    made: Message = {}
    for key in message:  # in the order in which they were given, so that what need not change does not
        if key == "role":
            made["role"] = "system" if as_system else role
        elif key == "content":
            made["content"] = content
        elif key == "name" and _may_be_named(rules, role) and (name := _name(message)):
            made["name"] = name
    if role in SETTINGS_ROLES and isinstance(content, list) and rules.assistant_parts == "text":
        made["content"] = text_of(made)
    return made


def _user_parts(rules: Profile, parts: Iterable[object]) -> list[object]:
    made = (_user_part(rules, part) for part in parts)
    return [part for part in made if part is not None]


def _kind(part: object) -> str:
    """The type of a content part; empty when it has none."""
    return _text(cast("Message", part).get("type")) if isinstance(part, dict) else ""


def _user_part(rules: Profile, part: object) -> object:
    """One part as the provider takes it; a medium that it does not take is named in its place."""
    kind = _kind(part)
    if kind in rules.own_parts:
        return part
    if kind in _MEDIA and _is_wanted(rules, kind):
        given = cast("Message", part)
        # A mark for the cache, or whatever else stands beside the medium, is another provider's.
        return {"type": kind, kind: given[kind]} if kind in given else given
    text = part_text(part)
    return {"type": "text", "text": text} if text.strip() else None


def _is_wanted(rules: Profile, medium: str) -> bool:
    return rules.media == "keep" or (rules.media == "images" and medium in _IMAGES)


def _may_be_named(rules: Profile, role: str) -> bool:
    return rules.names in {"keep", role}


def _name(message: Message) -> str:
    """The speaker's name in the letters that names may have; empty when there is none."""
    name: object = message.get("name")
    return _ILLEGAL_IN_NAMES.sub("_", name)[:_NAME_LENGTH] if isinstance(name, str) else ""


# Results of tools.


def _result(rules: Profile, message: Message, role: str) -> Message | None:
    content = _told(rules, message)
    if role == "function":
        return _legacy_result(rules, message, content)
    call_id: object = message.get("tool_call_id")
    if not isinstance(call_id, str) or not call_id:
        return None
    made: Message = {}
    for key in message:
        if key == "role":
            made["role"] = "tool"
        elif key == "tool_call_id":
            made[key] = call_id
        elif key == "content":
            made[key] = content
        elif key == "name" and _may_be_named(rules, "tool") and (name := _name(message)):
            made["name"] = name
    return made if "content" in made else {**made, "content": content}


def _told(rules: Profile, message: Message) -> object:
    content: object = message.get("content")
    if isinstance(content, list):
        parts = cast("list[object]", content)
        return text_of(message) if rules.assistant_parts == "text" else _result_parts(parts)
    return content if isinstance(content, str) else "" if content is None else dumps(content)


def _result_parts(parts: Iterable[object]) -> object:
    """A result's parts; what chat has no room for in a result is for the shape of the API to say."""
    made = [{"type": "text", "text": part_text(part)} if _is_text(part) else part for part in parts if part]
    return made or ""


def _is_text(part: object) -> bool:
    return isinstance(part, str) or _kind(part) in _TEXT_KINDS


def _legacy_result(rules: Profile, message: Message, content: object) -> Message | None:
    name: object = message.get("name")
    if not isinstance(name, str) or not name:
        return None
    if rules.calls == "all":
        return {"role": "function", "name": name, "content": content}
    return {"role": "tool", "tool_call_id": _legacy_id(name), "content": content}


def _legacy_id(name: str) -> str:
    """The id of a call of the API before tools, where calls had a name alone."""
    return f"call_{name}"


# Assistants.


def _assistant(rules: Profile, message: Message, *, tools: bool) -> Message | None:
    text, refusal = _words(rules, message), _text(message.get("refusal"))
    calls = [] if rules.calls_need_tools and not tools else _calls(rules, message)
    legacy = _function(message.get("function_call")) if rules.calls == "all" else None
    made: Message = {"role": "assistant"}
    if text is not None:
        made["content"] = text
    elif calls:
        made |= _WORDLESS[rules.content]
    if _may_be_named(rules, "assistant") and (name := _name(message)):
        made["name"] = name
    if calls:
        made["tool_calls"] = calls
    if legacy is not None:
        made |= {"content": made.get("content"), "function_call": legacy}
    if rules.refusals == "keep" and refusal.strip():
        made["refusal"] = refusal
    if not calls and not says_something(made):
        return None
    made |= _thoughts(rules, message, calls=bool(calls), tools=tools)
    names = (*rules.own_fields, _SIGNED) if rules.signatures else rules.own_fields
    made |= {key: value for key in names if (value := _own_field(rules, message, key)) is not None}
    # Until `order.arranged` has put it together with what the model made of it.
    made |= {mark: True for mark in OPEN if message.get(mark) is True}
    return made


def _words(rules: Profile, message: Message) -> object:
    """The content of an assistant's message; None when it has no words."""
    content: object = message.get("content")
    if isinstance(content, list):
        parts = _assistant_parts(rules, cast("list[object]", content))
        if rules.assistant_parts == "keep":
            return parts or _words(rules, {**message, "content": None})
        content = text_of({"content": parts})
    if isinstance(content, str) and content.strip():
        return content
    told = text_of({**message, "content": None, **({"refusal": None} if rules.refusals == "keep" else {})})
    return told if told.strip() else None


def _assistant_parts(rules: Profile, parts: Iterable[object]) -> list[object]:
    made: list[object] = []
    for part in parts:
        kind = _kind(part)
        if kind in rules.own_parts or (kind == "refusal" and rules.refusals == "keep"):
            made.append(part)
        elif (text := part_text(part)).strip():
            made.append({"type": "text", "text": text})
    return made


def _name_of_thoughts(rules: Profile) -> str:
    return THOUGHTS[0] if rules.reasoning_as == "as-it-came" else rules.reasoning_as


def _thoughts(rules: Profile, message: Message, *, calls: bool, tools: bool) -> Message:
    """The model's reasoning under the name that the provider knows."""
    named = _name_of_thoughts(rules)
    thought = _thought(message)
    if rules.reasoning == "with-tools":
        return {named: thought} if tools else {}
    if rules.reasoning == "drop":
        return {}
    if not thought:
        return {named: rules.reasoning_filler} if calls and rules.reasoning_filler else {}
    if rules.reasoning_as == "as-it-came":
        return {key: message[key] for key in THOUGHTS if _text(message.get(key))} or {named: thought}
    return {named: thought}


def _thought(message: Message) -> str:
    """What a model thought, wherever its provider put it; empty when it told none."""
    for key in THOUGHTS:
        if thought := _text(message.get(key)):
            return thought
    content: object = message.get("content")
    if not isinstance(content, list):
        return ""
    return "".join(map(_thinking, cast("list[object]", content)))


def _thinking(part: object) -> str:
    """The text of a `thinking` part: Mistral's holds parts of its own, Anthropic's a text."""
    if _kind(part) != "thinking":
        return ""
    thinking: object = cast("Message", part).get("thinking")
    return _text(thinking) or (text_of({"content": thinking}) if isinstance(thinking, list) else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _own_field(rules: Profile, message: Message, key: str) -> object:
    """A field that is this provider's alone, as it gave it."""
    value: object = message.get(key)
    if key != _DETAILS or not isinstance(value, list):
        return value
    rows = [row for row in cast("list[object]", value) if _is_own(rules, row)]
    return rows or None


def _is_own(rules: Profile, row: object) -> bool:
    """Whether a piece of reasoning is in the provider's own format; one that names none counts as such."""
    named: object = cast("Message", row).get("format") if isinstance(row, dict) else None
    return not isinstance(named, str) or fnmatchcase(named.lower(), rules.details_format)


# Calls.


def _calls(rules: Profile, message: Message) -> list[Message]:
    given: object = message.get("tool_calls")
    made = [_call(rules, call) for call in cast("list[object]", given)] if isinstance(given, list) else []
    if rules.calls == "function" and (legacy := _function(message.get("function_call"))) is not None:
        made.append({"id": _legacy_id(legacy["name"]), "type": "function", "function": legacy})
    return signed(rules, [call for call in made if call is not None])


def _call(rules: Profile, call: object) -> Message | None:
    """One call with what calls have everywhere; None when it was cut."""
    if not isinstance(call, dict):
        return None
    given = cast("Message", call)
    call_id: object = given.get("id")
    if not isinstance(call_id, str) or not call_id:
        return None
    made: Message = {"id": call_id}
    if isinstance(custom := given.get("custom"), dict):
        if (said := _custom(rules, cast("Message", custom))) is None:
            return None
        made |= said
    elif (function := _function(given.get("function"))) is not None:
        made |= {"type": "function", "function": function}
    else:
        return None
    if rules.signatures and given.get(_SIGNED) is not None:
        made[_SIGNED] = given[_SIGNED]
    return made


def _custom(rules: Profile, custom: Message) -> Message | None:
    """A call whose input is a free text, which only OpenAI has."""
    name, said = custom.get("name"), _text(custom.get("input"))
    if not isinstance(name, str) or not name:
        return None
    if rules.calls == "all":
        return {"type": "custom", "custom": {"name": name, "input": said}}
    return {"type": "function", "function": {"name": name, "arguments": dumps({"input": said})}}


def _function(function: object) -> Message | None:
    """The name and the arguments of a call; None when it has no name."""
    if not isinstance(function, dict):
        return None
    given = cast("Message", function)
    name: object = given.get("name")
    if not isinstance(name, str) or not name:
        return None
    return {"name": name, "arguments": _arguments(given.get("arguments"))}


def _arguments(given: object) -> str:
    """Arguments as the text of a JSON object.

    Models write nothing where a function has no parameters; Ollama and MiniMax refuse that. What is no JSON
    object stands as a text in one: the call was answered, so it cannot be left out, and most servers take
    nothing else.
    """
    if given is None or (isinstance(given, str) and not given.strip()):
        return "{}"
    if isinstance(given, dict):
        return dumps(cast("object", given))
    try:
        meant: object = json.loads(given, parse_constant=_refused) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        meant = None
    return given if isinstance(given, str) and isinstance(meant, dict) else dumps({"arguments": given})


def _refused(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are Python's, not JSON's


def signed(rules: Profile, calls: list[Message]) -> list[Message]:
    """Calls whose first has a signature where the provider refuses it without."""
    if not calls or not rules.unsigned or any(call.get(_SIGNED) is not None for call in calls[:1]):
        return calls
    mark = {"google": {"thought_signature": rules.unsigned}}
    return [{**calls[0], _SIGNED: mark}, *calls[1:]]


def _sound(value: object) -> object:
    """The value without halves of characters (a stream cut inside an emoji), which providers refuse."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {key: _sound(item) for key, item in cast("Message", value).items()}
    return [_sound(item) for item in cast("list[object]", value)] if isinstance(value, list) else value
