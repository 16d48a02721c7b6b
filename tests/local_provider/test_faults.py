"""How the local provider fails when it is told to."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from tests.local_provider.asking import HELLO, ask, chat, connect, post

from convmem.testing import Fault, LocalProvider, Reply


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request_error", None),
        (401, openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (402, openai.APIStatusError, "insufficient_quota", "insufficient_quota"),
        (429, openai.RateLimitError, "requests", "rate_limit_exceeded"),
        (500, openai.InternalServerError, "server_error", None),
        (503, openai.InternalServerError, "server_error", "service_unavailable"),
        (418, openai.APIStatusError, "invalid_request_error", None),
    ],
)
def test_error_statuses(*, provider, client, status, error, kind, code, stream):
    provider.script(Fault.status(status, "no", retry_after=3, error={"hint": 1}, headers={"x-a": "b"}))
    with pytest.raises(error, match="no") as caught:
        ask(client, stream=stream)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (status, kind, code)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.response.headers["x-a"] == "b"
    assert caught.value.body["hint"] == 1


def test_deepseek_has_its_own_codes(deepseek):
    deepseek.script(Fault.status(402))
    with (
        connect(deepseek) as client,
        pytest.raises(openai.APIStatusError, match="Insufficient Balance") as caught,
    ):
        ask(client)
    assert (caught.value.type, caught.value.code) == ("unknown_error", "invalid_request_error")


def test_faults_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="400 to 599"):
        Fault.status(200)
    with pytest.raises(ValueError, match="after_chunks"):
        Fault.cut(HELLO, after_chunks=-1)


@pytest.mark.parametrize(
    "fault", [Fault.cut(HELLO, after_chunks=2), Fault.stall(0.01, reply=HELLO, after_chunks=2)]
)
def test_a_stream_that_is_cut_delivers_what_came_before(provider, client, fault):
    provider.script(fault)
    seen = []
    with pytest.raises(openai.APIConnectionError):
        seen.extend(chunk.choices[0].delta.content for chunk in _noting(ask(client, stream=True), seen))
    assert seen == ["", "hello wo"]
    assert provider.wait_served(1)[0].complete is False


def _noting(stream, seen):
    for chunk in stream:
        seen.append(chunk.choices[0].delta.content)
    yield from ()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.cut_json(), Fault.cut_json(HELLO), Fault.cut(HELLO, after_chunks=1)])
def test_a_body_that_is_cut_is_an_error(provider, client, fault, stream):
    provider.script(fault)
    with pytest.raises(openai.APIConnectionError):
        list(ask(client, stream=stream))
    assert ask(client).choices[0].message.content == "echo: hi"


def test_cut_json_promises_more_than_it_sends(provider):
    provider.script(Fault.cut_json(HELLO))
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(provider, body=chat())
    assert caught.value.partial.startswith(b'{"id":"chatcmpl-000001"')
    assert caught.value.expected > 0


def test_an_error_event_ends_a_stream(provider, client):
    provider.script(Fault.error_event(HELLO, after_chunks=3, message="overloaded"))
    stream = ask(client, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "hello wo", "rld, thi"]
    with pytest.raises(openai.APIError, match="overloaded"):
        next(stream)
    provider.script(Fault.error_event(HELLO, after_chunks=3, message="overloaded"))
    with pytest.raises(openai.InternalServerError, match="overloaded"):
        ask(client)


@pytest.mark.parametrize(
    ("fault", "kind", "body"),
    [
        (Fault.not_json(), "text/html", b"<html><body><h1>502 Bad Gateway</h1></body></html>"),
        (Fault.not_json("{", content_type="application/json"), "application/json", b"{"),
        (Fault.empty_body(), "application/json", b""),
    ],
)
def test_bodies_that_are_not_json(provider, client, fault, kind, body):
    provider.script(fault, Fault.empty_body())
    status, headers, raw = post(provider, body=chat())
    assert (status, headers["content-type"], raw) == (200, kind, body)
    assert list(ask(client, stream=True)) == []


def test_a_stall_ends_by_itself(provider, client):
    provider.script(Fault.stall(0.01))
    with pytest.raises(openai.APIConnectionError):
        ask(client)
    ended = provider.wait_served(1)[0]
    assert (ended.status, ended.bytes_sent, ended.complete) == (None, 0, False)


@pytest.mark.parametrize("outcome", [Fault.stall(), Fault.stall(3600), Reply("late", delay_s=3600)])
def test_close_ends_a_stall(outcome):
    with LocalProvider() as provider, connect(provider, timeout=30) as client, ThreadPoolExecutor(1) as pool:
        provider.script(outcome)
        waiting = pool.submit(ask, client)
        provider.wait_for(1)
        provider.close()
        with pytest.raises(openai.APIConnectionError):
            waiting.result()
        assert provider.served[0].complete is False
