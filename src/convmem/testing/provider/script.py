"""What the next requests get: the script that all ways of asking for a reply share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from convmem.testing.provider.fault import Fault
from convmem.testing.provider.received import ReceivedRequest
from convmem.testing.provider.reply import Reply, echo

__all__ = ["Responder", "Script", "decide"]

Responder: TypeAlias = Callable[[ReceivedRequest], Reply | Fault]
"""Decides on an answer when the request is there."""


@dataclass(slots=True)
class Script:
    """Outcomes in order, and what is used when there is none left. Refused requests take nothing from it."""

    outcomes: deque[Reply | Fault | Responder] = field(default_factory=deque[Reply | Fault | Responder])
    default: Responder = echo

    def take(self) -> Reply | Fault | Responder:
        """The next outcome."""
        return self.outcomes.popleft() if self.outcomes else self.default


def decide(outcome: Reply | Fault | Responder, request: ReceivedRequest) -> tuple[Reply, Fault | None]:
    """What to say, and what to do wrong while saying it."""
    decided = outcome if isinstance(outcome, Reply | Fault) else outcome(request)
    return (decided.reply, decided) if isinstance(decided, Fault) else (decided, None)
