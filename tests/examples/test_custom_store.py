"""The custom store keeps what every store has to keep, and its file survives being broken off."""

from __future__ import annotations

from itertools import count

import pytest

import convmem
from convmem.testing.abilities import ViewsConformance
from convmem.testing.store import StoreConformance
from custom_store import LinesStore


class _Made:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.paths = (tmp_path / f"{n}.jsonl" for n in count())

    def make_store(self):
        return LinesStore(next(self.paths))


class TestViews(_Made, ViewsConformance):
    """They end with the process and are made again, so there is nothing to reopen."""


class TestJournal(_Made, StoreConformance):
    examples = 5

    def reopen(self, store):
        return type(store)(store._path)


def test_a_line_that_was_broken_off_is_dropped(tmp_path):
    file = tmp_path / "chat.jsonl"
    with convmem.Memory(LinesStore(file)) as memory:
        memory.record([{"role": "user", "content": "kept"}], user="alice", session="s")
    file.write_bytes(file.read_bytes() + b'\n[{"ref": {"user": "alice", "ses')
    for _ in range(2):
        with convmem.Memory(LinesStore(file)) as memory:
            memory.record([{"role": "user", "content": "added"}], user="alice", session="s")
            assert [turn.text for turn in memory.turns(user="alice", session="s")] == ["kept", "added"]


def test_a_disk_that_is_full_breaks_no_chat(client, provider, tmp_path, monkeypatch):
    store = LinesStore(tmp_path / "chat.jsonl")
    with convmem.Memory(store, deadline_ms=100) as memory:
        wrapped = memory.wrap(client, user="alice", session="s")
        with monkeypatch.context() as full:
            full.setattr(type(store._path), "open", _full)
            said = [{"role": "user", "content": "said meanwhile"}]
            wrapped.chat.completions.create(model="m", messages=said)
            assert not memory.last_receipt().journaled
        memory.flush(20)
        assert memory.last_receipt().journaled
    with convmem.Memory(LinesStore(tmp_path / "chat.jsonl")) as memory:
        said = [turn.text for turn in memory.turns(user="alice", session="s")]
        assert said == ["said meanwhile", "echo: said meanwhile"]


def _full(*_arguments, **_options):
    raise OSError(28, "No space left on device")
