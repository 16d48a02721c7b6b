"""The kit for stores, run over every one that convmem has."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from itertools import count

import pytest

from convmem.protocols import CallRow
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.stores.sqlite.settings import settings_of
from convmem.testing.abilities import (
    AccountsConformance,
    CallReadsConformance,
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
    CallReadsConformance,
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
                "SELECT id, at, state, model, host, settings, end, usage, response_id, error FROM calls"
                " WHERE id = ?",
                (call,),
            ).fetchone()
            if row is None:
                return None
            settings = tuple(settings_of(db, row[5])) if row[5] is not None else ()
        id_, at, state, model, host, _, end, usage, response_id, error = row
        return CallRow(
            id=id_,
            at=datetime.fromisoformat(at),
            state=state,
            model=model,
            host=host,
            settings=settings,
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
        row = store._calls.get(call)
        told = [texts.of(call) for texts in store._settings.values() if call in texts.by_call]
        return replace(row, settings=told[0] if told else ()) if row is not None else None


def test_no_kit_hides_the_test_of_another():
    names = [name for kit in _Everything.__mro__ for name in vars(kit) if name.startswith("test_")]
    assert len(names) == len(set(names))
    assert len(names) > 80
