"""Remembers what providers' refusals taught: context lengths, the form of thoughts, messages not to put back.

`context.compose` asks for limit and dialect of each request; `call.remedy` adds a lesson after a refusal.
"""

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
"""Sessions (with host and model) whose lessons are remembered; a lesson that is pushed out costs one more
refusal."""
_LOOKED_UP = 256
"""Hosts and models whose dialect is remembered. Without that each call would try the table's patterns one
after the other."""


class Lessons:
    """The lessons of providers' refusals, and what the tables say where there was no refusal.

    Args:
        store: keeps the context lengths.
        journal: writes the context lengths.
        dialects: the table of what providers ask of messages that are put back.

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
        """Tokens that a model takes: the lower of named and guessed limit, else the table's; None unknown."""
        told = self.limits.of(which.host, which.model)
        guessed = self._guesses.get(which)
        learnt = guessed if guessed is not None and (told is None or guessed < told) else told
        return learnt if learnt is not None else context_limit(which.model or None)

    def learn_limit(self, which: EpochRef, tokens: int, *, named: bool) -> None:
        """Remember the limit after a request was too long.

        Args:
            which: the request's session, host and model.
            tokens: the limit in tokens.
            named: the provider named the limit, so it holds for the model; else it is a guess, for this
                session.
        """
        if named:
            self.limits.learn(which.host, which.model, tokens)
        else:
            self._guesses.put(which, tokens)

    def dialect(self, which: EpochRef, at: datetime) -> Dialect:
        """What the provider asks of messages that are put back: as its refusals taught, else by the table."""
        learnt = self._thoughts.get((which.host, which.model))
        if learnt is not None:
            return learnt
        key = which.host, which.model, at.astimezone(UTC).date()
        if (known := self._looked_up.get(key)) is None:
            known = self._dialects.of(which.host or None, which.model or None, at)
            self._looked_up.put(key, known)
        return known

    def learn_thoughts(self, which: EpochRef, rules: Dialect) -> bool:
        """Put thoughts back the other way from now on, as the provider named reasoning in its refusal.

        Args:
            which: the request's session, host and model.
            rules: the dialect in which the refused messages were put back.

        Returns:
            False when the other way was tried before.
        """
        if (which.host, which.model) in self._thoughts:
            return False
        wants: Reasoning = "with-tools" if rules.reasoning == "drop" else "drop"
        other = replace(rules, reasoning=wants, reasoning_as="reasoning_content")
        self._thoughts.put((which.host, which.model), other)
        return True

    def refused(self, which: EpochRef) -> frozenset[bytes]:
        """Identities of turns that this provider refused, so that their rounds are not put back."""
        return self._refused.get(which) or frozenset()

    def refuse(self, which: EpochRef, turns: Iterable[bytes]) -> None:
        """Remember that the provider refused these turns."""
        self._refused.put(which, self.refused(which) | frozenset(turns))
