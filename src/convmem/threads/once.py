"""Makes a value once, at first use: with threads racing for it, and with the process forking meanwhile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Once", "lazy"]

T = TypeVar("T")


class Once(Generic[T]):
    """A value made at first use and kept. When making it fails, the next use tries again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: tuple[T, int] | None = None

    def __call__(self) -> T:
        """Return the value; the first thread that asks makes it, others wait for that thread."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make(), os.getpid()
        return self._made[0]

    @property
    def inherited(self) -> bool:
        """Whether the value was made in the parent process, before this one was forked off."""
        return self._made is not None and self._made[1] != os.getpid()


class lazy(Generic[T]):  # noqa: N801 (a decorator, used like `property`)
    """A property whose value is worked out at first use and kept with its object; no lock is held meanwhile.

    Two threads that ask at once both work the value out, so both must come to the same. Python 3.11's
    `cached_property` has one lock for all objects of a class: threads would wait for each other's objects,
    and a child forked meanwhile would wait for ever.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, thing: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, thing: object, owner: type | None = None) -> T: ...
    def __get__(self, thing: object | None, owner: type | None = None) -> Self | T:
        """Work the value out and set it as an attribute of the object, where Python looks first next time."""
        if thing is None:
            return self
        value: T = self._work_out(thing)
        vars(thing)[self._name] = value
        return value
