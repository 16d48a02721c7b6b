"""Which call a response came from, and which call the current context made last."""

from __future__ import annotations

import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convmem.exchange import Exchange

__all__ = ["Receipts"]

# The exchange of the last call in this context, by the id of its Receipts.
_LAST: ContextVar[Mapping[int, Exchange]] = ContextVar("convmem_last")


class Receipts:
    """Exchanges by the response they ended in, for as long as that lives. Responses need not be hashable."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref[object], Exchange]] = {}
        self._lock = threading.Lock()

    def begin(self, exchange: Exchange) -> None:
        """A call was made in this context."""
        _LAST.set({**_LAST.get({}), id(self): exchange})

    def last(self) -> Exchange | None:
        """The last call made in this context."""
        return _LAST.get({}).get(id(self))

    def put(self, response: object, exchange: Exchange) -> None:
        """This response came from that call."""
        name = id(response)
        try:
            ref = weakref.ref(response, lambda _: self._by_id.pop(name, None))
        except TypeError:
            return  # a plain string, when the provider sent no JSON
        with self._lock:
            self._by_id[name] = (ref, exchange)

    def get(self, response: object) -> Exchange | None:
        """The call this response came from."""
        ref, exchange = self._by_id.get(id(response), (None, None))
        return exchange if ref is not None and ref() is response else None
