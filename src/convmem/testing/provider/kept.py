"""What the provider keeps of Responses: responses by id, conversations with their items."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Kept", "KeptResponse"]


@dataclass(slots=True)
class KeptResponse:
    """One response.

    Attributes:
        final: the response object at its end.
        items: everything the model saw, then what it said.
        events: the events of its stream.
        interim: what retrieving it shows before its end, one after the other: of a response in the
            background.
    """

    final: dict[str, Any]
    items: Sequence[dict[str, Any]]
    events: Sequence[dict[str, Any]] = ()
    interim: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def look(self) -> dict[str, Any]:
        """The response as it is now; every look brings a background response closer to its end."""
        return self.interim.pop(0) if self.interim else self.final


class Kept:
    """All of it; guarded by one lock."""

    def __init__(self) -> None:
        self._responses: dict[str, KeptResponse] = {}
        self._conversations: dict[str, list[dict[str, Any]]] = {}
        self._items: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def response(self, response_id: str) -> KeptResponse | None:
        """A response by its id."""
        return self._responses.get(response_id)

    def put(self, response_id: str, kept: KeptResponse) -> None:
        """Keep a response."""
        with self._lock:
            self._responses[response_id] = kept
            self._remember(kept.final.get("output"))

    def begin(self, conversation: str, items: Sequence[dict[str, Any]]) -> None:
        """Keep a new conversation."""
        with self._lock:
            self._conversations[conversation] = list(items)

    def conversation(self, conversation: str) -> list[dict[str, Any]] | None:
        """The items of a conversation."""
        with self._lock:
            known = self._conversations.get(conversation)
            return None if known is None else list(known)

    def extend(self, conversation: str, items: Sequence[dict[str, Any]]) -> None:
        """Add to a conversation."""
        with self._lock:
            self._conversations[conversation].extend(items)
            self._remember(items)

    def knows(self, item_id: str) -> bool:
        """Whether an item with this id is kept."""
        return item_id in self._items

    def reasoning_of(self, item_id: str) -> str | None:
        """The id of the reasoning item that an item with this id was said after."""
        return self._items.get(item_id)

    def _remember(self, items: object) -> None:
        """Note which items there are, and after which reasoning each was said."""
        thought: str | None = None
        for item in items if is_array(items) else ():
            item_id = item.get("id") if is_object(item) else None
            if not is_object(item) or not isinstance(item_id, str):
                continue
            self._items[item_id] = thought
            thought = item_id if item.get("type") == "reasoning" else None

    def look(self, response_id: str) -> dict[str, Any] | None:
        """A response as it is now."""
        with self._lock:
            kept = self._responses.get(response_id)
            return None if kept is None else kept.look()

    def cancel(self, response_id: str) -> dict[str, Any] | None:
        """A response, cancelled unless it had come to its end."""
        with self._lock:
            kept = self._responses.get(response_id)
            if kept is None:
                return None
            if kept.interim:
                kept.final = {**kept.interim[-1], "status": "cancelled"}
                kept.interim.clear()
            return kept.final
