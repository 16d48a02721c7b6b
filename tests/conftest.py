"""What every test may use: a local provider, a store on disk, clients of both kinds."""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import ssl
from typing import TYPE_CHECKING

import openai
import pytest
from hypothesis import HealthCheck, settings

import convmem
from convmem.testing import LocalProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# No test measures time: how long an example takes says more about the machine than about the code. The same
# examples in every run; HYPOTHESIS_PROFILE=search looks for new ones.
settings.register_profile(
    "convmem", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "convmem"))

# A shell that starts the tests with & has them ignore Ctrl-C, and so would the programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is slow runs when it is asked for."""
    if not config.getoption("-m"):
        skip = pytest.mark.skip(reason="slow; run with -m slow")
        for item in items:
            if item.get_closest_marker("slow") is not None:
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage: looking through them takes .1 s, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _certificates() -> Iterator[None]:
    """Read the certificates of the world once; each client would, for 16 ms, and asks only 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", functools.lru_cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without turns: making its tables anew takes as long as ten calls."""
    path = tmp_path_factory.mktemp("blank") / "blank.db"
    convmem.Memory(path, embedder="none").close()
    return path


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as running:
        yield running


@pytest.fixture
def memory(blank: Path, tmp_path: Path) -> Iterator[convmem.Memory]:
    shutil.copy(blank, tmp_path / "chat.db")
    with convmem.Memory(tmp_path / "chat.db", deadline_ms=5_000, embedder="none") as opened:
        yield opened


@pytest.fixture
def bare(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def client(memory: convmem.Memory, bare: openai.OpenAI) -> openai.OpenAI:
    return memory.wrap(bare, user="alice", session="s")
