"""Clients of both kinds, on every kind of service."""

from __future__ import annotations

import asyncio
import inspect

import openai
import pytest

import convmem


@pytest.fixture
def memory():
    """A journal that no disk slows down."""
    with convmem.Memory(":memory:", deadline_ms=10_000, embedder="none") as opened:
        yield opened


@pytest.fixture(scope="module", params=["sync", "async", "azure", "async azure"])
def kind(request):
    """How to make a client of one kind, and how to run what uses it. Clients share their connections."""
    with asyncio.Runner() as runner:
        azure = "azure" in request.param
        name = ("Async" if "async" in request.param else "") + ("AzureOpenAI" if azure else "OpenAI")
        place = {"azure_endpoint": "http://x", "api_version": "1"} if azure else {"base_url": "http://x"}
        client = getattr(openai, name)(api_key="x", max_retries=0, **place)
        yield client, runner.run
        closing = client.close()
        if inspect.isawaitable(closing):
            runner.run(_awaited(closing))


async def _awaited(value):
    return await value


@pytest.fixture
def service(kind, provider):
    """A client for this test's provider, and how to run what uses it."""
    client, run = kind
    url = f"{provider.origin}/openai" if "Azure" in type(client).__name__ else provider.base_url
    return client.with_options(base_url=url), run
