"""A map that keeps the most recently used values, up to a number of values or a total weight."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the most recently used values; several threads may use it at once.

    The newest value stays, whatever it weighs.

    Args:
        most: how many values are kept.
        weigh: returns the weight of one value, say its bytes; None where only the number of values counts.
        most_weight: the weight that all values may have together, in the same unit.
    """

    def __init__(self, most: int, *, weigh: Callable[[V], int] | None = None, most_weight: int = 0) -> None:
        self._most = most
        self._weigh = weigh
        self._most_weight = most_weight
        self._lock = Lock()
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def get(self, key: K) -> V | None:
        """Return the value of a key and count it as used; None where there is none."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values that are kept, by their keys, and count them as used."""
        found: dict[K, V] = {}
        with self._lock:
            for key in keys:
                if (held := self._kept.get(key)) is not None:
                    self._kept.move_to_end(key)
                    found[key] = held[0]
        return found

    def put(self, key: K, value: V) -> V | None:
        """Keep a value, and drop the least recently used ones beyond the limits.

        Returns:
            The value that the key had before; None where it had none.
        """
        weight = self._weigh(value) if self._weigh is not None else 0
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept[key] = value, weight
            self._weight += weight - (before[1] if before is not None else 0)
            while len(self._kept) > 1 and self._too_much():
                self._weight -= self._kept.popitem(last=False)[1][1]
        return before[0] if before is not None else None

    def put_many(self, values: Mapping[K, V]) -> None:
        """Keep several values, in the order given."""
        with self._lock:
            for key, value in values.items():
                self.put(key, value)

    def _too_much(self) -> bool:
        return len(self._kept) > self._most or (self._weigh is not None and self._weight > self._most_weight)

    def pop(self, key: K) -> V | None:
        """Remove a key and return its value; None where there is none."""
        with self._lock:
            found = self._kept.pop(key, None)
            self._weight -= found[1] if found is not None else 0
        return found[0] if found is not None else None

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._kept.clear()
            self._weight = 0
