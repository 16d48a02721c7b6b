"""A file that the first edition wrote: opened, it is of the present schema, and nothing in it has changed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import convmem
from convmem.abilities import LearntLimit
from convmem.stores.sqlite import SQLiteStore, opening

FIXTURE = Path(__file__).parent / "fixtures" / "first-edition.db"


@pytest.fixture
def file(tmp_path):
    return Path(shutil.copy(FIXTURE, tmp_path / "chat.db"))


def rows(path):
    """All rows of the tables that the first edition has."""
    with closing(sqlite3.connect(path)) as db:
        names = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            if not name.startswith(("_sqlite", "sqlite_", "receipt", "limits"))
        ]
        return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in names}  # noqa: S608


def applied(path):
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]


def test_the_fixture_is_of_the_first_edition(file):
    assert applied(file) == ["m001_journal"]
    assert set(rows(file)) >= {"turns", "calls", "views", "epochs"}


def test_opening_brings_it_up_to_date_and_changes_nothing(file):
    before = rows(file)
    SQLiteStore(file).close()
    assert applied(file) == list(opening.MIGRATIONS)
    assert rows(file) == before


def test_the_first_edition_refuses_it_from_then_on(file, monkeypatch):
    SQLiteStore(file).close()
    monkeypatch.setattr(opening, "MIGRATIONS", ("m001_journal",))
    with pytest.raises(convmem.StoreNewerError, match="m002_receipts"):
        SQLiteStore(file)


def test_what_it_holds_is_read_as_before(file):
    with convmem.Memory(file, embedder="none") as memory:
        texts = [turn.text for turn in memory.turns(user="alice", session="garden")]
        assert texts[:2] == ["The greenhouse key hangs behind the blue door.", "I will keep that in mind."]
        assert texts[4] == "水管在三月之前要换。"
        picture = memory.turns(user="alice", session="picture")[0].payload["content"][0]
        assert picture["image_url"]["url"] == "data:image/png;base64," + "QUJD" * 400
        assert [pin.text for pin in memory.pins(user="alice")] == ["Allergic to wasp stings."]
        assert memory.recall("Where does the greenhouse key hang?", user="alice")[0].turn.text == texts[0]
        assert memory.stats().calls == 6
        assert memory.ledger(user="alice").prompt_tokens == 30 + 62 + 94
        assert memory.check().sound
        assert memory.receipts() == []


def test_calls_made_from_then_on_have_receipts(file, bare):
    with convmem.Memory(file, embedder="none", deadline_ms=10_000) as memory:
        client = memory.wrap(bare, user="alice", session="garden")
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "And the tomatoes?"}])
        (receipt,) = memory.receipts()
        assert receipt.restored == 6
        old = memory.turns(user="alice", session="garden")[0]
        report = memory.forget(user="alice", turn_ids=[old.id, *receipt.turns])
        assert memory.verify_forgotten(report)
        assert memory.receipts() == []


def test_limits_are_learnt_in_it(file):
    store = SQLiteStore(file)
    limit = LearntLimit("h", "m", 4_096, store.sessions(convmem.protocols.SessionsRequest())[0].created)
    store.put_limit(limit)
    store.close()
    again = SQLiteStore(file)
    assert again.limits() == [limit]
    again.close()


def test_it_is_repaired_into_the_present_schema(file):
    done = convmem.repair(file)
    assert (done.turns, done.lost) == (12, 0)
    assert applied(file) == list(opening.MIGRATIONS)
    with convmem.Memory(file, embedder="none") as memory:
        assert memory.check(mend=True).sound
        assert memory.stats().turns == 12
