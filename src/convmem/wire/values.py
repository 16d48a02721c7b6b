"""A request and a reply as values, the same for every API shape they may come in."""

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
"""What became of a turn, in this order: it awaits its reply, was answered, its reply was broken off on the
way, or it got no reply at all."""


_MOST_OUTPUT = 1 << 40
"""The largest limit of a reply, in tokens, that is believed: a million millions, beyond any model's."""


@dataclass(frozen=True, slots=True)
class Held:
    """Names a conversation that the provider keeps, by at most one of two ids.

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
    """What one request asks, in the words of chat, whatever the API shape of its body.

    Attributes:
        settings: the leading system and developer messages.
        turns: the messages after the settings.
        model: the model asked, None when the body names none.
        stream: the reply is to come as server-sent events.
        max_output: the most tokens that the reply may have; None when the body does not say.
        tools: the tools as JSON, which take room in the context like messages; empty when there are none.
        json_mode: the reply is to be a JSON object of any form.
        held: the conversation that the provider keeps and the body continues; None when the body has it all.
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
        """The text of the newest user turn, which is what memory recalls by; empty where there is none."""
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
        waiting: the provider is still at work on the reply, which can be asked for later.
    """

    choices: tuple[Message, ...] = ()
    usage: Mapping[str, Any] | None = None
    response_id: str | None = None
    complete: bool = True
    waiting: bool = False

    @property
    def state(self) -> State:
        """What became of the turns that waited for the reply."""
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
    """Return a name or an id from a body; None when it is no text, empty, or cannot be stored."""
    return given if isinstance(given, str) and given and encodable(given) else None


def output_limit(given: object) -> int | None:
    """Return the most tokens of a reply from a body; None when that is no sensible number."""
    return given if isinstance(given, int) and 0 < given < _MOST_OUTPUT else None


def tools_of(tools: object) -> str:
    """Write a body's tools as JSON; empty when there are none, or JSON cannot say them."""
    try:
        return dumps(plain(tools, where="tools")) if tools else ""
    except InputError:
        return ""  # the SDK raises on it, in its own words
