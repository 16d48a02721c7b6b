"""Chat Completions bodies ⇄ turns."""

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
from convmem.wire.pieces import Pieces
from convmem.wire.values import ChatRequest, Reply, name_of, output_limit, split, tools_of

if TYPE_CHECKING:
    from convmem.wire.values import Message

__all__ = ["PATH", "ReplyStream", "chat_only", "parse", "rebuilt", "reply_of", "stream_reply"]

PATH = "/chat/completions"


def parse(body: object) -> ChatRequest:
    """Read a chat body.

    Raises:
        InputError: when it is none that memory could journal: no mapping, no list of messages with roles.
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
    if not isinstance(message, dict):
        raise InputError(f"messages[{i}] is {type(item).__name__}, not a mapping with `role` and `content`")
    fields = cast("Message", message)
    role = fields.get("role")
    if not isinstance(role, str) or not encodable(role):
        raise InputError(f"messages[{i}] has no `role`")
    return fields


def rebuilt(body: Mapping[str, Any], messages: Sequence[Message], *, dropped: int) -> dict[str, Any]:
    """The body with these messages instead of its own.

    Args:
        body: as the caller made it.
        messages: settings and turns: those put back, then the caller's own.
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
    """A message that is put back, without what only other shapes have: their items, parts unknown to chat.

    A tool's result is text in chat.
    """
    content: object = message.get("content")
    parts = cast("list[object]", content) if isinstance(content, list) else []
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
    """What puts a streamed reply together."""
    return ReplyStream()


def reply_of(completion: object) -> Reply:
    """Read a chat completion: a mapping or an SDK object. What cannot be read of it is passed over."""
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
    given = cast("list[object]", choices) if isinstance(choices, list) else []
    rows = [cast("dict[str, object]", row) for row in given if isinstance(row, dict)]
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
    """What was said, of a completion that cannot be dumped."""
    choices: list[Any] = list(getattr(completion, "choices", ()))
    rows = [{"index": choice.index, "message": {"content": choice.message.content}} for choice in choices]
    return {"id": getattr(completion, "id", None), "choices": rows}


def _index(row: Mapping[str, object]) -> int:
    index = row.get("index")
    return index if isinstance(index, int) else 0


def _read(value: object) -> dict[str, Any] | None:
    """A mapping as plain JSON; None when it is none."""
    try:
        return plain(cast("object", value)) if isinstance(value, Mapping) else None
    except InputError:
        return None


def _read_message(value: object) -> dict[str, Any] | None:
    """A message as plain JSON; its text alone when there is something in it that cannot be kept."""
    message = _read(value)
    if message is None and isinstance(value, Mapping):
        return {"content": text_of(cast("Mapping[str, Any]", value))}
    return message


def _usage(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return _read(fields.get("usage"))


def _without_parsed(message: Message) -> Message:
    """The message without what an SDK's own parsing added to it."""
    message.pop("parsed", None)
    calls: object = message.get("tool_calls")
    for call in cast("list[object]", calls) if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(function := cast("Message", call).get("function"), dict):
            cast("Message", function).pop("parsed_arguments", None)
    return message


@dataclass(slots=True)
class ReplyStream:
    """Puts a streamed reply together, chunk by chunk, holding only what the reply itself will hold."""

    _choices: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    _finished: set[int] = field(default_factory=set[int])
    _usage: Mapping[str, Any] | None = None
    _response_id: str | None = None

    def add(self, chunk: object) -> None:
        """Take one parsed chunk; anything that is not one is ignored."""
        if not isinstance(chunk, dict):
            return
        fields = cast("dict[str, Any]", chunk)
        if self._response_id is None and isinstance(response_id := fields.get("id"), str):
            self._response_id = response_id
        self._usage = _usage(fields) or self._usage
        choices: object = fields.get("choices")
        for row in cast("list[object]", choices) if isinstance(choices, list) else []:
            if isinstance(row, dict):
                self._add_choice(cast("dict[str, Any]", row))

    def _add_choice(self, row: dict[str, Any]) -> None:
        index = _index(row)
        message = self._choices.setdefault(index, {})
        if row.get("finish_reason"):
            self._finished.add(index)
        delta: object = row.get("delta")
        if isinstance(delta, dict):
            _merge(message, cast("dict[str, Any]", delta))

    @property
    def finished(self) -> bool:
        """Whether every choice has its `finish_reason`."""
        return bool(self._choices) and self._choices.keys() <= self._finished

    def reply(self, *, complete: bool) -> Reply:
        """The reply as far as it came."""
        messages = (_joined(self._choices[i]) for i in sorted(self._choices))
        said = (m for m in messages if complete or any(value for key, value in m.items() if key != "role"))
        return Reply(
            choices=tuple({"role": "assistant", **m} for m in said),
            usage=self._usage,
            response_id=self._response_id,
            complete=complete,
        )


# Deltas of these keys replace what stood there; strings of any other key continue it.
_REPLACED = frozenset({"role", "id", "type", "index", "name", "format"})

_CONTENT = "content"
_GO_ON = frozenset({"text", "thinking"})
"""Content parts that come in pieces without an index: Mistral's thoughts, and the text after them."""


_DEEPEST = 50
"""What is nested deeper in a delta is left out: no reply's words are there, and Python would go no deeper."""


def _merge(into: dict[str, Any], delta: dict[str, Any], depth: int = 0) -> None:
    """Merge a delta: strings continue (as lists of pieces), lists go by `index`, the rest replaces."""
    if depth > _DEEPEST:
        return
    for key, value in delta.items():
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str):
            _merge_text(into, key, value, depth)
        elif isinstance(value, dict):
            held = into.get(key)
            if not isinstance(held, dict):
                held = into[key] = {}
            _merge(cast("dict[str, Any]", held), cast("dict[str, Any]", value), depth + 1)
        elif isinstance(value, list):
            _merge_list(into, key, cast("list[object]", value), depth + 1)
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
        if not isinstance(item, dict):
            held[len(held)] = item
            continue
        fields = cast("dict[str, Any]", item)
        index: object = fields.get("index")
        slot = held.slot(index, fields.get("id")) if isinstance(index, int) else held.next_slot(fields)
        _merge(held.setdefault(slot, {}), {k: v for k, v in fields.items() if k != "index"}, depth)


def _text_parts(text: str) -> list[object]:
    """A text as content parts."""
    return [{"type": "text", "text": text}] if text else []


class _Indexed(dict[int, Any]):
    """A list on its way in, by index.

    Gateways to Gemini give parallel tool calls the same index: an id that is new there begins another item.
    """

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[int, int] = {}

    def slot(self, index: int, item_id: object) -> int:
        """Where what comes under this index belongs."""
        slot = self._latest.get(index, index)
        held: dict[str, Any] = self.get(slot, {})
        if item_id and held.get("id") not in {None, "", item_id}:
            slot = max(self) + 1
        self._latest[index] = slot
        return slot

    def next_slot(self, item: Mapping[str, Any]) -> int:
        """Where an item without an index belongs: behind the others, or in the last when that goes on."""
        last: object = self[max(self)] if self else None
        kind = item.get("type")
        goes_on = kind in _GO_ON and isinstance(last, dict) and cast("Message", last).get("type") == kind
        return max(self) if goes_on else len(self)


def _joined(value: Any) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    if isinstance(value, Pieces):
        return str(value)
    if isinstance(value, _Indexed):
        return [_joined(value[i]) for i in sorted(value)]
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in cast("dict[str, Any]", value).items()}
    return value
