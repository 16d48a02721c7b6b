"""The kit for stores, run over every one that convmem has."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import count

import pytest

from convmem.protocols import CallRow
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing.abilities import (
    AccountsConformance,
    CallsConformance,
    ChecksConformance,
    EpochsConformance,
    ForgetsConformance,
    LimitsConformance,
    PinsConformance,
    ResponsesConformance,
    ViewsConformance,
)
from convmem.testing.store import StoreConformance


class _Everything(
    StoreConformance,
    ViewsConformance,
    EpochsConformance,
    PinsConformance,
    CallsConformance,
    AccountsConformance,
    LimitsConformance,
    ResponsesConformance,
    ForgetsConformance,
):
    """The kits for the journal and for every ability."""


class _SQLite(_Everything, ChecksConformance):
    def read_call(self, store, call):
        with store._db.reading() as db:
            row = db.execute(
                "SELECT c.id, c.at, c.state, c.model, c.host, w.body, c.end, c.usage, c.response_id,"
                " c.error FROM calls c LEFT JOIN settings s ON s.id = c.settings"
                " LEFT JOIN contents w ON w.id = s.payload WHERE c.id = ?",
                (call,),
            ).fetchone()
        id_, at, state, model, host, settings, end, usage, response_id, error = row
        return CallRow(
            id=id_,
            at=datetime.fromisoformat(at),
            state=state,
            model=model,
            host=host,
            settings=tuple(json.loads(settings or "[]")),
            end=end,
            usage=json.loads(usage) if usage else None,
            response_id=response_id,
            error=error,
        )


class TestFile(_SQLite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.paths = (tmp_path / f"{n}.db" for n in count())

    def make_store(self):
        return SQLiteStore(next(self.paths))

    def reopen(self, store):
        store.close()
        return SQLiteStore(store._path)


class TestMemoryDatabase(_SQLite):
    def make_store(self):
        return SQLiteStore(":memory:")


class TestInMemory(_Everything):
    def make_store(self):
        return InMemoryStore()

    def read_call(self, store, call):
        return store._calls.get(call)


def test_no_kit_hides_the_test_of_another():
    names = [name for kit in _Everything.__mro__ for name in vars(kit) if name.startswith("test_")]
    assert len(names) == len(set(names))
    assert len(names) > 80
