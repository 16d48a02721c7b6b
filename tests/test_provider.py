"""The local provider, through real HTTP: the openai SDK and raw sockets."""

from __future__ import annotations

import ast
import asyncio
import base64
import http.client
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, AzureOpenAI, OpenAI

import convmem.testing
import convmem.testing.provider
from convmem.testing import EmbeddingReply, Fault, LocalProvider, Reply, ToolCall
from convmem.testing.provider import problems

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
HELLO = Reply("hello world, this is a reply")


def user(content, **fields):
    return {"role": "user", "content": content, **fields}


def says(**fields):
    return {"role": "assistant", **fields}


def call(call_id):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def result(call_id):
    return {"role": "tool", "tool_call_id": call_id, "content": "42"}


USER = user("hi")
HI = [USER]
CALLS = says(content=None, tool_calls=[call("a"), call("b")])


def connect(provider, **options):
    return OpenAI(base_url=provider.base_url, api_key="x", max_retries=0, **options)


@pytest.fixture
def provider():
    with LocalProvider() as running:
        yield running


@pytest.fixture
def deepseek():
    with LocalProvider(dialect="deepseek") as running:
        yield running


@pytest.fixture(scope="module")
def pool():
    """Making a client costs more than a call: most tests share the connections of one."""
    with OpenAI(base_url="http://127.0.0.1:9", api_key="x", max_retries=0) as shared:
        yield shared


@pytest.fixture
def client(pool, provider):
    return pool.with_options(base_url=provider.base_url)


def ask(client, messages=HI, **options):
    return client.chat.completions.create(model="m", messages=messages, **options)


def post(provider, path="/v1/chat/completions", body=b"", headers=None, method="POST"):
    """Send one raw request; return the status, the headers and the body."""
    connection = http.client.HTTPConnection(provider.origin.removeprefix("http://"), timeout=5)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": "Bearer x"} if headers is None else headers
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def chat(messages=HI, **options):
    return {"model": "m", "messages": messages, **options}


