"""What providers' refusals taught: context lengths, how thoughts are put back, messages that are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from convmem.context.learnt import LearntLimits
from convmem.providers.limits import context_limit
from convmem.threads.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from convmem.abilities import EpochRef
    from convmem.journal.writer import Journal
    from convmem.protocols import Store
    from convmem.providers.dialect import Dialect
    from convmem.providers.dialects import Dialects
    from convmem.providers.profile import Reasoning

__all__ = ["Lessons"]

_WINDOWS = 1_024
_LOOKED_UP = 256
"""Hosts and models whose row of the table is remembered: the table has a pattern for each, and they are tried
one after the other."""


class Lessons:
    """What providers' refusals taught, and what the tables say where they taught nothing.

    Args:
        store: keeps the context lengths.
        journal: writes them.
        dialects: what providers ask of messages that are put back.

    Attributes:
        limits: context lengths by host and model, as providers named them.
    """

    def __init__(self, store: Store, journal: Journal, dialects: Dialects) -> None:
        self._dialects = dialects
        self.limits = LearntLimits(store, journal)
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self.limits.after_fork()
        self._refused: Recent[EpochRef, frozenset[bytes]] = Recent(_WINDOWS)
        self._thoughts: Recent[tuple[str, str], Dialect] = Recent(_WINDOWS)
        self._guesses: Recent[EpochRef, int] = Recent(_WINDOWS)
        self._looked_up: Recent[tuple[str, str, date], Dialect] = Recent(_LOOKED_UP)

    def limit(self, which: EpochRef) -> int | None:
        """Tokens that a model takes: as its provider said, or as its refusals tell, else by the table."""
        told = self.limits.of(which.host, which.model)
        guessed = self._guesses.get(which)
        learnt = guessed if guessed is not None and (told is None or guessed < told) else told
        return learnt if learnt is not None else context_limit(which.model or None)

    def learn_limit(self, which: EpochRef, tokens: int, *, named: bool) -> None:
        """A request was too long: its provider named the limit, or it is a guess, for this session alone."""
        if named:
            self.limits.learn(which.host, which.model, tokens)
        else:
            self._guesses.put(which, tokens)

    def dialect(self, which: EpochRef, at: datetime) -> Dialect:
        """What is asked of messages that are put back: by the table, and by what was refused before."""
        learnt = self._thoughts.get((which.host, which.model))
        if learnt is not None:
            return learnt
        key = which.host, which.model, at.astimezone(UTC).date()
        if (known := self._looked_up.get(key)) is None:
            known = self._dialects.of(which.host or None, which.model or None, at)
            self._looked_up.put(key, known)
        return known

    def learn_thoughts(self, which: EpochRef, rules: Dialect) -> bool:
        """The provider named reasoning when it refused messages in this dialect: do it the other way.

        Returns:
            False when that was tried before.
        """
        if (which.host, which.model) in self._thoughts:
            return False
        wants: Reasoning = "with-tools" if rules.reasoning == "drop" else "drop"
        other = replace(rules, reasoning=wants, reasoning_as="reasoning_content")
        self._thoughts.put((which.host, which.model), other)
        return True

    def refused(self, which: EpochRef) -> frozenset[bytes]:
        """Turns that this provider refused, so that their rounds are not put back."""
        return self._refused.get(which) or frozenset()

    def refuse(self, which: EpochRef, turns: Iterable[bytes]) -> None:
        """The provider refused these turns."""
        self._refused.put(which, self.refused(which) | frozenset(turns))
