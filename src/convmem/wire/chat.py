"""Reads Chat Completions bodies and replies into turns, and writes turns back into bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from convmem.errors import InputError
from convmem.wire.message import (
    ITEMS,
    SETTINGS_ROLES,
    encodable,
    is_foreign,
    part_text,
    plain,
    text_of,
)
from convmem.wire.narrow import is_array, is_object
from convmem.wire.pieces import Pieces
from convmem.wire.values import ChatRequest, Reply, name_of, output_limit, split, tools_of

if TYPE_CHECKING:
    from convmem.wire.values import Message

__all__ = ["PATH", "ReplyStream", "chat_only", "parse", "rebuilt", "reply_of", "stream_reply"]

PATH = "/chat/completions"
"""The path that chat bodies are sent to, below the provider's base URL."""


def parse(body: object) -> ChatRequest:
    """Read a chat body.

    Raises:
        InputError: memory could not journal it, because it is no mapping or has no list of messages with
            roles.
    """
    if not isinstance(body, Mapping):
        raise InputError(f"a chat body is a mapping, not {type(body).__name__}")
    fields = cast("Mapping[str, Any]", body)
    given: object = fields.get("messages")
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise InputError("`messages` is not a list")
    messages = [_message(item, i) for i, item in enumerate(cast("Sequence[object]", given))]
    settings, turns = split(messages)
    limit: object = fields.get("max_completion_tokens") or fields.get("max_tokens")
    return ChatRequest(
        settings=settings,
        turns=turns,
        model=name_of(fields.get("model")),
        stream=fields.get("stream") is True,
        max_output=output_limit(limit),
        tools=tools_of(fields.get("tools")),
        json_mode=_json_mode(fields.get("response_format")),
    )


def _json_mode(wanted: object) -> bool:
    return isinstance(wanted, Mapping) and cast("Mapping[str, object]", wanted).get("type") == "json_object"


def _message(item: object, i: int) -> Message:
    message = plain(item, where=f"messages[{i}]")
    if not is_object(message):
        raise InputError(f"messages[{i}] is {type(item).__name__}, not a mapping with `role` and `content`")
    role: object = message.get("role")
    if not isinstance(role, str) or not encodable(role):
        raise InputError(f"messages[{i}] has no `role`")
    return message


def rebuilt(body: Mapping[str, Any], messages: Sequence[Message], *, dropped: int) -> dict[str, Any]:
    """Build the body again with these messages in place of its own.

    Messages that need not change stay the caller's own objects, so that they are sent byte for byte.

    Args:
        body: the body as the caller made it.
        messages: the settings, then the turns that are put back, then the caller's own turns.
        dropped: how many of the caller's turns, from the first, are left out.
    """
    given: Sequence[object] = body["messages"]
    n = 0
    while n < len(given) and _role(given[n]) in SETTINGS_ROLES:
        n += 1
    own = len(given) - n - dropped
    back = messages[n : len(messages) - own]
    return {**body, "messages": [*messages[:n], *map(chat_only, back), *messages[len(messages) - own :]]}


def _role(item: object) -> object:
    return cast("Message", item).get("role") if isinstance(item, Mapping) else getattr(item, "role", None)


def chat_only(message: Message) -> Message:
    """Return a message that is put back without what chat has no word for: Responses items and their parts.

    Parts of the latter kind become text, such as `[image]`; so does every part of a tool's result, because
    chat takes only text there.
    """
    content: object = message.get("content")
    parts: list[object] = content if is_array(content) else []
    is_strange = _is_no_text if message.get("role") == "tool" else is_foreign
    if ITEMS not in message and not any(map(is_strange, parts)):
        return message
    said = {key: value for key, value in message.items() if key != ITEMS}
    if parts:
        told = ({"type": "text", "text": part_text(part)} if is_strange(part) else part for part in parts)
        said["content"] = list(told)
    return said


def _is_no_text(part: object) -> bool:
    return not isinstance(part, Mapping) or cast("Mapping[str, object]", part).get("type") != "text"