def events(raw):
    """The parsed data events of a raw stream, and whether it ended with [DONE]."""
    data = [line[6:] for line in raw.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"], data[-1:] == ["[DONE]"]


# --- replies


def test_echo_is_the_default_and_speaks_to_every_client(provider, client):
    parts = [{"type": "text", "text": "京都"}, {"type": "text", "text": "tea"}]
    assert ask(client).choices[0].message.content == "echo: hi"
    answer = ask(client, [*HI, {"role": "assistant", "content": "yes"}, {"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "echo: 京都\ntea"

    async def talk():
        async with AsyncOpenAI(base_url=provider.base_url, api_key="x") as asynchronous:
            stream = await ask(asynchronous, stream=True)
            return [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(asyncio.run(talk())) == "echo: hi"
    assert ask(client, n=3).choices[2].message.content == "echo: hi"


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (Reply("a\u2028b, 你好 😀"), "stop"),
        (Reply(""), "stop"),
        (Reply(), "stop"),
        (Reply(refusal="I will not."), "stop"),
        (Reply("half", finish_reason="insufficient_system_resource"), "insufficient_system_resource"),
        (Reply(tool_calls=[ToolCall("get_weather", {"city": "京都"}), ToolCall("g")]), "tool_calls"),
        (Reply("let me see", tool_calls=[ToolCall("f", "{broken", id="mine")]), "tool_calls"),
        (Reply("so", reasoning_content="think, think, think"), "stop"),
        (Reply("x", extra={"mood": "good"}), "stop"),
    ],
)
def test_a_stream_adds_up_to_the_json_reply(provider, client, reply, finish):
    provider.script(reply, reply)
    plain = ask(client)
    with client.chat.completions.stream(model="m", messages=HI) as stream:
        streamed = stream.get_final_completion()
    one, two = plain.choices[0], streamed.choices[0]
    assert one.finish_reason == two.finish_reason == finish
    assert (one.message.content or "") == (two.message.content or "")
    assert one.message.refusal == two.message.refusal == reply.refusal
    calls = [call.function for call in one.message.tool_calls or []]
    again = [call.function for call in two.message.tool_calls or []]
    expected = [(call.name, call.payload) for call in reply.tool_calls]
    assert [(call.name, call.arguments) for call in calls] == expected
    assert [(call.name, call.arguments) for call in again] == expected
    assert getattr(one.message, "mood", None) == reply.extra.get("mood")
    assert getattr(one.message, "reasoning_content", None) == reply.reasoning_content


def test_ids_and_times_come_from_the_number_of_the_request(provider):
    provider.script(*[Reply(choices=[Reply(tool_calls=[ToolCall("f")] * 2), Reply("b")])] * 2)
    post(provider, body=chat())
    status, headers, raw = post(provider, body=chat())
    body = json.loads(raw)
    assert (status, headers["x-request-id"]) == (200, "req_000002")
    assert (body["id"], body["created"]) == ("chatcmpl-000002", 1_700_000_002)
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_000002_0", "call_000002_1"]
    assert "date" not in {name.lower() for name in headers}


def test_choices_stream_in_turns(provider):
    provider.script(Reply(choices=[Reply("aaaa", chunk_size=1), Reply("b")]))
    chunks, done = events(post(provider, body=chat(stream=True, n=2))[2])
    assert done
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    texts = [
        "".join(
            c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"][0]["index"] == i
        )
        for i in (0, 1)
    ]
    assert texts == ["aaaa", "b"]


def test_custom_tool_calls_carry_free_text(provider, client):
    provider.script(Reply(tool_calls=[ToolCall("sql", "select 1", kind="custom")]))
    call = ask(client).choices[0].message.tool_calls[0]
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "sql", "select 1")


def test_usage_ends_a_stream_only_when_asked_for(provider):
    provider.script(HELLO, HELLO)
    without, _ = events(post(provider, body=chat(stream=True))[2])
    assert all("usage" not in chunk for chunk in without)
    chunks, done = events(post(provider, body=chat(stream=True, stream_options={"include_usage": True}))[2])
    assert done
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 7


def test_usage_counts_four_bytes_a_token_and_finds_shared_prefixes(deepseek):
    long = [{"role": "user", "content": "x" * 600}]
    with connect(deepseek) as client:
        deepseek.script(Reply("12345", reasoning_content="1234"))
        first = ask(client, long).usage
        longer = [*long, {"role": "assistant", "content": "echo"}, *HI]
        second = ask(client, longer).usage
        other = client.chat.completions.create(model="other", messages=longer).usage
    assert first.completion_tokens == 3
    assert first.completion_tokens_details.reasoning_tokens == 1
    assert first.total_tokens == first.prompt_tokens + 3
    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.prompt_cache_hit_tokens == second.prompt_tokens_details.cached_tokens == 128
    assert second.prompt_cache_hit_tokens + second.prompt_cache_miss_tokens == second.prompt_tokens
    assert other.prompt_cache_hit_tokens == 0


def test_openai_counts_cached_prefixes_from_1024_tokens(provider, client):
    short, long = ([{"role": "user", "content": "x" * size}] for size in (4000, 4400))
    assert [ask(client, short).usage.prompt_tokens_details.cached_tokens for _ in range(2)] == [0, 0]
    assert [ask(client, long).usage.prompt_tokens_details.cached_tokens for _ in range(2)] == [0, 1024]
    provider.script(Reply("x", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}))
    assert ask(client).usage.total_tokens == 3


def test_keep_alives_come_before_the_first_event(provider, client):
    patient = Reply("hello", keep_alive=3, headers={"x-mine": "1"}, delay_s=0.01, chunk_delay_s=0.001)
    provider.script(patient, patient, patient)
    _, headers, raw = post(provider, body=chat(stream=True))
    assert raw.startswith(b": keep-alive\n\n" * 3 + b"data: {")
    assert headers["x-mine"] == "1"
    assert post(provider, body=chat())[2].startswith(b'\n\n\n{"id"')
    assert "".join(c.choices[0].delta.content or "" for c in ask(client, stream=True)) == "hello"


def test_a_reply_has_choices_or_a_message():
    with pytest.raises(ValueError, match="choices"):
        Reply("a", choices=[Reply("b")])
    with pytest.raises(ValueError, match="chunk_size"):
        Reply("a", chunk_size=0)
    with pytest.raises(ValueError, match="keep_alive"):
        Reply("a", keep_alive=-1)


# --- the script


def test_the_script_is_first_in_first_out_then_the_default(provider, client):
    provider.script(Reply("one"), lambda request: Reply(f"two, number {request.n}"))
    provider.default = lambda request: Reply(request.messages[-1]["content"].upper())
    assert len(provider.pending) == 2
    said = [ask(client).choices[0].message.content for _ in range(3)]
    assert said == ["one", "two, number 2", "HI"]
    assert provider.pending == ()


def test_refused_requests_take_nothing_from_the_script(provider, client):
    provider.script(Reply("one"))
    with pytest.raises(openai.BadRequestError):
        ask(client, [])
    assert ask(client).choices[0].message.content == "one"


def test_a_responder_that_raises_is_told_to_the_client_who_does_not_retry(provider):
    def broken(request):
        raise KeyError("nope")

    provider.script(broken)
    patient = OpenAI(base_url=provider.base_url, api_key="x", max_retries=2)
    with patient, pytest.raises(openai.InternalServerError, match=r"KeyError: 'nope'"):
        ask(patient)
    assert len(provider.requests) == 1


def test_requests_are_recorded_as_received():
    with LocalProvider(clock=lambda: 7.0) as provider:
        body = json.dumps(chat(), indent=2).encode()
        post(provider, "/v1/chat/completions?a=b", body, {"Authorization": "Bearer x", "X-Twice": "1"})
        post(provider, "/nowhere", b"\xff", {})
        first, second = provider.requests
        assert (first.n, first.method, first.path, first.query) == (1, "POST", "/v1/chat/completions", "a=b")
        assert (first.body, first.json, first.at, first.endpoint) == (body, chat(), 7.0, "chat")
        assert (first.headers["x-twice"], first.newest_user_text, first.stream) == ("1", "hi", False)
        assert (second.json, second.endpoint, second.fields) == (None, None, {})
        assert second.json_error.startswith("the body is not valid UTF-8")
        served = sorted(provider.wait_served(2), key=lambda each: each.n)
        assert [(each.n, each.status, each.complete) for each in served] == [(1, 200, True), (2, 404, True)]


# --- faults


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


# --- holding, many at once, clients that leave, start and close


def test_hold_keeps_answers_back_while_requests_arrive(provider, client):
    with ThreadPoolExecutor(3) as pool:
        with provider.hold("chat") as hold:
            calls = [pool.submit(ask, client) for _ in range(2)]
            assert len(provider.wait_for(2)) == 2
            assert client.models.list().data
            assert [served.n for served in provider.wait_served(1)] == [3]
            assert not any(call.done() for call in calls)
        assert [call.result().choices[0].message.content for call in calls] == ["echo: hi"] * 2
        hold.release()
        assert len(provider.wait_for(2, endpoint="chat")) == 2
        with pytest.raises(TimeoutError, match="2 of 3"):
            provider.wait_for(3, 0.0, endpoint="chat")


def test_close_ends_a_hold():
    with LocalProvider() as provider, connect(provider) as client, ThreadPoolExecutor(1) as pool:
        provider.hold()
        waiting = pool.submit(ask, client)
        provider.wait_for(1)
        provider.close()
        with pytest.raises(openai.APIConnectionError):
            waiting.result()


def test_sixty_four_clients_at_once(provider, client):
    provider.script(*(Reply(f"reply {number}") for number in range(64)))
    with ThreadPoolExecutor(64) as pool:
        with provider.hold():
            calls = [pool.submit(ask, client) for _ in range(64)]
            provider.wait_for(64, 20)
        answers = [call.result() for call in calls]
    spoken = {answer.id: answer.choices[0].message.content for answer in answers}
    assert spoken == {f"chatcmpl-{number + 1:06d}": f"reply {number}" for number in range(64)}


def test_one_connection_serves_many_requests(provider):
    connection = http.client.HTTPConnection(provider.origin.removeprefix("http://"), timeout=5)
    connection.connect()
    own = connection.sock
    for options in ({}, {"stream": True}, {"n": 2}):
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(chat(**options)), {"authorization": "Bearer x"}
        )
        assert b"echo: hi" in connection.getresponse().read().replace(b'"},"logprobs"', b"")
        assert connection.sock is own
    connection.close()


