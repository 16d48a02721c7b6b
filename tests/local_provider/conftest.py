"""Providers and clients for the tests of the local provider."""

from __future__ import annotations

import pytest
from openai import OpenAI

from convmem.testing import LocalProvider


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
