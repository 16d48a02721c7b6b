"""Which call a response came from, and which call the current context made last."""

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
    """What has a receipt: an exchange, or a response that was asked for again."""

    @property
    def receipt(self) -> Receipt | None:
        """The account so far."""
        ...


class Quoting(Accounted, Protocol):
    """A call whose receipt tells what was quoted."""

    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten."""
        ...


class _Place:
    """Stands in a context for the last call made there; the call itself is held by its Receipts.

    A context may outlive a Memory, as that of the main thread does; calls in it would keep their Memory.
    """

    __slots__ = ("__weakref__", "receipts")

    def __init__(self, receipts: Receipts) -> None:
        self.receipts = weakref.ref(receipts)


# The places of this context, by the ids of their Receipts.
_LAST: ContextVar[Mapping[int, _Place]] = ContextVar("convmem_last")


class Receipts:
    """Accounteds by the response they ended in, for as long as that lives. Responses need not be hashable."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref[object], Accounted]] = {}
        self._calls: weakref.WeakSet[Quoting] = weakref.WeakSet()
        self._last: weakref.WeakKeyDictionary[_Place, Accounted] = weakref.WeakKeyDictionary()
        self._lock = Lock()

    def begin(self, call: Quoting) -> None:
        """A call was made in this context."""
        place = _Place(self)
        with self._lock:
            self._calls.add(call)
            self._last[place] = call
        others = {id_: other for id_, other in _LAST.get({}).items() if other.receipts() is not None}
        _LAST.set({**others, id(self): place})

    def forget(self, ids: Collection[str]) -> None:
        """These turns were forgotten: no receipt that may still be asked for tells their words."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.unquote(ids)

    def last(self) -> Accounted | None:
        """The last call made in this context."""
        place = _LAST.get({}).get(id(self))
        return self._last.get(place) if place is not None else None

    def put(self, response: object, call: Accounted) -> None:
        """This response came from that call."""
        name = id(response)
        try:
            ref = weakref.ref(response, lambda _: self._by_id.pop(name, None))
        except TypeError:
            return  # a plain string, when the provider sent no JSON
        with self._lock:
            self._by_id[name] = (ref, call)

    def get(self, response: object) -> Accounted | None:
        """The call this response came from."""
        ref, call = self._by_id.get(id(response), (None, None))
        return call if ref is not None and ref() is response else None
