"""The calls of a twin: what `post` and `get` do around the SDK's own.

What a path means is said by `wire`: `shape_of` for bodies that memory understands, `retrieved_id` for
responses that are asked for again. Everything else goes straight through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from convmem.call.opening import open_exchange, open_passage, open_retrieval
from convmem.call.scope import Scope, entered, resolve
from convmem.errors import InputError, JournalError, noted
from convmem.hooks import DegradedEvent, emit
from convmem.providers.refusal import read_refusal
from convmem.threads.waiting import adrive, drive
from convmem.wire import responses
from convmem.wire.shape import retrieved_id, shape_of
from convmem.wire.values import Reply, name_of
from convmem.wrap.bodies import watch
from convmem.wrap.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import openai

    from convmem.call.exchange import Exchange
    from convmem.call.passage import Passage
    from convmem.call.recipient import Recipient
    from convmem.call.shared import Shared
    from convmem.policy import Policy
    from convmem.providers.refusal import Refusal
    from convmem.wire.shape import Shape

__all__ = ["BINDING", "Binding", "async_get", "async_post", "sync_get", "sync_post"]

BINDING = "_convmem"

_CONVERSATIONS = "/conversations"
_COMPLETIONS = "/completions"
"""The old API of one text and its continuation: a model answers, and there is no conversation to keep."""
_NO_CONVERSATION = "a completion of one text is no conversation: it goes straight through, unjournaled"
_OFF = "memory is off for this call: it goes straight through, and nothing of it is read"


class Binding(NamedTuple):
    """Which memory a twin is bound to, and with which scope.

    Attributes:
        shared: what the calls of the Memory share.
        scope: as the wrap named it.
        policy: the wrap's, or None for the memory's.
        headers: the scope that headers of the client name, which go before the wrap.
    """

    shared: Shared
    scope: Scope
    policy: Policy | None
    headers: Scope = Scope()


def sync_post(client: openai.OpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`OpenAI.post` with memory before and after it."""
    opened = _open(client, path, given)
    if not isinstance(opened, _Opened):
        inner: Callable[..., Any] = type(client).post
        with _unwatched(opened, given):
            response = inner(client, path, **given)
        return _passed(client, path, given, response, opened)
    if opened.exchange is not None:
        drive(opened.exchange.before())
    return _sync_call(client, type(client).post, path, opened)


