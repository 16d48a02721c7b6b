"""Running examples as a reader does: by their file, offline or with a provider in the environment."""

from __future__ import annotations

import functools
import runpy
import sys
from pathlib import Path

import pytest

import convmem
import offline

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def room(monkeypatch, tmp_path):
    """Examples keep their files in the current folder; here they get as much time as they need."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("convmem.retrieve.indexer._FINISH_S", 20.0)  # the next start asks for it
    for name in ("Memory", "AsyncMemory"):
        opened = functools.partial(getattr(convmem, name), deadline_ms=20_000, embedder="none")
        monkeypatch.setattr(convmem, name, opened)


@pytest.fixture
def keyed(provider, monkeypatch):
    """The environment of a reader with a key: `provider` answers as the stand-in would."""
    provider.default = offline.quote
    monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    monkeypatch.setenv("OPENAI_MODEL", "gpt-6-luna")
    return provider


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example and returns what it prints."""

    def ran(name, *arguments, typed=()):
        lines = iter(typed)

        def said(prompt=""):
            try:
                return next(lines)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.setattr("builtins.input", said)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return ran
