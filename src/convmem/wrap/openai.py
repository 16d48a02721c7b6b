"""A twin of an OpenAI client that remembers.

The twin shares everything with the client but its resources and has its own `post`; the client is not
touched. `client.copy()` would not do: it loses instance attributes and `_strict_response_validation`, and
fails for subclasses with their own `__init__`. A patched transport would not do either: openai 3 moved from
httpx to httpx2.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from convmem.errors import InputError, WrapError
from convmem.hooks import DegradedEvent, emit
from convmem.wire import chat

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai

    from convmem.engine import Engine
    from convmem.exchange import Exchange
    from convmem.policy import Policy
    from convmem.scope import Scope
    from convmem.wire.chat import Reply

__all__ = ["wrap_client"]

ClientT = TypeVar("ClientT")

_BINDING = "_convmem"
_OWN = frozenset({_BINDING, "post", "copy", "with_options"})


class Binding(NamedTuple):
    """Which memory a twin is bound to, and with which scope."""

    engine: Engine
    scope: Scope
    policy: Policy | None


def wrap_client(client: ClientT, engine: Engine, scope: Scope, policy: Policy | None) -> ClientT:
    """A twin of the client, bound to the memory of that engine.

    Raises:
        WrapError: what is handed in is no OpenAI client, or another tool has patched it in place.
    """
    _check(client)
    return _twin(client, Binding(engine, scope, policy))


def _check(client: object) -> None:
    if isinstance(client, types.ModuleType):
        raise WrapError(f"{client.__name__} is a module; make a client first: memory.wrap(openai.OpenAI())")
    if isinstance(client, type):
        raise WrapError(
            f"{client.__name__} is a class; make a client first: memory.wrap({client.__name__}())"
        )
    sdk = sys.modules.get("openai")
    if sdk is None or not isinstance(client, sdk.OpenAI | sdk.AsyncOpenAI):
        raise WrapError(
            f"a {type(client).__module__}.{type(client).__qualname__} cannot be wrapped; pass an"
            " openai.OpenAI or openai.AsyncOpenAI client, or use memory.record() with another SDK"
        )
    if patched := _patched(client):
        raise WrapError(
            f"{patched} was replaced on this client object by another tool, and a twin would lose that; wrap"
            " first and let the other tool patch the wrapped client: tool(memory.wrap(client))"
        )


def _patched(client: object) -> str | None:
    """The first method that was replaced on the client object itself or on one of its cached resources."""
    own = vars(client)
    ours = _OWN if _BINDING in own else frozenset[str]()
    for name, value in own.items():
        if name not in ours and _is_method(type(client), name):
            return f"client.{name}"
        if _is_cached(type(client), name) and (inner := _patched_resource(value)):
            return f"client.{name}{inner}"
    return None


def _patched_resource(resource: object) -> str | None:
    for name, value in vars(resource).items() if hasattr(resource, "__dict__") else ():
        if _is_method(type(resource), name):
            return f".{name}"
        if _is_cached(type(resource), name) and (inner := _patched_resource(value)):
            return f".{name}{inner}"
    return None


def _is_method(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), types.FunctionType)


def _is_cached(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), cached_property)


def _twin(client: ClientT, binding: Binding) -> ClientT:
    """An object of the same class with the same state, but its own resources and its own `post`."""
    cls = type(client)
    twin = object.__new__(cls)
    for name, value in vars(client).items():
        if name in _OWN or _is_cached(cls, name) or getattr(value, "_client", None) is client:
            continue
        if isinstance(value, types.MethodType) and value.__self__ is client:
            value = types.MethodType(value.__func__, twin)  # noqa: PLW2901 (bound to the twin instead)
        vars(twin)[name] = value
    post = _async_post if _is_async(client) else _sync_post

    def copy(**options: Any) -> ClientT:  # noqa: ANN401 (the SDK's own, passed through)
        return _twin(cast("ClientT", cast("Any", cls).copy(twin, **options)), binding)

    vars(twin).update(
        {_BINDING: binding, "post": types.MethodType(post, twin), "copy": copy, "with_options": copy}
    )
    return twin


def _is_async(client: object) -> bool:
    return isinstance(client, sys.modules["openai"].AsyncOpenAI)


def _sync_post(client: openai.OpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`OpenAI.post` with memory before and after it."""
    inner: Callable[..., Any] = type(client).post
    exchange = _start(client, path, given)
    if exchange is None:
        return inner(client, path, **given)
    exchange.begin()
    from convmem.wrap.streams import MemoryStream  # noqa: PLC0415 (needs the SDK, which is there by now)

    request = _Request(client, exchange, given, MemoryStream)
    try:
        response = inner(client, path, **request.given)
    except BaseException as error:
        request.raised(error, exchange.stopped)
        raise
    reply = request.returned(response)
    if reply is not None:
        exchange.answered(reply, response=response)
    return response


