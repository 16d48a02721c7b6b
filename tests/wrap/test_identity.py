"""Drop-in means exact: the bytes on the wire, the caller's objects, the client itself."""

from __future__ import annotations

import asyncio
import copy
import functools
import random

import openai
import pytest
from tests.wrap.conversations import arguments, messages

import convmem
from convmem.errors import WrapError
from convmem.testing import LocalProvider


@pytest.fixture
def provider():
    """The generated conversations are legal at OpenAI, whatever the model is called."""
    with LocalProvider(dialect="openai") as running:
        yield running


SEEDS = pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 200), marks=pytest.mark.slow)])


@SEEDS
def test_the_server_receives_the_same_bytes(seeds, provider, bare, memory):
    """Generated conversations, each once through the bare client and once through a fresh wrap."""
    for seed in seeds:
        rng = random.Random(seed)
        given = {**arguments(rng), "messages": messages(rng), "stream": rng.random() < 0.4}
        before = copy.deepcopy(given)
        wrapped = memory.wrap(bare, user=f"u{seed}", session="s")
        for client in (bare, wrapped):
            reply = client.chat.completions.create(**given)
            if given["stream"]:
                list(reply)
            assert given == before, f"seed {seed}: the caller's objects changed"
        plain, ours = provider.requests[-2:]
        assert ours.body == plain.body, f"seed {seed}"
        assert _headers(ours) == _headers(plain), f"seed {seed}"
        assert memory.last_receipt().journaled


def test_the_server_receives_the_same_bytes_async(provider, memory):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x") as bare:
            for seed in range(40):
                rng = random.Random(seed)
                given = {**arguments(rng), "messages": messages(rng), "stream": rng.random() < 0.4}
                before = copy.deepcopy(given)
                for client in (bare, memory.wrap(bare, user=f"u{seed}", session="s")):
                    reply = await client.chat.completions.create(**given)
                    if given["stream"]:
                        _ = [chunk async for chunk in reply]
                    assert given == before
                plain, ours = provider.requests[-2:]
                assert ours.body == plain.body

    asyncio.run(go())


def _headers(request):
    return {name: value for name, value in request.headers.items() if name != "x-stainless-retry-count"}


class Subclass(openai.OpenAI):
    """A client of somebody's own, which `copy()` cannot copy."""

    def __init__(self, tenant: str, url: str) -> None:
        super().__init__(base_url=url, api_key="x", _strict_response_validation=True)
        self.tenant = tenant
        self.calls = 0

    def post(self, *args, **kwargs):
        self.calls += 1
        return super().post(*args, **kwargs)


def clients(url: str):
    yield openai.OpenAI(base_url=url, api_key="x", default_headers={"X-Team": "7"}, max_retries=7)
    yield openai.AsyncOpenAI(base_url=url, api_key="x")
    yield openai.AzureOpenAI(azure_endpoint=url.removesuffix("/v1"), api_key="x", api_version="2026-01-01")
    yield Subclass("acme", url)


def test_the_twin_is_of_the_same_type_and_the_client_untouched(provider, memory):
    for client in clients(provider.base_url):
        client.chat  # noqa: B018 (a cached resource, bound to the client)
        before = dict(vars(client))
        twin = memory.wrap(client)
        assert type(twin) is type(client)
        assert vars(client) == before
        assert twin.chat.completions._client is twin
        assert twin._strict_response_validation == client._strict_response_validation
        assert twin.max_retries == client.max_retries
        assert twin.default_headers.get("X-Team") == client.default_headers.get("X-Team")
        assert twin._client is client._client, "the connections are shared"
        if isinstance(client, openai.OpenAI):
            client.close()
        else:
            asyncio.run(client.close())


def test_a_subclass_keeps_its_own_post_and_attributes(provider, memory):
    client = Subclass("acme", provider.base_url)
    twin = memory.wrap(client, user="alice", session="s")
    twin.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert (twin.tenant, twin.calls, client.calls) == ("acme", 1, 0)
    assert [turn.text for turn in memory.turns(user="alice", session="s")] == ["hi", "echo: hi"]
    client.close()


def test_azure_goes_to_its_deployment(provider, memory):
    url = provider.origin
    with openai.AzureOpenAI(azure_endpoint=url, api_key="x", api_version="2026-01-01") as client:
        twin = memory.wrap(client, user="alice", session="s")
        twin.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    assert "/deployments/gpt-4o/" in provider.requests[-1].path
    assert len(memory.turns(user="alice", session="s")) == 2


def test_copies_of_the_twin_remember_too(client, memory):
    for other in (client.copy(), client.with_options(timeout=9)):
        other.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert memory.last_receipt().session == "s"
    assert client.with_options(timeout=9).timeout == 9


def test_wrapping_a_twin_binds_it_anew(bare, memory, tmp_path):
    with convmem.Memory(tmp_path / "other.db", embedder="none") as other:
        twice = other.wrap(memory.wrap(bare, user="alice", session="a"), user="bob", session="b")
        twice.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert memory.stats().turns == 0
        assert [turn.user for turn in other.turns(user="bob", session="b")] == ["bob", "bob"]


def test_a_client_patched_in_place_says_the_right_order(bare, memory):
    inner = bare.chat.completions.create
    bare.chat.completions.create = functools.partial(inner)
    with pytest.raises(WrapError, match=r"client\.chat\.completions\.create.*wrap first"):
        memory.wrap(bare)


def test_a_tracer_around_the_twin_keeps_working(bare, memory):
    twin = memory.wrap(bare, user="alice", session="s")
    inner, seen = twin.chat.completions.create, []

    def traced(**given):
        seen.append(given)
        return inner(**given)

    twin.chat.completions.create = traced
    twin.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert len(seen) == 1
    assert memory.stats().turns == 2


@pytest.mark.parametrize(
    ("thing", "remedy"),
    [
        (openai, "make a client first"),
        (openai.OpenAI, "make a client first"),
        (object(), "memory.record"),
        (None, "memory.record"),
    ],
)
def test_what_is_no_client_says_what_to_do(memory, thing, remedy):
    with pytest.raises(WrapError, match=remedy):
        memory.wrap(thing)


def test_other_endpoints_go_straight_through(client, memory, provider):
    assert client.models.list().data
    client.embeddings.create(model="e", input=["x"])
    assert memory.last_receipt() is None
    assert memory.stats().turns == 0


def test_closing_the_twin_closes_what_a_copy_would(memory, provider):
    client = openai.OpenAI(base_url=provider.base_url, api_key="x")
    memory.wrap(client).close()
    assert client.is_closed()
    assert memory.record([{"role": "user", "content": "still here"}])


def test_bodies_memory_cannot_read_are_the_providers_to_judge(bare, client, memory):
    for given in ([], "hi", [1], [{"content": "no role"}], {"role": "user"}, [None]):
        errors = []
        for one in (bare, client):
            with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the bare client raises)
                one.chat.completions.create(model="m", messages=given)
            errors.append((type(caught.value), str(caught.value)))
        assert errors[0] == errors[1]
    assert memory.stats().turns == 0
