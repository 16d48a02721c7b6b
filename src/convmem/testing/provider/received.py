"""What the local provider wrote down: requests as they came in, replies as they went out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from convmem.testing.provider.shapes import JsonObject, is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ReceivedRequest", "Served", "items_of", "parse_json"]

_BLOCK: Final = re.compile(r"<(memory|summary)>\n.*?\n</\1>\n{0,2}", re.DOTALL)
"""What memory puts in front of a user's words; what it quotes cannot close the fence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One HTTP request, recorded before anything is answered and whatever the answer will be.

    Attributes:
        n: its number, from 1, in order of arrival over all paths. Ids in the reply are made from it.
        method: `"POST"` and the like.
        path: the path without the query.
        query: what follows the question mark; empty without one.
        headers: names in lower case; a repeated header is joined with commas.
        body: the bytes exactly as received.
        json: the parsed body; None when it is empty or not JSON in UTF-8.
        json_error: why the body could not be parsed; None when it could.
        at: when it arrived, by the provider's clock (monotonic seconds unless one was given).
        endpoint: what the path stands for: `"chat"`, `"responses"`, `"conversations"`, `"embeddings"`,
            `"models"`; None for any other.
    """

    n: int
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    json: Any
    json_error: str | None
    at: float
    endpoint: str | None

    @property
    def fields(self) -> JsonObject:
        """The body when it is a JSON object, else an empty mapping."""
        return self.json if is_object(self.json) else {}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat request; empty when there are none."""
        found = self.fields.get("messages")
        return [message for message in found if is_object(message)] if is_array(found) else []

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input items of a Responses request; an input that is a text is one user message."""
        return items_of(self.fields)

    @property
    def stream(self) -> bool:
        """Whether the request asks for a stream."""
        return self.fields.get("stream") is True

    @property
    def newest_user_text(self) -> str:
        """The text of the newest user message, its text parts joined by line breaks; empty without one."""
        for message in reversed(self.messages or self.items):
            if message.get("role") == "user":
                return _text_of(message.get("content"))
        return ""

    @property
    def newest_user_words(self) -> str:
        """`newest_user_text` without the blocks that memory put in front of it: what the user wrote."""
        return _without_blocks(self.newest_user_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How the answer to one request ended.

    Attributes:
        n: the number of the request.
        status: the HTTP status; None when not even the status line was sent.
        complete: whether the whole answer was handed to the operating system. False when the client went
            away, the provider was closed, or a fault cut it.
        bytes_sent: how many bytes were handed over, head and framing included.
    """

    n: int
    status: int | None
    complete: bool
    bytes_sent: int


def parse_json(body: bytes) -> tuple[Any, str | None]:
    """Parse a body as strictly as providers do: UTF-8, no NaN, no Infinity.

    Returns:
        The value and None; or None and what is wrong.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant), None
    except UnicodeDecodeError as error:
        return None, f"the body is not valid UTF-8: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return None, f"could not parse the JSON body: {error}"


def items_of(body: JsonObject) -> list[dict[str, Any]]:
    """The input items of a Responses body; an input that is a text is one user message."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [item for item in given if is_object(item)] if is_array(given) else []


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _without_blocks(text: str) -> str:
    start = 0
    while block := _BLOCK.match(text, start):
        start = block.end()
    return text[start:]


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    if not is_array(content):
        return ""
    texts = [part.get("text") for part in content if is_object(part)]
    return "\n".join(text for text in texts if isinstance(text, str))
