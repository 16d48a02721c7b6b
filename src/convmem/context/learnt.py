"""Remembers the context lengths that providers named in refusals, and keeps them in the store.

`context.lessons` reads and learns them; `call.remedy` has them kept; `call.exchange` tells how long a prompt
was that the model took.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convmem.abilities import LearntLimit, Limits
from convmem.errors import ClosedError, JournalError, StoreError
from convmem.journal.changes import LimitChange
from convmem.threads.locks import Lock

if TYPE_CHECKING:
    from convmem.journal.writer import Journal
    from convmem.protocols import Store

__all__ = ["LearntLimits"]

log = logging.getLogger("convmem")


class LearntLimits:
    """How many tokens models take, by host and model, as their providers said when they refused a request.

    Args:
        store: keeps the lengths, where it can; other processes then know them from their start.
        journal: writes the lengths.
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal
        self._lock = Lock()
        self._known: dict[tuple[str, str], int] | None = None
        self._took: dict[tuple[str, str], int] = {}

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = Lock()

    def of(self, host: str, model: str) -> int | None:
        """Tokens that a model takes, input and output together; None when its provider never named them."""
        return self._read().get((host, model))

    def learn(self, host: str, model: str, tokens: int) -> None:
        """Remember the limit that a provider named, for this process; `keep` tells other processes.

        Args:
            host: the provider's host.
            model: the model's name.
            tokens: the limit in tokens.
        """
        known = self._read()
        with self._lock:
            self._known = {**known, **(self._known or {}), (host, model): tokens}

    def keep(self, host: str, model: str, tokens: int) -> None:
        """Have a limit written into the store, for other processes; never waits, and never raises."""
        try:
            self._journal.submit(LimitChange(LearntLimit(host, model, tokens, datetime.now(UTC))))
        except (ClosedError, JournalError) as error:
            log.debug("a learnt context length is not kept: %s", error)

    def answered(self, host: str, model: str, tokens: int) -> None:
        """Remember that the model took a prompt of so many tokens, by its provider's count."""
        with self._lock:
            if tokens > self._took.get((host, model), 0):
                self._took[host, model] = tokens

    def took(self, host: str, model: str) -> int:
        """The longest prompt that the model took in this process, in tokens; 0 before the first."""
        return self._took.get((host, model), 0)

    def _read(self) -> dict[tuple[str, str], int]:
        """The limits by host and model; read from the store once."""
        if self._known is None:
            try:
                rows = self._store.limits() if isinstance(self._store, Limits) else ()
            except StoreError:  # the read of the conversation tells of it; limits are read again later
                return {}
            with self._lock:
                self._known = {(row.host, row.model): row.tokens for row in rows}
        return self._known
