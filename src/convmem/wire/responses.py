"""Reads Responses bodies and outputs into the same turns as chat's, and writes turns back into bodies.

A Responses input is a list of items; a turn is one chat message. Messages of users and results of tools are
a turn each. What the model said in one go (reasoning, messages, calls) is one assistant turn, as in chat. A
turn that a chat message cannot say whole keeps its items, verbatim, under `items`; the turn's identity does
not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from convmem.errors import InputError
from convmem.wire.items import assistant_of, begins_anew, input_items, is_said, kind_of, message_of, result_of
from convmem.wire.message import SETTINGS_ROLES, encodable, plain
from convmem.wire.narrow import is_array, is_object
from convmem.wire.pieces import Pieces
from convmem.wire.values import ChatRequest, Held, Reply, name_of, output_limit, tools_of

if TYPE_CHECKING:
    from convmem.wire.values import Message

__all__ = ["PATH", "ReplyStream", "parse", "rebuilt", "reply_of", "stream_reply"]

PATH = "/responses"
"""The path that Responses bodies are sent to, below the provider's base URL."""

_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Values of a response's `status` after which nothing more comes."""
_RUNNING = frozenset({"queued", "in_progress"})
"""Values of a response's `status` while the provider is at work on it."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The items of one turn as the caller gave them, and the turn."""

    items: tuple[object, ...]
    message: Message


def parse(body: object) -> ChatRequest:
    """Read a Responses body.

    Raises:
        InputError: memory could not journal it, because its input is no list of items with types or roles.
    """
    if not isinstance(body, Mapping):
        raise InputError(f"a Responses body is a mapping, not {type(body).__name__}")
    fields = cast("Mapping[str, Any]", body)
    groups = _groups(_items(fields))
    n = _leading(groups)
    return ChatRequest(
        settings=(*_instructions(fields), *(group.message for group in groups[:n])),
        turns=tuple(group.message for group in groups[n:]),
        model=name_of(fields.get("model")),
        stream=fields.get("stream") is True,
        max_output=output_limit(fields.get("max_output_tokens")),
        tools=tools_of(fields.get("tools")),
        json_mode=_json_mode(fields.get("text")),
        held=_held(fields),
    )


def _json_mode(text: object) -> bool:
    wanted: object = cast("Mapping[str, object]", text).get("format") if isinstance(text, Mapping) else None
    return isinstance(wanted, Mapping) and cast("Mapping[str, object]", wanted).get("type") == "json_object"


def _held(fields: Mapping[str, Any]) -> Held | None:
    """Return which conversation the provider keeps; without an id when the body's is no usable text."""
    previous: object = fields.get("previous_response_id")
    conversation: object = fields.get("conversation")
    if not previous and not conversation:
        return None
    if isinstance(conversation, Mapping):
        conversation = cast("Mapping[str, object]", conversation).get("id")
    return Held(response=name_of(previous)) if previous else Held(conversation=name_of(conversation))


def _items(fields: Mapping[str, Any]) -> Sequence[object]:
    given: object = fields.get("input")
    if given is None:
        return ()
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if isinstance(given, bytes | Mapping) or not isinstance(given, Sequence):
        raise InputError("`input` is neither a text nor a list of items")
    return cast("Sequence[object]", given)


def _instructions(fields: Mapping[str, Any]) -> tuple[Message, ...]:
    text: object = fields.get("instructions")
    return ({"role": "system", "content": text},) if isinstance(text, str) and text else ()


def _leading(groups: Sequence[_Group]) -> int:
    """Count the groups, from the first, that are system or developer messages."""
    n = 0
    while n < len(groups) and groups[n].message.get("role") in SETTINGS_ROLES:
        n += 1
    return n


def _groups(items: Sequence[object]) -> list[_Group]:
    groups: list[_Group] = []
    said: list[dict[str, Any]] = []
    raw: list[object] = []

    def end() -> None:
        if said:
            groups.append(_Group(tuple(raw), assistant_of(said)))
            said.clear()
            raw.clear()

    for i, item in enumerate(items):
        fields = _fields(item, i)
        if not is_said(fields):
            end()
            groups.append(
                _Group((item,), message_of(fields) if kind_of(fields) == "message" else result_of(fields))
            )
            continue
        if begins_anew(fields, said):
            end()
        said.append(fields)
        raw.append(item)
    end()
    return groups


def _fields(item: object, i: int) -> dict[str, Any]:
    fields = plain(item, where=f"input[{i}]")
    if not is_object(fields):
        raise InputError(f"input[{i}] is {type(item).__name__}, not an item, which is a mapping")
    if not isinstance(fields.get("type", "message"), str):
        raise InputError(f"input[{i}] has no `type`")
    role: object = fields.get("role")
    if fields.get("type", "message") == "message" and not (isinstance(role, str) and encodable(role)):
        raise InputError(f"input[{i}] has no `role` that is text")
    return fields