def test_a_client_that_leaves_is_noted_in_silence(provider, client, capfd):
    provider.script(Reply("x" * 2000, chunk_size=1, chunk_delay_s=0.002))
    stream = ask(client, stream=True)
    next(stream)
    stream.close()
    ended = provider.wait_served(1)[0]
    assert (ended.status, ended.complete) == (200, False)
    assert ended.bytes_sent > 0
    assert capfd.readouterr().err == ""


def test_start_and_close_can_be_repeated():
    provider = LocalProvider()
    with pytest.raises(RuntimeError, match="not started"):
        _ = provider.base_url
    assert provider.start().start() is provider
    before = threading.active_count()
    assert post(provider, "/v1/models", method="GET")[0] == 200
    provider.close()
    provider.close()
    assert threading.active_count() < before
    with pytest.raises(ConnectionRefusedError):
        post(provider)
    with pytest.raises(RuntimeError, match="was closed"):
        provider.start()
    with pytest.raises(ValueError, match="dialect"):
        LocalProvider(dialect="klingon")


def test_the_command_line_serves_until_interrupted():
    command = [sys.executable, "-m", "convmem.testing.provider", "--dialect", "deepseek", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        url = process.stdout.readline().strip()
        with OpenAI(base_url=url, api_key="x") as client:
            answer = ask(client, extra_body={"thinking": {"type": "disabled"}})
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert answer.choices[0].message.content == "echo: hi"


# --- paths and authorization


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/chat/completions", 200),
        ("POST", "/beta/chat/completions", 200),
        ("POST", "/openai/v1/chat/completions", 200),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/v1/models/gpt-6-sol", 200),
        ("GET", "/v1/models/none", 404),
        ("POST", "/v1/responses", 404),
        ("GET", "/", 404),
        ("DELETE", "/v1/files/1", 404),
    ],
)
def test_paths(provider, method, path, status):
    answered, _, raw = post(provider, path, chat() if method == "POST" else b"", method=method)
    assert answered == status
    assert ("error" in json.loads(raw)) == (status != 200)


