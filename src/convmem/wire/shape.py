"""The shapes of API that memory understands: one module of `wire` each, found by the path of a request."""

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
        """Take the data of one event, parsed."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the provider said that the reply is whole, or says so within `reply`."""
        ...

    def reply(self, *, complete: bool) -> Reply:
        """The reply as far as it came."""
        ...


class Shape(Protocol):
    """What a module of `wire` does for its API; all of it pure."""

    @property
    def PATH(self) -> str:  # noqa: N802 (a constant of the module)
        """The path to which bodies of this shape are sent."""
        ...

    def parse(self, body: object, /) -> ChatRequest:
        """Read a body."""
        ...

    def rebuilt(
        self, body: Mapping[str, Any], messages: Sequence[Message], /, *, dropped: int
    ) -> dict[str, Any]:
        """The body with other messages."""
        ...

    def reply_of(self, completion: object, /) -> Reply:
        """Read a reply."""
        ...

    def stream_reply(self) -> ReplyParts:
        """What puts a streamed reply together."""
        ...


_SHAPES: Mapping[str, Shape] = {chat.PATH: chat, responses.PATH: responses}
_ONE_RESPONSE = re.compile(responses.PATH + r"/([^/]+)(?:/cancel)?")


def shape_of(path: str) -> Shape | None:
    """The shape of bodies sent to a path; None when memory does not understand them."""
    return _SHAPES.get(path)


def retrieved_id(path: str) -> str | None:
    """The id of the response that is asked for, or cancelled, at a path."""
    match = _ONE_RESPONSE.fullmatch(path)
    return match[1] if match else None
