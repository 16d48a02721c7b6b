"""A set of objects that keeps none of them alive and can be listed while other threads add to it."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Living"]

T = TypeVar("T")


class Living(Generic[T]):
    """A set of objects that keeps none of its members alive.

    `weakref.WeakSet` would not do: listing one fails when another thread adds to it meanwhile.
    """

    def __init__(self) -> None:
        self._things: WeakValueDictionary[int, T] = WeakValueDictionary()

    def add(self, thing: T) -> None:
        """Add an object; it leaves the set when nobody else holds it."""
        self._things[id(thing)] = thing

    def all(self) -> list[T]:
        """List the members that are alive now."""
        return [thing for ref in self._things.valuerefs() if (thing := ref()) is not None]