def test_authorization_is_wanted(provider):
    azure = "/openai/deployments/gpt/chat/completions"
    assert post(provider, body=chat(), headers={})[0] == 401
    assert post(provider, body=chat(), headers={"authorization": "Bearer "})[0] == 401
    assert post(provider, body=chat(), headers={"api-key": "x"})[0] == 401
    assert post(provider, azure, {"messages": HI}, {"api-key": "x"})[0] == 200


def test_azure(provider):
    with AzureOpenAI(azure_endpoint=provider.origin, api_key="x", api_version="2026-01-01") as client:
        assert ask(client).model == "m"
        assert client.embeddings.create(model="e", input="a").data
    request = provider.requests[0]
    assert (request.path, request.query) == (
        "/openai/deployments/m/chat/completions",
        "api-version=2026-01-01",
    )


# --- embeddings


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone(provider, client):
    made = client.embeddings.create(model="e", input=["tea", "京都", "tea"])
    vectors = [item.embedding for item in made.data]
    assert made.usage.prompt_tokens == 4
    assert vectors[0] == vectors[2] != vectors[1]
    assert [len(vector) for vector in vectors] == [64] * 3
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-6) for vector in vectors)
    assert (
        client.embeddings.create(model="e", input="tea", encoding_format="float").data[0].embedding
        == vectors[0]
    )
    raw = post(provider, "/v1/embeddings", {"model": "e", "input": "tea", "encoding_format": "base64"})[2]
    packed = base64.b64decode(json.loads(raw)["data"][0]["embedding"])
    assert list(struct.unpack("<64f", packed)) == vectors[0]
    short = client.embeddings.create(model="e", input="tea", dimensions=8).data[0].embedding
    scale = math.hypot(*vectors[0][:8])
    assert short == pytest.approx([value / scale for value in vectors[0][:8]], abs=1e-6)
    assert len(client.embeddings.create(model="e", input=[[1, 2], [3]]).data) == 2
    assert len(client.embeddings.create(model="e", input=[1, 2]).data) == 1


