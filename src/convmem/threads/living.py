"""Things that are known for as long as they live, and can be listed while other threads add some."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Living"]

T = TypeVar("T")


class Living(Generic[T]):
    """A set that keeps none of its members alive.

    `weakref.WeakSet` is not it: listing one fails when another thread adds to it meanwhile.
    """

    def __init__(self) -> None:
        self._things: WeakValueDictionary[int, T] = WeakValueDictionary()

    def add(self, thing: T) -> None:
        """Know this thing until nobody holds it."""
        self._things[id(thing)] = thing

    def all(self) -> list[T]:
        """Those that live now."""
        return [thing for ref in self._things.valuerefs() if (thing := ref()) is not None]
