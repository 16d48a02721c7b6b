"""The `post` and `get` of a wrapped OpenAI client: they call the SDK's own, with memory before and after.

What a path means and what is done about it is the same for every SDK, and stands in `wrap.core`. This module
has what is OpenAI's alone: options with headers and a parser, `extra_body`, stream classes, `NOT_GIVEN`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from convmem.call.scope import Scope, entered, resolve
from convmem.wire.values import Reply
from convmem.wrap.bodies import watch
from convmem.wrap.core import (
    Opened,
    acarry_out,
    ask,
    carry_out,
    open_again,
    open_call,
    read_reply,
    straight,
)
from convmem.wrap.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable

    import openai

    from convmem.call.shared import Shared
    from convmem.policy import Policy
    from convmem.providers.refusal import Refusal
    from convmem.wrap.core import Steps

__all__ = ["BINDING", "Binding", "async_get", "async_post", "sync_get", "sync_post"]

BINDING = "_convmem"
"""The attribute of a wrapped client that holds its `Binding`."""


class Binding(NamedTuple):
    """Which Memory a wrapped client is bound to, and with which scope.

    Attributes:
        shared: what all calls of the Memory share.
        scope: the scope that `wrap` was given.
        policy: the policy that `wrap` was given; None for the Memory's.
        headers: the scope that the client's default headers name; it takes precedence over the wrap's.
    """

    shared: Shared
    scope: Scope
    policy: Policy | None
    headers: Scope = Scope()


def sync_post(client: openai.OpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`OpenAI.post` with memory before and after it."""
    inner: Callable[..., Any] = type(client).post
    return carry_out(_post(client, path, given), lambda given: inner(client, path, **given))


async def async_post(client: openai.AsyncOpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`AsyncOpenAI.post` with memory before and after it."""
    inner: Callable[..., Any] = type(client).post
    steps = _post(client, path, given, blocking=False)
    return await acarry_out(steps, lambda given: inner(client, path, **given))


def sync_get(client: openai.OpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`OpenAI.get`; a response that is asked for again is journaled if it was not."""
    inner: Callable[..., Any] = type(client).get
    return carry_out(_get(client, path, given), lambda given: inner(client, path, **given))


async def async_get(client: openai.AsyncOpenAI, path: str, **given: Any) -> Any:  # noqa: ANN401 (the SDK's own signature)
    """`AsyncOpenAI.get`; a response that is asked for again is journaled if it was not."""
    inner: Callable[..., Any] = type(client).get
    steps = _get(client, path, given, blocking=False)
    return await acarry_out(steps, lambda given: inner(client, path, **given))


def _post(client: Any, path: str, given: dict[str, Any], *, blocking: bool = True) -> Steps[Any]:  # noqa: ANN401 (either client)
    """Return the steps of a POST; removes convmem's headers from `given`, as no provider is sent them."""
    shared, _, policy, _ = cast("Binding", vars(client)[BINDING])
    scope, body = _scope(client, given), _whole_body(given)
    opened = open_call(shared, path, body, scope, host=client.base_url.host, policy=policy)
    if isinstance(opened, Opened):
        return _ask(opened, given, blocking=blocking)
    return straight(shared, path, given, passage=opened)


def _get(client: object, path: str, given: dict[str, Any], *, blocking: bool = True) -> Steps[Any]:
    """Return the steps of a GET; removes convmem's headers from `given`, as no provider is sent them."""
    shared = cast("Binding", vars(client)[BINDING]).shared
    opened = open_again(shared, path, _scope(client, given))
    if opened is None:
        return straight(shared, path, given)
    return _ask(opened, given, blocking=blocking)


def _ask(opened: Opened, given: dict[str, Any], *, blocking: bool) -> Steps[Any]:
    from convmem.wrap.openai.streams import AsyncMemoryStream, MemoryStream  # noqa: PLC0415 (needs the SDK, which is there by now)

    stream_cls = MemoryStream if blocking else AsyncMemoryStream
    return ask(opened, lambda: _Request(opened, given, stream_cls))


def _scope(client: object, given: dict[str, Any]) -> Scope:
    """Return the scope of a call, and remove convmem's headers from `given`."""
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


def _whole_body(given: Mapping[str, Any]) -> object:
    """Return the body as it will be sent: with `extra_body` merged over it, as the SDK does below `post`."""
    body: object = given.get("body")
    options: Mapping[str, object] = given.get("options") or {}
    extra = options.get("extra_json")
    if isinstance(body, Mapping) and isinstance(extra, Mapping):
        return {**cast("Mapping[str, Any]", body), **cast("Mapping[str, Any]", extra)}
    return body  # pyright: ignore[reportUnknownVariableType]


class _Request:
    """One request on its way through the SDK; implements `wrap.core.Request`.

    Attributes:
        given: the arguments for the SDK's own method: the caller's, with the body that the exchange made,
            convmem's stream class, and a parser that sees the reply before the caller's own can refuse it.
        arrived: the reply as the SDK parsed it, before the caller's own parser.
    """

    def __init__(self, opened: Opened, given: Mapping[str, Any], stream_cls: Any) -> None:  # noqa: ANN401 (a generic class)
        self._opened = opened
        self._stream_cls = stream_cls
        self._unwatch: Callable[[], None] | None = None
        self.arrived: Reply | None = None
        options = dict(given.get("options") or {})
        self._parse = options.get("post_parser")
        options["post_parser"] = self._received
        self.given = {**given, "options": options}
        body = opened.exchange.body if opened.exchange is not None else None
        if body is not None:
            if options.pop("extra_json", None) is not None:
                body = {key: value for key, value in body.items() if not _is_omitted(value)}
            self.given["body"] = body
        asked = given.get("stream_cls")
        if asked is not None:
            item = cast("tuple[Any, ...]", getattr(asked, "__args__", ()))
            self.given["stream_cls"] = stream_cls[item[0]] if item else asked

    def _received(self, parsed: Any) -> Any:  # noqa: ANN401 (the SDK's parsers are untyped)
        """Note the reply, then run the caller's own parser; called by the SDK as its `post_parser`."""
        opened = self._opened
        if isinstance(parsed, self._stream_cls):
            if self._unwatch is not None:
                self._unwatch()
            tee = Tee(opened.shape, opened.recipient)
            parsed.watch(tee)
            opened.shared.streams.add(tee)
            opened.shared.receipts.put(parsed, opened.recipient)
        elif hasattr(parsed, "model_dump"):
            self.arrived = read_reply(opened, parsed)
        return self._parse(parsed) if callable(self._parse) else parsed

    def refusal(self, error: Exception) -> Refusal | None:
        """Read from the SDK's error why the provider refused the request; None when it did not."""
        status: object = getattr(error, "status_code", None)
        return self._opened.refusal(status, getattr(error, "body", None), str(error))

    def returned(self, response: object) -> Reply | None:
        """Return the reply to journal now; None when a stream or the reader of the body will bring it."""
        opened, stream = self._opened, bool(self.given.get("stream"))
        opened.shared.receipts.put(response, opened.recipient)
        if self.arrived is not None:
            return self.arrived
        http = getattr(response, "http_response", None)
        if http is None:
            return None if stream else Reply(complete=False)
        if not getattr(http, "is_stream_consumed", False):
            body = watch(http, opened.shape, opened.recipient, stream=stream)
            opened.shared.streams.add(body)
            self._unwatch = body.leave
            return None
        try:
            return read_reply(opened, json.loads(http.content))
        except (ValueError, RecursionError):
            return Reply(complete=False)


def _is_omitted(value: object) -> bool:
    return type(value).__name__ in {"Omit", "NotGiven"}
