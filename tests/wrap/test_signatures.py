"""What tools read off a client (names, signatures, documentation) they read off its twin as well."""

from __future__ import annotations

import asyncio
import inspect
import typing

import openai
import pytest

import convmem

METHODS = ("copy", "with_options", "post", "get")


class Metered(openai.OpenAI):
    """A client of an application's own, which signs and documents its methods itself."""

    def post(self, path, *, cast_to, note: str = "", **options):
        """Send, and note what for."""
        self.noted = note
        return super().post(path, cast_to=cast_to, **options)


def make(name):
    cls = {"Metered": Metered}.get(name) or getattr(openai, name)
    place = {"azure_endpoint": "http://x.example", "api_version": "1"} if "Azure" in name else {}
    return cls(api_key="x", **place)


@pytest.fixture
def memory():
    with convmem.Memory(":memory:", embedder="none") as opened:
        yield opened


@pytest.fixture(params=["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI", "Metered"])
def pair(request, memory):
    client = make(request.param)
    return client, memory.wrap(client, user="ana")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_tells_of_itself_what_the_clients_own_does(pair, name):
    theirs, ours = (getattr(client, name) for client in pair)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert inspect.signature(ours.__func__) == inspect.signature(theirs.__func__)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    assert ours.__self__ is pair[1]
    for told in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(ours, told) == getattr(theirs, told), told
    assert typing.get_overloads(ours.__func__) == typing.get_overloads(theirs.__func__)


def test_twins_of_twins_and_copies_do_too(pair, memory):
    client, twin = pair
    for made in (twin.with_options(timeout=3), twin.copy(max_retries=1), memory.wrap(twin, session="t")):
        assert type(made) is type(client)
        for name in METHODS:
            assert inspect.signature(getattr(made, name)) == inspect.signature(getattr(client, name))


def test_every_argument_of_the_clients_own_copy_is_taken(memory, provider):
    with openai.OpenAI(base_url=provider.base_url, api_key="x") as bare:
        twin = memory.wrap(bare, user="ana", session="s")
        copied = twin.copy(timeout=7, max_retries=0, default_headers={"x-team": "blue"})
        assert (copied.timeout, copied.max_retries) == (7, 0)
        copied.chat.completions.create(model="m", messages=[{"role": "user", "content": "你好"}])
    assert provider.requests[-1].headers["x-team"] == "blue"
    assert [turn.text for turn in memory.turns(user="ana", session="s")] == ["你好", "echo: 你好"]
    with pytest.raises(TypeError, match="no_such_option"):
        twin.copy(no_such_option=1)


def test_an_async_twins_post_is_awaited(memory, provider):
    async def ask():
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x") as bare:
            twin = memory.wrap(bare, user="ana", session="s")
            await twin.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])

    asyncio.run(ask())
    assert len(memory.turns(user="ana", session="s")) == 2