def test_the_seed_and_the_dimension_of_vectors():
    with LocalProvider(seed=1, embedding_dim=5) as one, LocalProvider(seed=2, embedding_dim=5) as two:
        body = {"model": "e", "input": "tea"}
        first, second = (json.loads(post(p, "/v1/embeddings", body)[2])["data"][0] for p in (one, two))
    assert len(first["embedding"]) == 5
    assert first != second


def test_the_embeddings_script(provider, client):
    provider.script_embeddings(
        EmbeddingReply(vectors=[[3.0, 4.0]]), Fault.status(503), Fault.cut_json(), Fault.empty_body()
    )
    assert client.embeddings.create(model="e", input="a").data[0].embedding == [3.0, 4.0]
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="e", input="a")
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model="e", input="a")
    assert post(provider, "/v1/embeddings", {"model": "e", "input": "a"})[2] == b""
    assert len(client.embeddings.create(model="e", input="a").data) == 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"model": None}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"colour": 1}, "colour"),
    ],
)
def test_illegal_embeddings_requests(provider, change, place):
    status, _, raw = post(provider, "/v1/embeddings", {"model": "e", "input": "a", **change})
    assert (status, json.loads(raw)["error"]["param"]) == (400, place)


# --- legality

ILLEGAL = [
    ("openai", {"colour": 1}, "colour"),
    ("openai", {"thinking": {"type": "disabled"}}, "thinking"),
    ("openai", {"messages": []}, "messages"),
    ("openai", {"messages": "hi"}, "messages"),
    ("openai", {"model": ""}, "model"),
    ("openai", {"n": "2"}, "n"),
    ("openai", {"n": True}, "n"),
    ("openai", {"n": 0}, "n"),
    ("openai", {"stream": "yes"}, "stream"),
    ("openai", {"temperature": "hot"}, "temperature"),
    ("openai", {"temperature": 2.5}, "temperature"),
    ("openai", {"stop": ["a"] * 5}, "stop"),
    ("openai", {"stop": [1]}, "stop"),
    ("openai", {"stream_options": {"include_usage": True}}, "stream_options"),
    ("openai", {"stream": True, "stream_options": {"x": True}}, "stream_options.x"),
    ("openai", {"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ("openai", {"tools": []}, "tools"),
    ("openai", {"tools": None}, "tools"),
    ("openai", {"tools": [{"type": "function"}]}, "tools[0]"),
    ("openai", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("openai", {"tool_choice": "auto"}, "tool_choice"),
    ("openai", {"tools": TOOLS, "tool_choice": "often"}, "tool_choice"),
    ("openai", {"response_format": {"type": "xml"}}, "response_format.type"),
    ("openai", {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ("openai", {"response_format": {"type": "json_object"}}, "messages"),
]
ILLEGAL_MESSAGES = [
    ("openai", ["hi"], "messages[0]"),
    ("openai", [USER, {"role": "boss", "content": "hi"}], "messages[1].role"),
    ("openai", [USER, {"content": "hi"}], "messages[1].role"),
    ("openai", [user("hi", mood="good")], "messages[0].mood"),
    ("openai", [user("hi", tool_call_id="a")], "messages[0].tool_call_id"),
    ("openai", [user("hi", name="two words")], "messages[0].name"),
    ("openai", [{"role": "user"}], "messages[0].content"),
    ("openai", [USER, user(None)], "messages[1].content"),
    ("openai", [user(7)], "messages[0].content"),
    ("openai", [user([])], "messages[0].content"),
    ("openai", [user([{"type": "smell"}])], "messages[0].content[0].type"),
    ("openai", [user([{"type": "image_url"}])], "messages[0].content[0].image_url"),
    ("openai", [user([IMAGE]), {"role": "system", "content": [IMAGE]}], "messages[1].content[0].type"),
    ("openai", [USER, {"role": "function", "content": "x"}], "messages[1].name"),
    ("openai", [USER, {"role": "function", "name": "f", "content": 1}], "messages[1].content"),
    ("openai", [USER, says()], "messages[1]"),
    ("openai", [USER, says(content=None)], "messages[1]"),
    ("openai", [USER, says(content="a", reasoning_content="b")], "messages[1].reasoning_content"),
    ("openai", [USER, says(content="a", refusal=1)], "messages[1].refusal"),
    ("openai", [USER, says(content="a", tool_calls=[])], "messages[1].tool_calls"),
    ("openai", [USER, says(content="a", tool_calls=None)], "messages[1].tool_calls"),
    ("openai", [USER, says(tool_calls=[{}])], "messages[1].tool_calls[0].id"),
    ("openai", [USER, says(function_call={"name": "f"})], "messages[1].function_call.arguments"),
    ("openai", [USER, says(tool_calls=[call("a"), call("a")]), result("a")], "messages[1].tool_calls"),
    ("openai", [USER, result("a")], "messages[1]"),
    ("openai", [USER, CALLS], "messages[1]"),
    ("openai", [USER, CALLS, result("a")], "messages[1]"),
    ("openai", [USER, CALLS, result("a"), USER, result("b")], "messages[1]"),
    ("openai", [USER, CALLS, result("a"), result("b"), result("c")], "messages[4].tool_call_id"),
    ("openai", [USER, CALLS, result("a"), result("b"), result("b")], "messages[4].tool_call_id"),
    ("openai", [USER, CALLS, result("a"), result("b"), result(None)], "messages[4].tool_call_id"),
    ("deepseek", [USER, {"role": "system", "content": "x"}], "messages[1]"),
    ("deepseek", [{"role": "developer", "content": "x"}, USER], "messages[0].role"),
    ("deepseek", [says(content="x", prefix=True), USER], "messages[0].prefix"),
    ("deepseek", [USER, says(content="x", prefix=1)], "messages[1].prefix"),
    ("deepseek", [user("hi", prefix=True)], "messages[0].prefix"),
]


@pytest.fixture(scope="module")
def strict():
    with LocalProvider() as one, LocalProvider(dialect="deepseek") as other:
        yield {"openai": one, "deepseek": other}


@pytest.mark.parametrize(
    ("dialect", "change", "place"),
    [*ILLEGAL, *((dialect, {"messages": messages}, place) for dialect, messages, place in ILLEGAL_MESSAGES)],
)
def test_illegal_requests_are_told_where_they_are_wrong(strict, dialect, change, place):
    status, _, raw = post(strict[dialect], body={**chat(), **change})
    error = json.loads(raw)["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", place)
    assert error["message"].startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "could not parse the JSON body"),
        (b'{"n": NaN}', "NaN is not JSON"),
        (b'{"model": "\xff"}', "not valid UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"[" * 100_000, "could not parse the JSON body"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_bodies_that_cannot_be_read(provider, body, message, path):
    status, _, raw = post(provider, path, body)
    assert status == 400
    assert message in json.loads(raw)["error"]["message"]


LEGAL_MESSAGES = [
    ("openai", [USER, {"role": "system", "content": "late"}, user("hi", name="Bo")]),
    ("openai", [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, user([IMAGE])]),
    ("openai", [USER, CALLS, result("b"), {**result("a"), "name": "f"}, says(content="")]),
    ("openai", [USER, says(content=None, refusal="no", annotations=[]), USER]),
    ("openai", [USER, says(function_call={"name": "f", "arguments": ""})]),
    ("openai", [USER, says(content=[{"type": "refusal", "refusal": "no"}])]),
    ("deepseek", [USER, says(content="x", tool_calls=None, reasoning_content=None)]),
    ("deepseek", [{"role": "system", "content": "x"}, USER, says(content="x", prefix=True)]),
]


@pytest.mark.parametrize(("dialect", "messages"), LEGAL_MESSAGES)
def test_legal_messages(dialect, messages):
    assert problems(chat(messages), dialect) == []


def test_legal_parameters():
    body = chat(
        tools=TOOLS, tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False,
        n=2, stream=True, stream_options={"include_usage": True}, temperature=0, top_p=None, stop="x",
        seed=-1, response_format={"type": "text"}, metadata={"a": "b"}, prompt_cache_key="k",
    )  # fmt: skip
    assert problems(body) == []
    assert problems({**body, "thinking": {"type": "enabled"}, "user_id": "u"}, "deepseek") == []


def test_three_rules_for_reasoning_sent_back():
    said = says(content="a")
    bare = chat([USER, said, USER], tools=TOOLS)
    full = chat([USER, {**said, "reasoning_content": ""}, USER], tools=TOOLS)
    assert problems(full, "deepseek") == problems(bare, "deepseek") == []
    assert problems(full, reasoning="accept") == []
    assert problems(full, "deepseek", reasoning="refuse")[0].startswith("messages[1].reasoning_content")
    assert problems(bare, "deepseek", reasoning="require")[0].startswith("messages[1].reasoning_content")
    assert problems(full, "deepseek", reasoning="require") == []
    assert problems({**bare, "thinking": {"type": "disabled"}}, "deepseek", reasoning="require") == []
    with LocalProvider(dialect="deepseek", reasoning="require") as provider:
        assert post(provider, body=bare)[0] == 400
        assert post(provider, body=full)[0] == 200


def test_a_lenient_provider_answers_anything_that_is_an_object():
    with LocalProvider(strict=False) as provider:
        for body in (
            {},
            {"messages": [None]},
            {"messages": HI, "n": "x", "colour": 1},
            {"messages": {"a": 1}},
        ):
            assert post(provider, body=body)[0] == 200
        assert post(provider, "/v1/embeddings", {})[0] == 200
        assert post(provider, body=[])[0] == 400


# --- properties

TEXTS = st.text("a 茶\n😀", max_size=5)
CONTENTS = TEXTS | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS), min_size=1, max_size=2
)


@st.composite
def rounds(draw):
    turns = [user(draw(CONTENTS))]
    for group in range(draw(st.integers(0, 2))):
        ids = [f"call_{group}_{index}" for index in range(draw(st.integers(1, 3)))]
        turns.append(says(content=draw(st.none() | TEXTS), tool_calls=[call(each) for each in ids]))
        turns.extend(result(each) for each in draw(st.permutations(ids)))
    return [*turns, says(content=draw(CONTENTS))]


@st.composite
def conversations(draw):
    system = draw(st.lists(st.just({"role": "system", "content": "be kind"}), max_size=2))
    messages = [turn for each in draw(st.lists(rounds(), min_size=1, max_size=3)) for turn in each]
    return [*system, *messages, *draw(st.lists(st.just(USER), max_size=1))]


def without(message, field):
    return {name: value for name, value in message.items() if name != field}


# Each turns one message of the given role into the messages that make the conversation illegal.
MUTATIONS = {
    "unknown field": ("user", lambda old: [{**old, "mood": 1}]),
    "bad role": ("user", lambda old: [{**old, "role": "boss"}]),
    "no content": ("user", lambda old: [without(old, "content")]),
    "content of wrong type": ("assistant", lambda old: [{**old, "content": 7}]),
    "empty assistant": ("assistant", lambda _: [says()]),
    "orphan result": ("user", lambda old: [result("lost"), old]),
    "result lost": ("tool", lambda _: []),
    "result twice": ("tool", lambda old: [old, old]),
    "result without id": ("tool", lambda old: [without(old, "tool_call_id")]),
    "interrupted results": ("tool", lambda old: [USER, old]),
    "not an object": ("user", lambda _: [None]),
}


@settings(deadline=None)
@given(conversations(), st.sampled_from(["openai", "deepseek"]))
def test_legal_conversations_have_no_problems(messages, dialect):
    assert problems(chat(messages), dialect) == []


@given(
    conversations(), st.sampled_from(["openai", "deepseek"]), st.sampled_from(sorted(MUTATIONS)), st.data()
)
def test_one_illegal_change_is_found(messages, dialect, mutation, data):
    role, change = MUTATIONS[mutation]
    candidates = [index for index, message in enumerate(messages) if message["role"] == role]
    if not candidates:
        return
    at = data.draw(st.sampled_from(candidates))
    changed = [*messages[:at], *change(messages[at]), *messages[at + 1 :]]
    found = problems(chat(changed), dialect)
    assert found
    assert all(re.match(r"messages\[\d+\]", problem) for problem in found)


# --- the package


def test_the_provider_needs_only_the_standard_library():
    folder = Path(convmem.testing.provider.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                own = name.startswith("convmem.testing.provider")
                assert own or name.partition(".")[0] in sys.stdlib_module_names, f"{file.name} imports {name}"


@pytest.mark.parametrize("module", [convmem.testing, convmem.testing.provider])
def test_exported_names_are_sorted_and_there(module):
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
