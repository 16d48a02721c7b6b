"""Events that tell hooks what memory did.

    def watch(event: convmem.Event) -> None:
        match event:
            case hooks.RecalledEvent(recalled=quoted):
                print("quoted", [turn.id for turn in quoted])
            case hooks.DegradedEvent(detail=detail):
                alert(detail)

    memory = convmem.Memory("chat.db", hooks=[watch])

A hook is called on the thread where the event happened; it should be quick and must not call memory. Errors
that it raises are logged, the first time with the traceback, and go no further. Events hold no word of the
conversation, unless the hook asks for them, see `with_content`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from typing import Self

    from convmem.types import Message, Mode, Recalled, State, Tokens

__all__ = [
    "AnsweredEvent",
    "AssembledEvent",
    "CutEvent",
    "DegradedEvent",
    "EmbeddedEvent",
    "Event",
    "EventKind",
    "FailedEvent",
    "Guarded",
    "HealedEvent",
    "Hook",
    "JournaledEvent",
    "LoggingHook",
    "RecalledEvent",
    "SentEvent",
    "emit",
    "with_content",
]

log = logging.getLogger("convmem")

EventKind = Literal[
    "journaled",
    "recalled",
    "assembled",
    "sent",
    "answered",
    "failed",
    "cut",
    "embedded",
    "degraded",
    "healed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: the name of the event's class, such as `"recalled"`.
        detail: what happened, in a sentence for people; never a word of the conversation.
        call: the id of the call that the event belongs to, or None.
        user: the owner of the memory, or None.
        session: the session, or None.
    """

    kind: ClassVar[EventKind]
    detail: str = ""
    call: str | None = None
    user: str | None = None
    session: str | None = None

    def without_content(self) -> Self:
        """Return the same event without a word of the conversation."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledEvent(Event):
    """Turns of a call were committed: the caller's before the provider call, the reply after it.

    Attributes:
        turns: ids of the new turns; empty when all were known already.
        late: the write took longer than the call could wait, so the call had gone on without it.
    """

    kind: ClassVar[EventKind] = "journaled"
    turns: tuple[str, ...] = ()
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledEvent(Event):
    """Older turns were quoted in a request; there is no event when nothing was quoted.

    Attributes:
        recalled: the turns, as on the receipt; their `text` is empty for hooks without content.
        tokens: tokens of the whole block of quoted turns.
    """

    kind: ClassVar[EventKind] = "recalled"
    recalled: tuple[Recalled, ...] = ()
    tokens: int = 0

    def without_content(self) -> Self:
        """Return the event with ids, scores, reasons and tokens of the turns, but without their texts."""
        return replace(self, recalled=tuple(replace(turn, text="") for turn in self.recalled))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledEvent(Event):
    """A request was composed.

    Attributes:
        tokens: tokens of the request by section.
        restored: how many earlier messages were put back.
        dropped: how many messages of the caller were left out.
        prefix_tokens: tokens at the beginning that are the same as in the request before, so that the
            provider can read them from its cache; None when that is not known.
        changed: the request differs from what the caller sent.
        messages: all messages that are sent, for hooks with content; else None.
    """

    kind: ClassVar[EventKind] = "assembled"
    tokens: Tokens
    restored: int = 0
    dropped: int = 0
    prefix_tokens: int | None = None
    changed: bool = False
    messages: tuple[Message, ...] | None = None

    def without_content(self) -> Self:
        """Return the event with its counts, but without the messages."""
        return replace(self, messages=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent(Event):
    """A request goes to the provider; hooks are told on the caller's own thread.

    Attributes:
        model: the model asked.
        host: the provider's host.
        mode: what memory may do for the call.
        ms: milliseconds that each step took so far, as on the receipt.
    """

    kind: ClassVar[EventKind] = "sent"
    model: str | None = None
    host: str | None = None
    mode: Mode = "on"
    ms: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredEvent(Event):
    """A reply came: whole, or as far as it arrived before it was broken off.

    Attributes:
        model: the model asked.
        host: the provider's host.
        state: `"answered"` for a whole reply, `"partial"` for one that was broken off.
        usage: the provider's own usage fields, None when it sent none.
        ms: milliseconds that each step took, as on the receipt.
        error: the name of the exception that broke the reply off; empty when the caller closed it.
    """

    kind: ClassVar[EventKind] = "answered"
    model: str | None = None
    host: str | None = None
    state: State = "answered"
    usage: Mapping[str, Any] | None = None
    ms: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEvent(Event):
    """The provider call ended without any part of a reply.

    Attributes:
        model: the model asked.
        host: the provider's host.
        ms: milliseconds that each step took, as on the receipt.
        error: the name of the exception; empty when the call was closed before anything came.
    """

    kind: ClassVar[EventKind] = "failed"
    model: str | None = None
    host: str | None = None
    ms: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutEvent(Event):
    """Rounds left the window, and a new epoch began.

    Attributes:
        rounds: how many rounds left.
        summary_tokens: tokens of the summary that stands for them; 0 when there is none.
    """

    kind: ClassVar[EventKind] = "cut"
    rounds: int = 0
    summary_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedEvent(Event):
    """The vectors of new turns were made, in the background.

    Attributes:
        turns: how many turns were embedded.
        ms: milliseconds that it took.
        fingerprint: the embedder's fingerprint, which names its model.
    """

    kind: ClassVar[EventKind] = "embedded"
    turns: int = 0
    ms: float = 0.0
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedEvent(Event):
    """Memory could not do its part, as `detail` says; the chat went on."""

    kind: ClassVar[EventKind] = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedEvent(Event):
    """Writes that had been waiting for the store are done, as `detail` says."""

    kind: ClassVar[EventKind] = "healed"


Hook = Callable[[Event], None]
"""A function that is called with every event."""


@dataclass(frozen=True, slots=True)
class _WithContent:
    hook: Hook
    content: ClassVar[bool] = True

    def __call__(self, event: Event) -> None:
        self.hook(event)


def with_content(hook: Hook) -> Hook:
    """Return the hook in a form that gets the words of the conversation too.

    Events then have the texts of `recalled` turns and the `messages` of a composed request. A hook that is an
    object may as well have an attribute `content` that is True.
    """
    return _WithContent(hook)


@dataclass(frozen=True, slots=True)
class LoggingHook:
    """Writes every event as one line of a log, its fields beside it as `extra={"convmem": {...}}`.

    Degraded and healed events are left out: convmem logs them in any case, with or without this hook.

    Attributes:
        logger: the logger to write to.
        level: the level of the lines.
    """

    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("convmem.events"))
    level: int = logging.INFO

    def __call__(self, event: Event) -> None:
        """Write one event to the log."""
        if event.kind in {"degraded", "healed"}:
            return
        shown = {
            field_.name: value
            for field_ in fields(event)
            if (value := getattr(event, field_.name)) not in (None, "", (), {})
        }
        said = " ".join(f"{name}={_short(value)}" for name, value in shown.items())
        self.logger.log(
            self.level, "%s %s", event.kind, said, extra={"convmem": {"kind": event.kind, **shown}}
        )


def _short(value: object) -> object:
    if isinstance(value, tuple):
        return ",".join(str(getattr(item, "id", item)) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Mapping):
        return ",".join(f"{k}:{v:.1f}" if isinstance(v, float) else f"{k}:{v}" for k, v in value.items())  # pyright: ignore[reportUnknownVariableType]
    return getattr(value, "total", value)


@dataclass(slots=True)
class Guarded:
    """A hook whose errors break no call: they are logged, the first time with the traceback."""

    hook: Hook
    failed: bool = False

    def __call__(self, event: Event) -> None:
        """Tell the hook of an event, with the words of the conversation if the hook asks for them."""
        content = getattr(self.hook, "content", False) is True
        try:
            self.hook(event if content else event.without_content())
        except Exception as error:
            if self.failed:
                log.error("a hook failed on the event %r too: %r", event.kind, error)  # noqa: TRY400 (once is enough)
                return
            self.failed = True
            log.exception("a hook failed on the event %r", event.kind)


def emit(hooks: tuple[Guarded, ...], event: Event) -> None:
    """Tell all hooks of an event; the `convmem` logger too if the event is degraded or healed."""
    if event.kind == "degraded":
        log.warning("%s", event.detail)
    elif event.kind == "healed":
        log.info("%s", event.detail)
    for hook in hooks:
        hook(event)
