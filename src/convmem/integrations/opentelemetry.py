"""OpenTelemetry (extra `otel`): a span and metrics for every call, in the GenAI semantic conventions.

    memory = convmem.Memory("chat.db", hooks=[OpenTelemetryHook()])

Two spans per call, children of the span in which the call was made: `convmem compose` for what memory did
before the provider call, and `chat MODEL` (kind client) for the provider call. Attributes and metrics that
have a name in the conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) bear it; the others begin
with `convmem.`. No word of the conversation is recorded.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from convmem.errors import MissingExtraError
from convmem.hooks import (
    AnsweredEvent,
    AssembledEvent,
    CutEvent,
    DegradedEvent,
    EmbeddedEvent,
    FailedEvent,
    JournaledEvent,
    RecalledEvent,
    SentEvent,
)
from convmem.threads.locks import Lock
from convmem.wire.usage import cached_tokens

try:
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as error:
    raise MissingExtraError(
        "OpenTelemetryHook needs: pip install opentelemetry-api (the extra `otel` of convmem)"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from convmem.hooks import Event

__all__ = ["OpenTelemetryHook"]

_OPEN_CALLS: Final = 1_024
"""Calls that may be under way; of more, those whose end never came are closed first."""

_PROVIDERS: Final = {
    "openai.com": "openai",
    "azure.com": "azure.ai.openai",
    "deepseek.com": "deepseek",
    "googleapis.com": "gcp.gemini",
    "anthropic.com": "anthropic",
    "mistral.ai": "mistral_ai",
    "groq.com": "groq",
    "x.ai": "x_ai",
}
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(4**n for n in range(14))


@dataclass(slots=True)
class _Call:
    """What is known of a call on its way."""

    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    span: Span | None = None


class OpenTelemetryHook:
    """A hook that tells OpenTelemetry.

    Args:
        tracer_provider: where spans go; the global one when left out.
        meter_provider: where metrics go; the global one when left out.

    Raises:
        MissingExtraError: at import, when opentelemetry is not installed.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("convmem", tracer_provider=tracer_provider)
        meter = metrics.get_meter("convmem", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._usage = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._step = meter.create_histogram(
            "convmem.step.duration",
            unit="s",
            description="Time memory took, by step.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._quoted = meter.create_counter(
            "convmem.recalled.tokens", unit="{token}", description="Tokens of quoted memory sent."
        )
        self._embedded = meter.create_counter(
            "convmem.embedded.turns", unit="{turn}", description="Turns embedded in the background."
        )
        self._trouble = meter.create_counter(
            "convmem.degraded", unit="{event}", description="Times memory could not do its part."
        )
        self._lock = Lock()
        self._calls: OrderedDict[str, _Call] = OrderedDict()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case SentEvent():
                self._sent(event)
            case AnsweredEvent() | FailedEvent():
                self._ended(event)
            case EmbeddedEvent():
                self._embedded.add(event.turns, {"convmem.embedder": event.fingerprint})
            case DegradedEvent():
                self._trouble.add(1)
                self._note(event, {"convmem.degraded": event.detail})
            case RecalledEvent():
                self._quoted.add(event.tokens)
                self._note(event, {"convmem.recalled.turns": [turn.id for turn in event.recalled]})
            case AssembledEvent():
                self._note(event, _assembled(event))
            case CutEvent():
                self._note(event, {"convmem.cut.rounds": event.rounds})
            case JournaledEvent():
                self._note(event, {"convmem.journaled": not event.late})
            case _:
                pass

    def _call(self, event: Event) -> _Call | None:
        if event.call is None:
            return None
        with self._lock:
            call = self._calls.setdefault(event.call, _Call())
            stale = self._calls.popitem(last=False)[1] if len(self._calls) > _OPEN_CALLS else None
        if stale is not None and stale.span is not None:
            stale.span.end()
        return call

    def _note(self, event: Event, attributes: Mapping[str, Any]) -> None:
        """Keep attributes for the span, or set them when it is there."""
        call = self._call(event)
        if call is None:
            return
        if call.span is not None:
            call.span.set_attributes(attributes)
        else:
            call.attributes.update(attributes)

    def _sent(self, event: SentEvent) -> None:
        call = self._call(event)
        if call is None:
            return
        now = time.time_ns()
        memory_ns = int(sum(event.ms.values()) * 1e6)
        common = _common(event.model, event.host)
        compose = self._tracer.start_span(
            "convmem compose",
            start_time=now - memory_ns,
            attributes={**call.attributes, **_milliseconds(event.ms), **_scope(event)},
        )
        compose.end(now)
        for step, ms in event.ms.items():
            self._step.record(ms / 1_000, {"convmem.step": step})
        call.span = self._tracer.start_span(
            f"chat {event.model}" if event.model else "chat",
            kind=SpanKind.CLIENT,
            start_time=now,
            attributes={**common, **_scope(event), **call.attributes, "convmem.mode": event.mode},
        )

    def _ended(self, event: AnsweredEvent | FailedEvent) -> None:
        with self._lock:
            call = self._calls.pop(event.call or "", None)
        common = _common(event.model, event.host)
        usage = _tokens(event.usage or {}) if isinstance(event, AnsweredEvent) else {}
        for kind in ("input", "output"):
            if (tokens := usage.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                self._usage.record(tokens, {**common, "gen_ai.token.type": kind})
        if "provider" in event.ms:
            failed = {"error.type": event.error} if event.error else {}
            self._duration.record(event.ms["provider"] / 1_000, {**common, **failed})
        if call is None or call.span is None:
            return
        call.span.set_attributes(usage)
        if event.error or isinstance(event, FailedEvent):
            call.span.set_attribute("error.type", event.error or "closed")
            call.span.set_status(StatusCode.ERROR, event.error or "closed before anything came")
        call.span.end()


def _common(model: str | None, host: str | None) -> dict[str, Any]:
    provider = next((name for end, name in _PROVIDERS.items() if (host or "").endswith(end)), "openai")
    found = {
        "gen_ai.operation.name": "chat",
        # An endpoint nobody knows speaks OpenAI's language, as the conventions ask it to be called.
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "server.address": host,
    }
    return {name: value for name, value in found.items() if value is not None}


def _scope(event: Event) -> dict[str, Any]:
    return {"gen_ai.conversation.id": event.session} if event.session is not None else {}


def _milliseconds(ms: Mapping[str, float]) -> dict[str, Any]:
    return {f"convmem.ms.{step}": value for step, value in ms.items()}


def _assembled(event: AssembledEvent) -> dict[str, Any]:
    tokens = event.tokens
    sections = ("system", "pins", "summary", "window", "recall", "new")
    found: dict[str, Any] = {f"convmem.tokens.{name}": getattr(tokens, name) for name in sections}
    found |= {"convmem.restored": event.restored, "convmem.dropped": event.dropped}
    if event.prefix_tokens is not None:
        found["convmem.prefix_tokens"] = event.prefix_tokens
    return found


def _tokens(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The provider's usage under the names of the conventions."""
    found: dict[str, Any] = {}
    for kind, names in (
        ("input", ("prompt_tokens", "input_tokens")),
        ("output", ("completion_tokens", "output_tokens")),
    ):
        value = next((usage[name] for name in names if isinstance(usage.get(name), int)), None)
        if value is not None:
            found[f"gen_ai.usage.{kind}_tokens"] = value
    if (cached := cached_tokens(usage)) is not None:
        found["gen_ai.usage.cache_read.input_tokens"] = cached
    return found