def stream_reply() -> ReplyStream:
    """Make what puts one streamed reply together."""
    return ReplyStream()


def reply_of(completion: object) -> Reply:
    """Read a chat completion, a mapping or an SDK object; parts of it that cannot be read are left out."""
    dump = getattr(completion, "model_dump", None)
    try:
        # A provider's own kinds of content are no reason for a warning in the caller's log.
        data: object = dump(mode="json", exclude_unset=True, warnings=False) if callable(dump) else completion
    except ValueError:  # nested deeper than pydantic can say
        data = _words(completion)
    if not isinstance(data, Mapping):
        return Reply(complete=False)
    fields = cast("Mapping[str, Any]", data)
    choices: object = fields.get("choices")
    rows = [row for row in choices if is_object(row)] if is_array(choices) else []
    messages = [_read_message(row.get("message")) for row in sorted(rows, key=_index)]
    kept = tuple({"role": "assistant", **m} for m in messages if m is not None)
    response_id: object = fields.get("id")
    return Reply(
        choices=tuple(_without_parsed(message) for message in kept),
        usage=_usage(fields),
        response_id=response_id if isinstance(response_id, str) else None,
        complete=bool(kept),
    )


def _words(completion: object) -> dict[str, Any]:
    """Return the texts of a completion whose `model_dump` failed, in the form of a completion."""
    choices: list[Any] = list(getattr(completion, "choices", ()))
    rows = [{"index": choice.index, "message": {"content": choice.message.content}} for choice in choices]
    return {"id": getattr(completion, "id", None), "choices": rows}


def _index(row: Mapping[str, object]) -> int:
    index = row.get("index")
    return index if isinstance(index, int) else 0


def _read(value: object) -> dict[str, Any] | None:
    """Copy a mapping as plain JSON; None when it is no mapping, or JSON cannot say what it holds."""
    try:
        return plain(cast("object", value)) if isinstance(value, Mapping) else None
    except InputError:
        return None


def _read_message(value: object) -> dict[str, Any] | None:
    """Copy a message as plain JSON; its text alone when JSON cannot say something in it."""
    message = _read(value)
    if message is None and isinstance(value, Mapping):
        return {"content": text_of(cast("Mapping[str, Any]", value))}
    return message


def _usage(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _read(fields.get("usage"))


def _without_parsed(message: Message) -> Message:
    """Remove from a message, in place, what an SDK's own parsing added to it."""
    message.pop("parsed", None)
    calls: object = message.get("tool_calls")
    for call in calls if is_array(calls) else ():
        if is_object(call) and is_object(function := call.get("function")):
            function.pop("parsed_arguments", None)
    return message


@dataclass(slots=True)
class ReplyStream:
    """Puts a streamed chat reply together chunk by chunk; keeps no chunk, only the reply as it grows."""

    _choices: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    _finished: set[int] = field(default_factory=set[int])
    _usage: Mapping[str, Any] | None = None
    _response_id: str | None = None

    def add(self, chunk: object) -> None:
        """Take one parsed chunk; anything that is no chunk is ignored."""
        if not is_object(chunk):
            return
        if self._response_id is None and isinstance(response_id := chunk.get("id"), str):
            self._response_id = response_id
        self._usage = _usage(chunk) or self._usage
        choices: object = chunk.get("choices")
        for row in choices if is_array(choices) else ():
            if is_object(row):
                self._add_choice(row)

    def _add_choice(self, row: dict[str, Any]) -> None:
        index = _index(row)
        message = self._choices.setdefault(index, {})
        if row.get("finish_reason"):
            self._finished.add(index)
        delta: object = row.get("delta")
        if is_object(delta):
            _merge(message, delta)

    @property
    def finished(self) -> bool:
        """Whether every choice has its `finish_reason`."""
        return bool(self._choices) and self._choices.keys() <= self._finished

    def reply(self, *, complete: bool) -> Reply:
        """Return the reply as far as it came.

        Args:
            complete: the whole reply came. Of a reply that broke off, choices that said nothing are left out.
        """
        messages = (_joined(self._choices[i]) for i in sorted(self._choices))
        said = (m for m in messages if complete or any(value for key, value in m.items() if key != "role"))
        return Reply(
            choices=tuple({"role": "assistant", **m} for m in said),
            usage=self._usage,
            response_id=self._response_id,
            complete=complete,
        )


_REPLACED = frozenset({"role", "id", "type", "index", "name", "format"})
"""Keys whose strings are sent whole: a later one replaces the earlier. A string under any other key continues
the earlier one."""

_CONTENT = "content"
_GO_ON = frozenset({"text", "thinking"})
"""Types of content parts that come in pieces without an index: Mistral's thoughts, the text after them."""


_DEEPEST = 50
"""Levels of nesting at which a delta is read no further. Replies need fewer than ten; without a limit a
hostile stream ends in Python's `RecursionError`."""


def _merge(into: dict[str, Any], delta: dict[str, Any], depth: int = 0) -> None:
    """Merge a delta into a message: strings are appended, lists merged by `index`, other values replaced."""
    if depth > _DEEPEST:
        return
    for key, value in delta.items():
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str):
            _merge_text(into, key, value, depth)
        elif is_object(value):
            held = into.get(key)
            if not is_object(held):
                held = into[key] = {}
            _merge(held, value, depth + 1)
        elif is_array(value):
            _merge_list(into, key, value, depth + 1)
        else:
            into[key] = value


