"""Makes a twin of an OpenAI client that has a memory, and leaves the client as it is.

The twin is an object of the same class that shares the client's state, but has resources (such as `chat`) and
the methods `post` and `get` of its own. `client.copy()` would not do: it loses instance attributes and
`_strict_response_validation`, and fails for subclasses with their own `__init__`. A patched transport would
not do either: openai 3 moved from httpx to httpx2.
"""

from __future__ import annotations

import sys
import types
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar, cast

from convmem.call.scope import Scope, read_headers
from convmem.errors import WrapError
from convmem.wrap.openai.calls import BINDING, Binding, async_get, async_post, sync_get, sync_post

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.call.shared import Shared
    from convmem.policy import Policy

__all__ = ["wrap_client"]

ClientT = TypeVar("ClientT")

_HEADERS = "_custom_headers"
"""Where the SDK keeps `default_headers`."""

_OWN = frozenset({BINDING, "post", "get", "copy", "with_options"})
"""Attributes that a twin has of its own, so that they are not taken from the client."""


def wrap_client(client: ClientT, shared: Shared, scope: Scope, policy: Policy | None) -> ClientT:
    """Make a twin of a client, bound to the Memory whose calls share these values.

    Raises:
        WrapError: the client is no OpenAI client, or another tool has patched it in place.
        ScopeError: one of convmem's headers among the client's default headers is empty or unknown.
    """
    _check(client)
    bound = cast("Binding | None", vars(client).get(BINDING))
    return _twin(client, Binding(shared, scope, policy, bound.headers if bound is not None else Scope()))


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
    """Name the first method that was replaced on the client object or on one of its cached resources."""
    own = vars(client)
    ours = _OWN if BINDING in own else frozenset[str]()
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
    """Make an object of the same class and state, but with resources, `post` and `get` of its own."""
    cls = type(client)
    twin = object.__new__(cls)
    for name, value in vars(client).items():
        if name in _OWN or _is_cached(cls, name) or getattr(value, "_client", None) is client:
            continue
        if isinstance(value, types.MethodType) and value.__self__ is client:
            value = types.MethodType(value.__func__, twin)  # noqa: PLW2901 (bound to the twin instead)
        vars(twin)[name] = value
    said, kept = read_headers(vars(twin).get(_HEADERS))
    if kept is not None:  # convmem's headers are removed: no provider is sent them
        vars(twin)[_HEADERS] = kept
        binding = binding._replace(headers=said.over(binding.headers))
    is_async = isinstance(client, sys.modules["openai"].AsyncOpenAI)
    post, get = (async_post, async_get) if is_async else (sync_post, sync_get)

    def copy(self: ClientT, **options: Any) -> ClientT:  # noqa: ANN401 (the SDK's own, passed through)
        anew = options.get("set_default_headers") is not None
        bound = binding._replace(headers=Scope()) if anew else binding
        return _twin(cast("ClientT", cast("Any", cls).copy(self, **options)), bound)

    ours = {"post": post, "get": get, "copy": copy, "with_options": copy}
    own = {
        name: types.MethodType(_looking_like(method, getattr(cls, name)), twin)
        for name, method in ours.items()
    }
    vars(twin).update({BINDING: binding, **own})
    return twin


def _looking_like(method: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a method, with the name, the signature and the documentation of the SDK's own.

    It is a copy because the one method serves clients of all classes, whose signatures may differ. It is no
    wrapper around the method because a coroutine function would not be seen as one behind a wrapper.
    """
    own = cast("types.FunctionType", method)
    copied = types.FunctionType(
        own.__code__, own.__globals__, own.__name__, own.__defaults__, own.__closure__
    )
    return update_wrapper(copied, theirs)
