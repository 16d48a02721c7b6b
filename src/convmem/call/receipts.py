"""Finds the receipt of a response, and that of the last call made in the current context.

`call.opening` registers each call (`begin`), the wrappers each response (`put`); `memory.receipt()` asks
`get` and `last`. Calls are held weakly, so that none outlives its response and its context.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from convmem.types import Receipt

__all__ = ["Receipts"]


class Accounted(Protocol):
    """A call that has a receipt: an exchange, a passage, or a response that was fetched again."""

    @property
    def receipt(self) -> Receipt | None:
        """The receipt so far; None while the call that it belongs to is not known."""
        ...


class Quoting(Accounted, Protocol):
    """A call whose receipt may hold quoted words."""

    def unquote(self, ids: Collection[str]) -> None:
        """Take the quoted words of forgotten turns out of the receipt."""
        ...


class _Place:
    """Stands in a context for the last call made there; the call itself is held by its `Receipts`.

    A context may outlive a Memory, as that of the main thread does; a call in it would keep its Memory alive.
    """

    __slots__ = ("__weakref__", "receipts")

    def __init__(self, receipts: Receipts) -> None:
        self.receipts = weakref.ref(receipts)


# The places of the current context, by the Python id of their Receipts: one for each Memory.
_LAST: ContextVar[Mapping[int, _Place]] = ContextVar("convmem_last")


class Receipts:
    """The calls of one Memory by the response they gave, for as long as the response lives, and the last one.

    Responses are found by their Python id, since they need not be hashable.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref[object], Accounted]] = {}
        self._calls: weakref.WeakSet[Quoting] = weakref.WeakSet()
        self._last: weakref.WeakKeyDictionary[_Place, Accounted] = weakref.WeakKeyDictionary()
        self._lock = Lock()

    def begin(self, call: Quoting) -> None:
        """Register a call as the last one of the current context."""
        place = _Place(self)
        with self._lock:
            self._calls.add(call)
            self._last[place] = call
        others = {id_: other for id_, other in _LAST.get({}).items() if other.receipts() is not None}
        _LAST.set({**others, id(self): place})

    def forget(self, ids: Collection[str]) -> None:
        """Take the quoted words of forgotten turns out of every receipt that may still be asked for."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.unquote(ids)

    def last(self) -> Accounted | None:
        """The last call made in the current context; None without one."""
        place = _LAST.get({}).get(id(self))
        return self._last.get(place) if place is not None else None

    def put(self, response: object, call: Accounted) -> None:
        """Register the call that a response came from."""
        name = id(response)
        try:
            ref = weakref.ref(response, lambda _: self._by_id.pop(name, None))
        except TypeError:
            return  # a plain string, when the provider sent no JSON
        with self._lock:
            self._by_id[name] = (ref, call)

    def get(self, response: object) -> Accounted | None:
        """The call that a response came from; None where that is not known."""
        ref, call = self._by_id.get(id(response), (None, None))
        return call if ref is not None and ref() is response else None
