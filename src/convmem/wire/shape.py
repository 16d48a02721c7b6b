"""Finds the API shape of a request by its path; each shape is one module of `wire`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from convmem.wire import chat, responses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.wire.values import ChatRequest, Message, Reply

__all__ = ["ReplyParts", "Shape", "retrieved_id", "shape_of"]


class ReplyParts(Protocol):
    """Puts a streamed reply together."""

    def add(self, chunk: object, /) -> None:
        """Take the parsed data of one event."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the provider said that the reply is whole, or says so within `reply`."""
        ...

    def reply(self, *, complete: bool) -> Reply:
        """Return the reply as far as it came."""
        ...


class Shape(Protocol):
    """What a module of `wire` does for its API, without any I/O."""

    @property
    def PATH(self) -> str:  # noqa: N802 (a constant of the module)
        """The path to which bodies of this shape are sent."""
        ...

    def parse(self, body: object, /) -> ChatRequest:
        """Read a request's body into settings and turns."""
        ...

    def rebuilt(
        self, body: Mapping[str, Any], messages: Sequence[Message], /, *, dropped: int
    ) -> dict[str, Any]:
        """Build the body again with these messages in place of its own."""
        ...

    def reply_of(self, completion: object, /) -> Reply:
        """Read a whole reply, a mapping or an SDK object."""
        ...

    def stream_reply(self) -> ReplyParts:
        """Make what puts one streamed reply together."""
        ...


_SHAPES: Mapping[str, Shape] = {chat.PATH: chat, responses.PATH: responses}
_ONE_RESPONSE = re.compile(responses.PATH + r"/([^/]+)(?:/cancel)?")


def shape_of(path: str) -> Shape | None:
    """Return the shape of bodies that are sent to a path; None when memory does not understand them."""
    return _SHAPES.get(path)


def retrieved_id(path: str) -> str | None:
    """Return the id of the response that a request of this path asks for or cancels; None of other paths."""
    match = _ONE_RESPONSE.fullmatch(path)
    return match[1] if match else None