def _merge_text(into: dict[str, Any], key: str, text: str, depth: int) -> None:
    held = into.get(key)
    if key in _REPLACED:
        into[key] = text
    elif isinstance(held, Pieces):
        held.append(text)
    elif key == _CONTENT and isinstance(held, _Indexed):
        _merge_list(into, key, _text_parts(text), depth + 1)
    else:
        into[key] = Pieces(text)


def _merge_list(into: dict[str, Any], key: str, items: list[object], depth: int) -> None:
    held = into.get(key)
    if not isinstance(held, _Indexed):
        before = _text_parts(str(held)) if key == _CONTENT and isinstance(held, Pieces) else []
        held = into[key] = _Indexed()
        items = [*before, *items]
    for item in items:
        if not is_object(item):
            held[len(held)] = item
            continue
        index: object = item.get("index")
        slot = held.slot(index, item.get("id")) if isinstance(index, int) else held.next_slot(item)
        _merge(held.setdefault(slot, {}), {k: v for k, v in item.items() if k != "index"}, depth)


def _text_parts(text: str) -> list[object]:
    """Make the content parts that say a text; none for an empty one."""
    return [{"type": "text", "text": text}] if text else []


class _Indexed(dict[int, Any]):
    """A list that a stream sends item by item, kept by index.

    Gateways to Gemini give parallel tool calls the same index, so a new id under a known index begins another
    item.
    """

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[int, int] = {}

    def slot(self, index: int, item_id: object) -> int:
        """Return the place in the list of what comes under an index with an id."""
        slot = self._latest.get(index, index)
        held: dict[str, Any] = self.get(slot, {})
        if item_id and held.get("id") not in {None, "", item_id}:
            slot = max(self) + 1
        self._latest[index] = slot
        return slot

    def next_slot(self, item: Mapping[str, Any]) -> int:
        """Return the place of an item without an index: the last one's if it continues that, else a new."""
        last: object = self[max(self)] if self else None
        kind = item.get("type")
        goes_on = kind in _GO_ON and is_object(last) and last.get("type") == kind
        return max(self) if goes_on else len(self)


def _joined(value: Any) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    if isinstance(value, Pieces):
        return str(value)
    if isinstance(value, _Indexed):
        return [_joined(value[i]) for i in sorted(value)]
    if is_object(value):
        return {key: _joined(item) for key, item in value.items()}
    return value
