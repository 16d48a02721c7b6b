"""ChatGPT's export: `conversations.json`, a list of conversations, each a tree of messages.

Of each tree the branch that the user saw last is read: from `current_node` up to the root. Messages of user
and assistant are kept, with their text; system messages, tool calls and their results, hidden messages and
reasoning are not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from convmem.errors import InputError
from convmem.importers.message import Imported, loaded, moment, named, oldest_first
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from convmem.types import Message

__all__ = ["conversations", "parse"]

_ROLES = frozenset({"user", "assistant"})
_KINDS = frozenset({"text", "multimodal_text"})
_AUDIO = "[audio]"
_MEDIA = {
    "image_asset_pointer": "[image]",
    "audio_asset_pointer": _AUDIO,
    "video_container_asset_pointer": "[video]",
}
_MARKS = frozenset(_MEDIA.values())
_CITATION = re.compile("\ue200[^\ue201]*\ue201")
"""What the page shows as a footnote; it names a source by a number that the export does not explain."""


def parse(text: str) -> list[Imported]:
    """Read the export, the oldest conversation first. A conversation's session is its id, else its title.

    Raises:
        InputError: it is something else; the text names the conversation, and nothing is returned.
    """
    value = loaded(text)
    if not is_array(value):
        raise InputError("this is no list of conversations; give the conversations.json of ChatGPT's export")
    return conversations(value)


def conversations(value: list[Any]) -> list[Imported]:
    """The same for an export that is parsed already."""
    found: list[tuple[float, list[Imported]]] = []
    names: set[str] = set()
    for i, conversation in enumerate(value):
        where = f"conversation {i + 1}"
        if not is_object(conversation) or not is_object(conversation.get("mapping")):
            raise InputError(f"{where} has no mapping of messages, as ChatGPT exports have")
        title = str(conversation.get("title") or "")
        where = f"{where} ({title})" if title else where
        began = moment(conversation.get("create_time"), where=f"{where}: create_time")
        own = conversation.get("conversation_id") or conversation.get("id")
        session = named(own or title or f"conversation-{i + 1}", i, names)
        messages = [Imported(session, at or began, message) for at, message in _branch(conversation, where)]
        found.append((began.timestamp() if began is not None else 0.0, messages))
    return oldest_first(found)


def _branch(conversation: dict[str, Any], where: str) -> Iterator[tuple[datetime | None, Message]]:
    """The messages from the root to the current node."""
    mapping: dict[str, Any] = conversation["mapping"]
    way: list[dict[str, Any]] = []
    name = _current(conversation, mapping)
    while name is not None:
        node = mapping.get(name)
        if not is_object(node):
            raise InputError(f"{where}: its mapping has no node {name!r}")
        if len(way) > len(mapping):
            raise InputError(f"{where}: node {name!r} is among its own parents")
        way.append(node)
        parent = node.get("parent")
        name = parent if isinstance(parent, str) else None
    for node in reversed(way):
        message = node.get("message")
        if is_object(message) and (kept := _message(message)) is not None:
            at = moment(message.get("create_time") or None, where=f"{where}: create_time")
            yield at, kept


def _current(conversation: dict[str, Any], mapping: dict[str, Any]) -> str | None:
    """Where the user left off; the last leaf where the export does not say."""
    current = conversation.get("current_node")
    if isinstance(current, str):
        return current
    leaves = [name for name, node in mapping.items() if is_object(node) and not node.get("children")]
    return leaves[-1] if leaves else None


def _message(message: dict[str, Any]) -> Message | None:
    """The message as convmem journals it; None for what the user did not see as a message."""
    author, content, about = message.get("author"), message.get("content"), message.get("metadata")
    role = author.get("role") if is_object(author) else None
    if role not in _ROLES or not is_object(content) or content.get("content_type", "text") not in _KINDS:
        return None
    if is_object(about) and about.get("is_visually_hidden_from_conversation"):
        return None
    if message.get("recipient", "all") != "all":
        return None
    parts = content.get("parts")
    texts = [text for part in (parts if is_array(parts) else []) if (text := _text(part))]
    if any(text not in _MARKS for text in texts):  # what was spoken stands beside its transcription
        texts = [text for text in texts if text != _AUDIO]
    text = _CITATION.sub("", "\n".join(texts))
    return {"role": role, "content": text} if text.strip() else None


def _text(part: object) -> str:
    if isinstance(part, str):
        return part
    if not is_object(part):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else _MEDIA.get(str(part.get("content_type")), "")
