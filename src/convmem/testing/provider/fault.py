"""What the local provider is told to do wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from convmem.testing.provider.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fault", "FaultKind"]

FaultKind: TypeAlias = Literal["cut", "cut_json", "empty_body", "error_event", "not_json", "stall", "status"]

_HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which a provider fails. Made by the class methods, which say what happens.

    Attributes:
        kind: which class method made it.
        reply: what would have been said; ignored by the embeddings endpoint, which has its vectors.
        status_code: the HTTP status of an error.
        message: the text of an error; by default the usual one of the status.
        error: fields that replace those of the error object: type, code, param or unknown ones.
        seconds: how long a stall lasts; None lasts until the provider is closed.
        after_chunks: after how many data events of a stream the fault happens.
        body: what is sent instead of JSON.
        content_type: and as what.
        headers: response headers, over the usual ones.
    """

    kind: FaultKind
    reply: Reply = field(default_factory=lambda: Reply("This reply was not to arrive."))
    status_code: int = 500
    message: str | None = None
    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds: float | None = None
    after_chunks: int = 0
    body: str = ""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.after_chunks < 0:
            raise ValueError(f"after_chunks must not be negative, got {self.after_chunks}")

    @classmethod
    def status(
        cls,
        code: int,
        message: str | None = None,
        *,
        retry_after: float | str | None = None,
        error: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fault:
        """Answer with an error status and an error in the dialect's shape.

        Args:
            code: the HTTP status, 400 to 599.
            message: the text of the error.
            retry_after: seconds or an HTTP date for the `retry-after` header.
            error: fields that replace those of the error object.
            headers: more response headers.

        Raises:
            ValueError: the status is not that of an error.
        """
        if not 400 <= code <= 599:  # noqa: PLR2004 - the HTTP classes of errors
            raise ValueError(f"an error status is 400 to 599, got {code}")
        waiting = {} if retry_after is None else {"retry-after": str(retry_after)}
        return cls(
            kind="status",
            status_code=code,
            message=message,
            error=dict(error or {}),
            headers={**waiting, **(headers or {})},
        )

    @classmethod
    def stall(
        cls, seconds: float | None = None, *, reply: Reply | None = None, after_chunks: int = 0
    ) -> Fault:
        """Take the request, say nothing for so long, then close the connection.

        With a reply the silence begins after so many data events of its stream; a JSON reply is not begun.
        Closing the provider ends the stall at once.
        """
        return cls(
            kind="stall", seconds=seconds, reply=reply or Reply(), after_chunks=after_chunks if reply else 0
        )

    @classmethod
    def cut(cls, reply: Reply, *, after_chunks: int) -> Fault:
        """Close the connection in mid-stream, after so many data events and without the last HTTP chunk.

        What was sent before still arrives: the connection ends in order on the TCP level. A request that
        does not stream gets what `cut_json` does.
        """
        return cls(kind="cut", reply=reply, after_chunks=after_chunks)

    @classmethod
    def cut_json(cls, reply: Reply | None = None) -> Fault:
        """Promise a whole JSON body and close the connection after half of it.

        A request that streams gets half of the data events, without the last HTTP chunk.
        """
        return cls(kind="cut_json") if reply is None else cls(kind="cut_json", reply=reply)

    @classmethod
    def error_event(cls, reply: Reply, *, after_chunks: int, message: str | None = None) -> Fault:
        """Send a data event with an error object in mid-stream, then end the stream without `[DONE]`.

        A request that does not stream gets the same error with status 500.
        """
        return cls(kind="error_event", reply=reply, after_chunks=after_chunks, message=message)

    @classmethod
    def not_json(cls, body: str = _HTML, *, content_type: str = "text/html") -> Fault:
        """Answer 200 with something that is not JSON, such as the page of a proxy."""
        return cls(kind="not_json", body=body, content_type=content_type)

    @classmethod
    def empty_body(cls) -> Fault:
        """Answer 200 with an empty body; a request that streams gets a stream without any event."""
        return cls(kind="empty_body")