async def async_post(client: openai.AsyncOpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`AsyncOpenAI.post` with memory before and after it."""
    opened = _open(client, path, given)
    if not isinstance(opened, _Opened):
        inner: Callable[..., Any] = type(client).post
        with _unwatched(opened, given):
            response = await inner(client, path, **given)
        return _passed(client, path, given, response, opened)
    if opened.exchange is not None:
        await adrive(opened.exchange.before())
    return await _async_call(client, type(client).post, path, opened)


def sync_get(client: openai.OpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`OpenAI.get`; a response that is asked for again is journaled if it was not."""
    opened = _open_again(client, path, given)
    if opened is None:
        inner: Callable[..., Any] = type(client).get
        return inner(client, path, **given)
    return _sync_call(client, type(client).get, path, opened)


async def async_get(client: openai.AsyncOpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`AsyncOpenAI.get`; a response that is asked for again is journaled if it was not."""
    opened = _open_again(client, path, given)
    if opened is None:
        inner: Callable[..., Any] = type(client).get
        return await inner(client, path, **given)
    return await _async_call(client, type(client).get, path, opened)


class _Opened(NamedTuple):
    """A call that memory has a part in."""

    given: dict[str, Any]
    shape: Shape
    recipient: Recipient
    exchange: Exchange | None = None


def _sync_call(client: object, inner: Callable[..., Any], path: str, opened: _Opened) -> Any:  # noqa: ANN401 (the SDK's own)
    from convmem.wrap.openai.streams import MemoryStream  # noqa: PLC0415 (needs the SDK, which is there by now)

    request = _Request(client, opened, MemoryStream)
    try:
        try:
            response = inner(client, path, **request.given)
        except Exception as error:
            refusal, exchange = _refusal(error, opened), opened.exchange
            if refusal is None or exchange is None or not drive(exchange.again(refusal)):
                raise
            request = _Request(client, opened, MemoryStream)
            response = inner(client, path, **request.given)
    except BaseException as error:
        request.raised(error, opened.recipient.stopped)
        raise
    reply = request.returned(response)
    if reply is not None:
        opened.recipient.answered(reply, response=response)
    return response


async def _async_call(client: object, inner: Callable[..., Any], path: str, opened: _Opened) -> Any:  # noqa: ANN401 (the SDK's own)
    from convmem.wrap.openai.streams import AsyncMemoryStream  # noqa: PLC0415 (needs the SDK, which is there by now)

    request = _Request(client, opened, AsyncMemoryStream)
    try:
        try:
            response = await inner(client, path, **request.given)
        except Exception as error:
            refusal, exchange = _refusal(error, opened), opened.exchange
            if refusal is None or exchange is None or not await adrive(exchange.again(refusal)):
                raise
            request = _Request(client, opened, AsyncMemoryStream)
            response = await inner(client, path, **request.given)
    except BaseException as error:
        request.raised(error, opened.recipient.stop_soon)
        raise
    reply = request.returned(response)
    if reply is not None:
        await opened.recipient.aanswered(reply, response=response)
    return response


def _names_a_parameter(error: object, given: Mapping[str, Any]) -> bool:
    """Whether the error names a parameter of the request that memory has no part in."""
    named: object = cast("Mapping[str, object]", error).get("param") if isinstance(error, Mapping) else None
    body = _whole_body(given)
    if not isinstance(named, str) or not isinstance(body, Mapping):
        return False
    return named in body and named not in {"messages", "input"}


def _refusal(error: Exception, opened: _Opened) -> Refusal | None:
    """What a provider says is wrong with the request, where memory may have had a part in it."""
    status: object = getattr(error, "status_code", None)
    body: object = getattr(error, "body", None)
    exchange = opened.exchange
    if not isinstance(status, int) or exchange is None or exchange.messages is None:
        return None
    if _names_a_parameter(body, opened.given):
        return None
    refusal = read_refusal(status, body if body is not None else str(error))
    if refusal is not None and opened.shape is responses:
        return replace(refusal, message=None)  # items are not counted as messages are
    return refusal


def _open(client: Any, path: str, given: dict[str, Any]) -> _Opened | Passage | None:  # noqa: ANN401 (either client)
    """What memory does with a post. Takes our headers out of `given`.

    Returns:
        None when the call is none of memory's, a `Passage` alone when memory is off: it has a receipt then,
        and nothing of it is read.

    Raises:
        JournalError: the body cannot be journaled, and `on_error="raise"` asked to be told.
    """
    shared, _, policy, _ = cast("Binding", vars(client)[BINDING])
    scope = _scope(client, given)
    shape = shape_of(path)
    body, host = _whole_body(given), client.base_url.host
    if path == _COMPLETIONS or (shape is not None and scope.mode == "off"):
        why = _OFF if scope.mode == "off" else _NO_CONVERSATION
        return open_passage(shared, scope, model=_model(body), host=host, why=why)
    if shape is None:
        return _again(shared, path, given, scope)
    try:
        request = shape.parse(body)
    except InputError as error:
        passage = open_passage(
            shared,
            scope,
            model=_model(body),
            host=host,
            why=noted(f"the call goes straight through, unjournaled: {error}", error),
        )
        _passes(shared, passage, error)
        return _Opened(given, shape, passage)
    exchange = open_exchange(shared, request, scope, host, policy)
    return _Opened(given, shape, exchange, exchange)


def _passes(shared: Shared, passage: Passage, error: InputError) -> None:
    """A body that cannot be read goes straight through, unless only what is journaled may go out."""
    receipt = passage.receipt
    if shared.on_error == "raise" and receipt.mode != "read":
        passage.refused()
        raise JournalError(
            f"the call does not go out, because it cannot be journaled: {error}."
            ' Mend the body, or send the call with the mode "off"'
        ) from error
    detail = f"the call goes straight through: {error}"
    emit(
        shared.hooks,
        DegradedEvent(detail=detail, call=receipt.call, user=receipt.user, session=receipt.session),
    )


def _model(body: object) -> str | None:
    """The model that a body asks, whatever else is wrong with it."""
    return name_of(cast("Mapping[str, object]", body).get("model")) if isinstance(body, Mapping) else None


def _unwatched(opened: Passage | None, given: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Around a call of which memory reads nothing."""
    return opened.unwatched(stream=bool(given.get("stream"))) if opened is not None else nullcontext()


def _open_again(client: Any, path: str, given: dict[str, Any]) -> _Opened | None:  # noqa: ANN401 (either client)
    """What memory does with a get; None when it goes straight through."""
    scope = _scope(client, given)
    return _again(cast("Binding", vars(client)[BINDING]).shared, path, given, scope)


def _again(shared: Shared, path: str, given: dict[str, Any], scope: Scope) -> _Opened | None:
    response_id = retrieved_id(path)
    if response_id is None or scope.mode in {"off", "read"}:
        return None
    return _Opened(given, responses, open_retrieval(shared, response_id, scope))


def _scope(client: object, given: dict[str, Any]) -> Scope:
    """The scope of this call; takes our headers out of `given`."""
    shared, wrapped, _, said = cast("Binding", vars(client)[BINDING])
    options: Mapping[str, Any] = given.get("options") or {}
    headers = options.get("headers")
    scope, kept = resolve(
        cast("Mapping[str, object]", headers) if isinstance(headers, Mapping) else None,
        entered(shared),
        said.over(wrapped),
    )
    if kept is not None:
        given["options"] = {**options, "headers": kept}
    return scope


def _passed(
    client: object,
    path: str,
    given: Mapping[str, Any],
    response: Any,  # noqa: ANN401 (the SDK's own)
    opened: Passage | None,
) -> Any:  # noqa: ANN401 (the SDK's own)
    """Notes what went straight through and matters later: a receipt, a conversation that begins empty."""
    if opened is not None:
        cast("Binding", vars(client)[BINDING]).shared.receipts.put(response, opened)
    conversation: object = getattr(response, "id", None)
    if path == _CONVERSATIONS and isinstance(conversation, str):
        body: object = given.get("body")
        if not (isinstance(body, Mapping) and cast("Mapping[str, object]", body).get("items")):
            cast("Binding", vars(client)[BINDING]).shared.conversation_begins(conversation)
    return response


def _whole_body(given: Mapping[str, Any]) -> object:
    """The body as it will be sent: `extra_body` merged over it, as the SDK does below `post`."""
    body: object = given.get("body")
    options: Mapping[str, object] = given.get("options") or {}
    extra = options.get("extra_json")
    if isinstance(body, Mapping) and isinstance(extra, Mapping):
        return {**cast("Mapping[str, Any]", body), **cast("Mapping[str, Any]", extra)}
    return body  # pyright: ignore[reportUnknownVariableType]


class _Request:
    """One request on its way through the SDK.

    Attributes:
        given: the arguments for the SDK's own method: the caller's, with what the exchange composed, our
            stream class, and a parser that sees the reply before the caller's own parser can refuse it.
    """

    def __init__(self, client: object, opened: _Opened, stream_cls: Any) -> None:  # noqa: ANN401 (a generic class)
        given = opened.given
        self._shape = opened.shape
        self._recipient = opened.recipient
        self._shared = cast("Binding", vars(client)[BINDING]).shared
        self._stream_cls = stream_cls
        self._reply: Reply | None = None
        self._unwatch: Callable[[], None] | None = None
        options = dict(given.get("options") or {})
        self._parse = options.get("post_parser")
        options["post_parser"] = self._received
        self.given = {**given, "options": options}
        exchange = opened.exchange
        if exchange is not None and exchange.messages is not None:
            whole = cast("Mapping[str, Any]", _whole_body(given))
            body = opened.shape.rebuilt(whole, exchange.messages, dropped=exchange.receipt.dropped)
            if options.pop("extra_json", None) is not None:
                body = {key: value for key, value in body.items() if not _is_omitted(value)}
            self.given["body"] = body
        asked = given.get("stream_cls")
        if asked is not None:
            item = cast("tuple[Any, ...]", getattr(asked, "__args__", ()))
            self.given["stream_cls"] = stream_cls[item[0]] if item else asked

    def _received(self, parsed: Any) -> Any:  # noqa: ANN401 (the SDK's parsers are untyped)
        """Called by the SDK with the reply as it came, before the caller's own parser."""
        if isinstance(parsed, self._stream_cls):
            if self._unwatch is not None:
                self._unwatch()
            tee = Tee(self._shape, self._recipient)
            parsed.watch(tee)
            self._shared.streams.add(tee)
            self._shared.receipts.put(parsed, self._recipient)
        elif hasattr(parsed, "model_dump"):
            self._reply = self._read(parsed)
        return self._parse(parsed) if callable(self._parse) else parsed

    def raised(self, error: BaseException, stopped: Callable[[Reply, BaseException], None]) -> None:
        """The call raised; a reply that arrived before (the caller's parser refused it) is kept."""
        stopped(self._reply or Reply(complete=False), error)

    def returned(self, response: object) -> Reply | None:
        """The reply to journal now; None when a stream, or whoever reads the response, will bring it."""
        self._shared.receipts.put(response, self._recipient)
        if self._reply is not None:
            return self._reply
        http = getattr(response, "http_response", None)
        if http is None:
            return None if self.given.get("stream") else Reply(complete=False)
        if not getattr(http, "is_stream_consumed", False):
            body = watch(http, self._shape, self._recipient, stream=bool(self.given.get("stream")))
            self._shared.streams.add(body)
            self._unwatch = body.leave
            return None
        try:
            return self._read(json.loads(http.content))
        except (ValueError, RecursionError):
            return Reply(complete=False)

    def _read(self, reply: object) -> Reply:
        """The reply; whatever is odd about it, the caller gets it."""
        try:
            return self._shape.reply_of(reply)
        except Exception as error:  # noqa: BLE001 (an edge: what memory cannot read is no trouble of the caller's)
            emit(self._shared.hooks, DegradedEvent(detail=f"the reply cannot be read: {error}"))
            return Reply(complete=False)


def _is_omitted(value: object) -> bool:
    return type(value).__name__ in {"Omit", "NotGiven"}
