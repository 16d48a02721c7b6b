"""Context lengths learnt from providers' refusals, kept with the store."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convmem.abilities import LearntLimit, Limits
from convmem.errors import StoreError

if TYPE_CHECKING:
    from convmem.protocols import Store

__all__ = ["LearntLimits"]


class LearntLimits:
    """How many tokens models take, by host and model, as their providers said when they refused a request.

    Args:
        store: keeps them, where it can; other processes then know them from their start.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], int] | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = threading.Lock()

    def of(self, host: str, model: str) -> int | None:
        """Tokens that this model of this host takes, input and output together; None when it never said."""
        return self._read().get((host, model))

    def learn(self, host: str, model: str, tokens: int, *, keep: bool) -> None:
        """A provider named its limit, or refused a request for its length.

        Args:
            host: where the model is.
            model: its name.
            tokens: the limit.
            keep: the provider named the number: it goes into the store. A guess is this process's alone.
        """
        known = self._read()
        with self._lock:
            self._known = {**known, (host, model): tokens}
        if keep and isinstance(self._store, Limits):
            self._store.put_limit(LearntLimit(host, model, tokens, datetime.now(UTC)))

    def _read(self) -> dict[tuple[str, str], int]:
        if self._known is None:
            try:
                rows = self._store.limits() if isinstance(self._store, Limits) else ()
            except StoreError:  # who reads the conversation next will say so; the limits are read again then
                return {}
            with self._lock:
                self._known = {(row.host, row.model): row.tokens for row in rows}
        return self._known
