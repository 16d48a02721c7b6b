"""Which call a response came from, and which call the current context made last."""

from __future__ import annotations

import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

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


# The last call in this context, by the id of its Receipts.
_LAST: ContextVar[Mapping[int, Accounted]] = ContextVar("convmem_last")


class Receipts:
    """Accounteds by the response they ended in, for as long as that lives. Responses need not be hashable."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref[object], Accounted]] = {}
        self._calls: weakref.WeakSet[Quoting] = weakref.WeakSet()
        self._lock = threading.Lock()

    def begin(self, call: Quoting) -> None:
        """A call was made in this context."""
        with self._lock:
            self._calls.add(call)
        _LAST.set({**_LAST.get({}), id(self): call})

    def forget(self, ids: Collection[str]) -> None:
        """These turns were forgotten: no receipt that may still be asked for tells their words."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.unquote(ids)

    def last(self) -> Accounted | None:
        """The last call made in this context."""
        return _LAST.get({}).get(id(self))

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