async def _async_post(client: openai.AsyncOpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`AsyncOpenAI.post` with memory before and after it."""
    inner: Callable[..., Any] = type(client).post
    exchange = _start(client, path, given)
    if exchange is None:
        return await inner(client, path, **given)
    await exchange.abegin()
    from convmem.wrap.streams import AsyncMemoryStream  # noqa: PLC0415 (needs the SDK, which is there by now)

    request = _Request(client, exchange, given, AsyncMemoryStream)
    try:
        response = await inner(client, path, **request.given)
    except BaseException as error:
        request.raised(error, exchange.stop_soon)
        raise
    reply = request.returned(response)
    if reply is not None:
        await exchange.aanswered(reply, response=response)
    return response


def _start(client: Any, path: str, given: dict[str, Any]) -> Exchange | None:  # noqa: ANN401 (either client)
    """The exchange of this call; None when it goes straight through. Takes our headers out of `given`."""
    engine, wrapped, policy = cast("Binding", vars(client)[_BINDING])
    options: Mapping[str, Any] = given.get("options") or {}
    headers = options.get("headers")
    given_headers = cast("Mapping[str, object]", headers) if isinstance(headers, Mapping) else None
    scope, kept = engine.resolve(given_headers, wrapped)
    if kept is not None:
        given["options"] = {**options, "headers": kept}
    if path != chat.PATH or scope.mode == "off":
        return None
    try:
        request = chat.parse(_whole_body(given))
    except InputError as error:
        emit(engine.hooks, DegradedEvent(detail=f"the call goes straight through: {error}"))
        return None
    return engine.exchange(request, scope, client.base_url.host, policy) if request.turns else None


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
        given: the arguments for the SDK's own `post`: the caller's, with the messages of the exchange, our
            stream class, and a parser that sees the reply before the caller's own parser can refuse it.
    """

    def __init__(self, client: object, exchange: Exchange, given: dict[str, Any], stream_cls: Any) -> None:  # noqa: ANN401 (a generic class)
        self._exchange = exchange
        self._engine = cast("Binding", vars(client)[_BINDING]).engine
        self._stream_cls = stream_cls
        self._reply: Reply | None = None
        options = dict(given.get("options") or {})
        self._parse = options.get("post_parser")
        options["post_parser"] = self._received
        self.given = {**given, "options": options}
        if exchange.messages is not None:
            body = {**cast("Mapping[str, Any]", _whole_body(given)), "messages": exchange.messages}
            extra = options.pop("extra_json", None)
            if extra is not None:
                body = {key: value for key, value in body.items() if not _is_omitted(value)}
            self.given["body"] = body
        asked = given.get("stream_cls")
        if asked is not None:
            item = cast("tuple[Any, ...]", getattr(asked, "__args__", ()))
            self.given["stream_cls"] = stream_cls[item[0]] if item else asked

    def _received(self, parsed: Any) -> Any:  # noqa: ANN401 (the SDK's parsers are untyped)
        """Called by the SDK with the reply as it came, before the caller's own parser."""
        from convmem.wrap.streams import Tee  # noqa: PLC0415 (needs the SDK, which is there by now)

        if isinstance(parsed, self._stream_cls):
            parsed.tee = Tee(self._exchange)
            self._engine.streams.add(parsed.tee)
            self._engine.receipts.put(parsed, self._exchange)
        elif hasattr(parsed, "model_dump"):
            self._reply = chat.reply_of(parsed)
        return self._parse(parsed) if callable(self._parse) else parsed

    def raised(self, error: BaseException, stopped: Callable[[Reply, BaseException], None]) -> None:
        """The call raised; a reply that arrived before (the caller's parser refused it) is kept."""
        stopped(self._reply or chat.Reply(complete=False), error)

    def returned(self, response: object) -> Reply | None:
        """The reply to journal now; None when a stream will bring it."""
        self._engine.receipts.put(response, self._exchange)
        if self._reply is not None:
            return self._reply
        if self.given.get("stream"):
            return None
        return _raw_reply(response)


def _raw_reply(response: object) -> Reply | None:
    """The reply in a raw response that nobody parsed yet."""
    http = getattr(response, "http_response", None)
    if http is None or not getattr(http, "is_stream_consumed", False):
        return chat.Reply(complete=False) if http is None else None
    try:
        return chat.reply_of(json.loads(http.content))
    except ValueError:
        return chat.Reply(complete=False)


def _is_omitted(value: object) -> bool:
    return type(value).__name__ in {"Omit", "NotGiven"}
