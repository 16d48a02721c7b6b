"""An HTTP answer as a value: what to send, when to wait, where to break off. Pure.

The transport does what an `Answer` says and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from convmem.testing.provider.errors import error_body
from convmem.testing.provider.shapes import JsonObject, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from convmem.testing.provider.dialect import DialectName
    from convmem.testing.provider.fault import Fault

__all__ = [
    "Answer",
    "Piece",
    "error_answer",
    "faulty_json",
    "faulty_stream",
    "json_answer",
    "stream_answer",
    "typed_stream",
]

_JSON = {"content-type": "application/json"}
_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a body, and how long to wait before they are sent."""

    data: bytes
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything the transport does for one request, in order of the attributes.

    Attributes:
        delay_s: wait so long.
        status: then send the head; None sends nothing at all.
        headers: the head's fields besides those of the framing.
        length: the promised Content-Length; None means chunked transfer coding.
        pieces: then send the body.
        stall_s: then wait so long; infinite until the provider is closed.
        cut: then close the connection without ending the body.
    """

    delay_s: float = 0.0
    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    length: int | None = None
    pieces: Sequence[Piece] = ()
    stall_s: float = 0.0
    cut: bool = False


def json_answer(
    value: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    delay_s: float = 0.0,
    keep_alive: int = 0,
    pause_s: float = 0.0,
) -> Answer:
    """Send a value as JSON, after `keep_alive` line breaks with `pause_s` after each."""
    body = encode(value)
    signs = [Piece(b"\n", pause_s if index else 0.0) for index in range(keep_alive)]
    return Answer(
        status=status,
        headers={**_JSON, **(headers or {})},
        length=len(body) + keep_alive,
        pieces=(*signs, Piece(body, pause_s if keep_alive else 0.0)),
        delay_s=delay_s,
    )


def stream_answer(
    events: Iterable[JsonObject],
    *,
    headers: Mapping[str, str] | None = None,
    delay_s: float = 0.0,
    keep_alive: int = 0,
    comment: bytes = b": keep-alive\n\n",
    pause_s: float = 0.0,
) -> Answer:
    """Send objects as server-sent events and `[DONE]` at the end, with `pause_s` between any two."""
    signs = [comment] * keep_alive
    data = chain(signs, (_event(event) for event in events), [_DONE])
    return Answer(
        headers={**_STREAM, **(headers or {})},
        pieces=tuple(Piece(each, pause_s if index else 0.0) for index, each in enumerate(data)),
        delay_s=delay_s,
    )


def typed_stream(
    events: Iterable[JsonObject],
    *,
    headers: Mapping[str, str] | None = None,
    delay_s: float = 0.0,
    pause_s: float = 0.0,
) -> Answer:
    """Send events of the Responses API: each under its type's name, and nothing after the last."""
    data = (b"event: " + str(event["type"]).encode() + b"\n" + _event(event) for event in events)
    return Answer(
        headers={**_STREAM, **(headers or {})},
        pieces=tuple(Piece(each, pause_s if index else 0.0) for index, each in enumerate(data)),
        delay_s=delay_s,
    )


def error_answer(
    status: int,
    message: str | None,
    dialect: DialectName,
    *,
    error: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send an error in the dialect's shape."""
    return json_answer(error_body(status, message, dialect, error), status=status, headers=headers)


def faulty_json(fault: Fault, whole: Answer, dialect: DialectName) -> Answer:
    """Do a fault to an answer that would have been `whole`, a JSON body."""
    if fault.kind in {"cut", "cut_json"}:
        body = whole.pieces[-1]
        half = Piece(body.data[: len(body.data) // 2], body.pause_s)
        return replace(whole, pieces=(*whole.pieces[:-1], half), cut=True)
    if fault.kind == "stall":
        return _silence(fault)
    if fault.kind == "empty_body":
        return Answer(headers=_JSON, length=0)
    return _replaced(fault, dialect)


def faulty_stream(fault: Fault, whole: Answer, dialect: DialectName) -> Answer:
    """Do a fault to an answer that would have been `whole`, a stream of events."""
    signs = sum(piece.data.startswith(b":") for piece in whole.pieces)
    kept = whole.pieces[: signs + fault.after_chunks]
    if fault.kind == "cut_json":
        return replace(whole, pieces=whole.pieces[: signs + (len(whole.pieces) - signs) // 2], cut=True)
    if fault.kind == "cut":
        return replace(whole, pieces=kept, cut=True)
    if fault.kind == "error_event":
        body = error_body(fault.status_code, fault.message, dialect, fault.error)
        error = Piece(_event(body if isinstance(body, dict) else body[0]))
        return replace(whole, pieces=(*kept, error))
    if fault.kind == "stall":
        silence = _silence(fault)
        return (
            replace(whole, pieces=kept, stall_s=silence.stall_s, cut=True) if fault.after_chunks else silence
        )
    if fault.kind == "empty_body":
        return Answer(headers=_STREAM)
    return _replaced(fault, dialect)


def _replaced(fault: Fault, dialect: DialectName) -> Answer:
    """The faults that leave nothing of the answer: an error status, or a body that is not JSON."""
    if fault.kind == "not_json":
        page = fault.body.encode()
        return Answer(headers={"content-type": fault.content_type}, length=len(page), pieces=(Piece(page),))
    return error_answer(fault.status_code, fault.message, dialect, error=fault.error, headers=fault.headers)


def _silence(fault: Fault) -> Answer:
    return Answer(status=None, stall_s=float("inf") if fault.seconds is None else fault.seconds, cut=True)


def _event(value: JsonObject) -> bytes:
    return b"data: " + encode(value) + b"\n\n"
