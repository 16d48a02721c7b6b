"""Events: what memory did, for those who watch it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Event", "EventKind", "Hook", "emit"]

log = logging.getLogger("convmem")

EventKind = Literal["journaled", "sent", "answered", "failed", "degraded", "healed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: `journaled` (turns committed), `sent` (a request goes to the provider), `answered` (a reply
            was committed), `failed` (the provider call ended without a reply), `degraded` (memory could
            not do its part; the chat went on), `healed` (what had been waiting is written).
        detail: the same in words; never a word of the conversation.
        call: the id of the call, when it belongs to one.
        user: the owner of the memory, or None.
        session: the session, or None.
    """

    kind: EventKind
    detail: str = ""
    call: str | None = None
    user: str | None = None
    session: str | None = None


Hook = Callable[[Event], None]
"""Called with each event, on the thread where it happened; it should be quick and must not call memory."""


def emit(hooks: tuple[Hook, ...], event: Event) -> None:
    """Tell the hooks, and the `convmem` logger about trouble. A failing hook is logged and passed over."""
    if event.kind == "degraded":
        log.warning("%s", event.detail)
    elif event.kind == "healed":
        log.info("%s", event.detail)
    for hook in hooks:
        try:
            hook(event)
        except Exception:
            log.exception("a hook failed on the event %r", event.kind)
