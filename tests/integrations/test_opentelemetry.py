"""OpenTelemetry: what a collector would receive, read back from the SDK's own in-memory exporters."""

from __future__ import annotations

import pytest

import convmem
from convmem.testing.provider import Fault

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from convmem.integrations.opentelemetry import OpenTelemetryHook


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer_provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def client(tmp_path, bare, tracer_provider, reader):
    meter_provider = MeterProvider(metric_readers=[reader])
    hook = OpenTelemetryHook(tracer_provider=tracer_provider, meter_provider=meter_provider)
    with convmem.Memory(tmp_path / "x.db", hooks=[hook], embedder="none", deadline_ms=5_000) as memory:
        memory.record([{"role": "user", "content": "The boiler code is 4471."}], user="alice", session="old")
        memory.flush()
        yield memory.wrap(bare, user="alice", session="s")
    meter_provider.shutdown()


def ask(client, **given):
    messages = [{"role": "user", "content": "What is the boiler code?"}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **given)


def points(reader, name):
    return [
        point
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def test_a_call_is_two_spans_under_the_callers_own(client, exporter, tracer_provider):
    with tracer_provider.get_tracer("app").start_as_current_span("request"):
        response = ask(client)
    compose, chat, request = exporter.get_finished_spans()
    assert [compose.name, chat.name] == ["convmem compose", "chat gpt-4o-mini"]
    assert compose.parent.span_id == chat.parent.span_id == request.context.span_id
    assert compose.end_time <= chat.start_time
    assert chat.kind is SpanKind.CLIENT
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.conversation.id": "s",
        "gen_ai.usage.input_tokens": response.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": response.usage.completion_tokens,
        "server.address": "127.0.0.1",
        "convmem.journaled": True,
    }
    assert expected.items() <= dict(chat.attributes).items()
    assert chat.attributes["convmem.tokens.recall"] > 0
    assert chat.attributes["convmem.recalled.turns"] == ("t1",)
    assert "4471" not in repr([dict(span.attributes) for span in exporter.get_finished_spans()])


def test_a_stream_ends_its_span_when_it_ends(client, exporter):
    stream = ask(client, stream=True)
    assert [span.name for span in exporter.get_finished_spans()] == ["convmem compose"]
    list(stream)
    assert [span.name for span in exporter.get_finished_spans()][1:] == ["chat gpt-4o-mini"]


def test_a_failed_call_is_an_error(client, exporter, provider, reader):
    provider.script(Fault.status(429))
    with pytest.raises(Exception, match="429"):
        ask(client)
    chat = exporter.get_finished_spans()[-1]
    assert chat.status.status_code is StatusCode.ERROR
    assert chat.attributes["error.type"] == "RateLimitError"
    (point,) = points(reader, "gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == "RateLimitError"


def test_metrics_count_what_the_provider_counted(client, reader):
    used = [ask(client).usage for _ in range(3)]
    tokens = {
        point.attributes["gen_ai.token.type"]: point for point in points(reader, "gen_ai.client.token.usage")
    }
    assert tokens["input"].sum == sum(usage.prompt_tokens for usage in used)
    assert tokens["output"].sum == sum(usage.completion_tokens for usage in used)
    (duration,) = points(reader, "gen_ai.client.operation.duration")
    assert duration.count == 3
    assert {point.attributes["convmem.step"] for point in points(reader, "convmem.step.duration")} >= {
        "journal"
    }
    (quoted,) = points(reader, "convmem.recalled.tokens")
    assert quoted.value > 0
