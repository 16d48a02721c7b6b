"""Holding, many clients, paths and starting: the local provider as a server."""

from __future__ import annotations

import ast
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from openai import AzureOpenAI, OpenAI
from tests.local_provider.asking import HI, ask, chat, connect, post

import convmem.testing
import convmem.testing.provider
from convmem.testing import LocalProvider, Reply

# Holding, many at once, clients that leave, start and close.


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
    connection = http.client.HTTPConnection(provider.origin.removeprefix("http://"), timeout=60)
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
        assert process.wait(60) == 0
    assert answer.choices[0].message.content == "echo: hi"


# Paths and authorization.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/chat/completions", 200),
        ("POST", "/beta/chat/completions", 200),
        ("POST", "/openai/v1/chat/completions", 200),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/v1/models/gpt-6-sol", 200),
        ("GET", "/v1/models/none", 404),
        ("POST", "/v1/images/generations", 404),
        ("DELETE", "/v1/responses/resp_1", 405),
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


# The package.


def test_the_provider_needs_only_the_standard_library_and_our_locks():
    """Those are the standard library's, found free in a child that is forked off."""
    folder = Path(convmem.testing.provider.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                own = name.startswith(("convmem.testing.provider", "convmem.threads.locks"))
                assert own or name.partition(".")[0] in sys.stdlib_module_names, f"{file.name} imports {name}"


@pytest.mark.parametrize("module", [convmem.testing, convmem.testing.provider])
def test_exported_names_are_sorted_and_there(module):
    assert list(module.__all__) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
