"""What the shapes of API have in common: a request and a reply as values, whatever the body they came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from convmem.errors import InputError
from convmem.wire.message import (
    SETTINGS_ROLES,
    dumps,
    encodable,
    newest_user,
    plain,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


__all__ = ["ChatRequest", "Held", "Message", "Reply", "State", "name_of", "output_limit", "split", "tools_of"]

Message = dict[str, Any]
"""A chat message as JSON: `role`, `content` and whatever else the caller or the provider put into it."""

State = Literal["pending", "answered", "partial", "failed"]
"""What became of a turn: awaiting its reply, settled, broken off on the way, or refused by the provider."""


_MOST_OUTPUT = 1 << 40


@dataclass(frozen=True, slots=True)
class Held:
    """A conversation that the provider keeps; at most one of the two is given.

    Attributes:
        response: the provider's id of the reply that the call continues.
        conversation: the provider's id of the conversation.
    """

    response: str | None = None
    conversation: str | None = None

    def __str__(self) -> str:
        if self.response is not None:
            return f"the response {self.response}"
        return f"the conversation {self.conversation}"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What one body asks, as memory sees it; of any API shape, in the words of chat.

    Attributes:
        settings: the leading system and developer messages.
        turns: the messages after them.
        model: the model asked, None when the body names none.
        stream: the reply comes as server-sent events.
        max_output: the most tokens the reply may have, when the body says so.
        tools: the tools as JSON, empty when there are none; they take room like messages.
        json_mode: the reply is to be a JSON object of no given form.
        held: what the provider has of the conversation already; None when the body is all of it.
    """

    settings: tuple[Message, ...]
    turns: tuple[Message, ...]
    model: str | None = None
    stream: bool = False
    max_output: int | None = None
    tools: str = ""
    json_mode: bool = False
    held: Held | None = None

    @property
    def question(self) -> str:
        """The text of the newest user turn; empty where there is none."""
        at = newest_user(self.turns)
        return text_of(self.turns[at]) if at is not None else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered.

    Attributes:
        choices: one assistant message per choice, in the order of their index.
        usage: the provider's usage fields, verbatim.
        response_id: the provider's id of the reply.
        complete: False when the reply was broken off on the way.
        waiting: the provider goes on with it, and it can be asked for later.
    """

    choices: tuple[Message, ...] = ()
    usage: Mapping[str, Any] | None = None
    response_id: str | None = None
    complete: bool = True
    waiting: bool = False

    @property
    def state(self) -> State:
        """What became of the turns that waited for it."""
        if self.waiting:
            return "pending"
        if self.complete:
            return "answered"
        return "partial" if self.choices else "failed"


def split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Split messages into the leading system and developer messages and the turns after them."""
    n = 0
    while n < len(messages) and messages[n].get("role") in SETTINGS_ROLES:
        n += 1
    return tuple(messages[:n]), tuple(messages[n:])


def name_of(given: object) -> str | None:
    """A name or an id as a body gives it; None when it is none that can be stored."""
    return given if isinstance(given, str) and given and encodable(given) else None


def output_limit(given: object) -> int | None:
    """The most tokens of a reply as a body gives it; None when it is no sensible number."""
    return given if isinstance(given, int) and 0 < given < _MOST_OUTPUT else None


def tools_of(tools: object) -> str:
    """Tools as JSON."""
    try:
        return dumps(plain(tools, where="tools")) if tools else ""
    except InputError:
        return ""  # the SDK raises on it, in its own words
