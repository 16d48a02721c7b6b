"""Claude's export: `conversations.json`, a list of conversations with their `chat_messages`.

Of a conversation that was edited, the branch that was written last is read, where the export says which
message follows which. Kept is what was said: the text blocks, and the text of what was pasted or attached;
thinking, tool calls and their results are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convmem.errors import InputError
from convmem.importers.message import Imported, loaded, moment, named, oldest_first
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from convmem.types import Message

__all__ = ["conversations", "parse"]

_ROLES = {"human": "user", "user": "user", "assistant": "assistant"}


def parse(text: str) -> list[Imported]:
    """Read the export, the oldest conversation first. A conversation's session is its id, else its name.

    Raises:
        InputError: it is something else; the text names the conversation, and nothing is returned.
    """
    value = loaded(text)
    if not is_array(value):
        raise InputError("this is no list of conversations; give the conversations.json of Claude's export")
    return conversations(value)


def conversations(value: list[Any]) -> list[Imported]:
    """The same for an export that is parsed already."""
    found: list[tuple[float, list[Imported]]] = []
    names: set[str] = set()
    for i, conversation in enumerate(value):
        where = f"conversation {i + 1}"
        if not is_object(conversation) or not is_array(conversation.get("chat_messages")):
            raise InputError(f"{where} has no chat_messages, as Claude's exports have")
        title = str(conversation.get("name") or "")
        where = f"{where} ({title})" if title else where
        began = moment(conversation.get("created_at"), where=f"{where}: created_at")
        session = named(conversation.get("uuid") or title or f"conversation-{i + 1}", i, names)
        rows = [
            Imported(session, moment(row.get("created_at"), where=f"{where}: created_at") or began, message)
            for row in _branch(conversation, where)
            if (message := _message(row)) is not None
        ]
        found.append((began.timestamp() if began is not None else 0.0, rows))
    return oldest_first(found)


def _branch(conversation: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The messages from the first to the newest; all of them where they do not name their parents."""
    messages: list[Any] = conversation["chat_messages"]
    for i, message in enumerate(messages):
        if not is_object(message):
            raise InputError(f"{where}: chat_messages[{i}] is no JSON object")
    by_id = {str(message.get("uuid")): message for message in messages}
    if not all(message.get("parent_message_uuid") for message in messages):
        return messages
    way: list[dict[str, Any]] = []
    name = str(conversation.get("current_leaf_message_uuid") or messages[-1].get("uuid")) if messages else ""
    while (message := by_id.get(name)) is not None:
        if len(way) > len(messages):
            raise InputError(f"{where}: message {name!r} is among its own parents")
        way.append(message)
        name = str(message.get("parent_message_uuid"))
    return way[::-1]


def _message(message: dict[str, Any]) -> Message | None:
    role = _ROLES.get(str(message.get("sender")))
    if role is None:
        return None
    blocks = message.get("content")
    said = [
        block["text"]
        for block in (blocks if is_array(blocks) else [])
        if is_object(block) and block.get("type") == "text" and isinstance(block.get("text"), str)
    ]
    text = message.get("text")
    if not said and isinstance(text, str):  # older exports have nothing else
        said = [text]
    attached = [*_items(message, "attachments"), *_items(message, "files")]
    content = "\n".join(filter(str.strip, [*said, *map(_attached, attached)]))
    return {"role": role, "content": content} if content else None


def _items(message: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = message.get(key)
    return [item for item in items if is_object(item)] if is_array(items) else []


def _attached(item: dict[str, Any]) -> str:
    """A long text that was pasted has no name; of a file in other forms only the name is exported."""
    name, text = item.get("file_name"), item.get("extracted_content")
    label = f"[{name}]" if isinstance(name, str) and name.strip() else ""
    return "\n".join(filter(None, [label, text if isinstance(text, str) else ""]))