def rebuilt(body: Mapping[str, Any], messages: Sequence[Message], *, dropped: int) -> dict[str, Any]:
    """Build the body again with these messages in place of its own.

    Items that need not change stay the caller's own objects, so that they are sent byte for byte.

    Args:
        body: the body as the caller made it.
        messages: the settings, then the turns that are put back, then the caller's own turns.
        dropped: how many of the caller's turns, from the first, are left out.
    """
    groups = _groups(_items(body))
    n = _leading(groups)
    settings, own = groups[:n], groups[n + dropped :]
    turns = list(messages)[len(_instructions(body)) + n :]
    back, now = turns[: len(turns) - len(own)], turns[len(turns) - len(own) :]
    said = [_changed(group, message) for group, message in zip(own, now, strict=True)]
    if isinstance(body.get("input"), str) and not back and len(said) == 1:
        return {**body, "input": now[0]["content"]}
    kept = [item for group in settings for item in group.items]
    return {**body, "input": [*kept, *input_items(back), *(item for items in said for item in items)]}


def _changed(group: _Group, message: Message) -> Sequence[object]:
    """Return the items of one of the caller's turns, with what memory put in front of its text."""
    if message == group.message:
        return group.items
    if group.message.get("role") != "user":
        return input_items([message])
    given = _fields(group.items[0], 0)
    before: object = given.get("content")
    content: object = message.get("content")
    if isinstance(content, str) and isinstance(before, str):
        return [{**given, "content": content}]
    if not is_array(content) or not is_array(before):
        return input_items([message])
    return [{**given, "content": [{"type": "input_text", "text": content[0].get("text")}, *before]}]


def reply_of(response: object) -> Reply:
    """Read a response, a mapping or an SDK object, into a reply."""
    data = plain(response, where="response")
    if not isinstance(data, dict):
        return Reply(complete=False)
    fields = cast("dict[str, Any]", data)
    output: object = fields.get("output")
    rows = cast("list[object]", output) if isinstance(output, list) else []
    items = [_without_parsed(cast("dict[str, Any]", row)) for row in rows if isinstance(row, dict)]
    status: object = fields.get("status")
    response_id: object = fields.get("id")
    usage: object = fields.get("usage")
    running = status in _RUNNING
    return Reply(
        choices=(assistant_of(items, verbatim=True),) if items and not running else (),
        usage=cast("Mapping[str, Any]", usage) if isinstance(usage, dict) else None,
        response_id=response_id if isinstance(response_id, str) else None,
        complete=bool(items) and not running and status not in {"failed", "cancelled"},
        waiting=running,
    )


def _without_parsed(item: dict[str, Any]) -> dict[str, Any]:
    """Remove from an item, in place, what an SDK's own parsing added to it."""
    item.pop("parsed_arguments", None)
    for part in item.get("content") or ():
        if is_object(part):
            part.pop("parsed", None)
    return item


def stream_reply() -> ReplyStream:
    """Make what puts one streamed reply together."""
    return ReplyStream()


# The field of an item, or of its content part, that a delta continues, by the type of the delta's event.
_DELTAS = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


@dataclass(slots=True)
class ReplyStream:
    """Puts a streamed response together event by event; keeps no event, only the reply as it grows."""

    _items: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    _pieces: dict[tuple[int, int, str], Pieces] = field(default_factory=dict[tuple[int, int, str], Pieces])
    _response: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, event: object) -> None:
        """Take one parsed event; anything that is no event is ignored."""
        if not is_object(event):
            return
        kind: object = event.get("type")
        index: object = event.get("output_index")
        if is_object(response := event.get("response")):
            self._response = response
            if self._response.get("status") in _ENDED and self._response.get("output"):
                self._items.clear()
                self._pieces.clear()
        elif not isinstance(index, int):
            return
        elif is_object(item := event.get("item")):
            self._items[index] = item
            if kind == "response.output_item.done":
                self._pieces = {key: value for key, value in self._pieces.items() if key[0] != index}
        elif isinstance(kind, str) and kind in _DELTAS and isinstance(delta := event.get("delta"), str):
            part: object = event.get("content_index")
            place = (index, part if isinstance(part, int) else 0, _DELTAS[kind])
            self._pieces.setdefault(place, Pieces()).append(delta)

    @property
    def finished(self) -> bool:
        """True always: `reply` reads from the response's status whether it is whole."""
        return True

    def reply(self, *, complete: bool) -> Reply:
        """Return the reply as far as it came; a response in the background goes on without its stream.

        Args:
            complete: the stream came to its end.
        """
        status = self._response.get("status")
        if status in _ENDED:
            output = self._response.get("output") or [self._items[i] for i in sorted(self._items)]
            return reply_of({**self._response, "output": output})
        goes_on = self._response.get("background") is True
        output = [] if goes_on else [item for i in sorted(self._items) if (item := self._joined(i))]
        # Providers say by a last event with the response that a stream is over. Some gateways never send a
        # response, and there the end of the stream must do.
        ended = complete and bool(output) and not self._response
        made = reply_of({**self._response, "output": output, "status": "completed" if ended else "failed"})
        return Reply(made.choices, made.usage, made.response_id, complete=ended, waiting=goes_on)

    def _joined(self, index: int) -> dict[str, Any] | None:
        """Return an item as far as it came; None when nothing of it did."""
        item = dict(self._items[index])
        pieces = {key[1:]: str(text) for key, text in self._pieces.items() if key[0] == index}
        if item.get("type") == "message":
            if pieces:
                item["content"] = [
                    {"type": kind, "text" if kind == "output_text" else "refusal": text}
                    for (_, kind), text in sorted(pieces.items())
                ]
            return item if item.get("content") else None
        for (_, name), text in pieces.items():
            item[name] = text
        return item
