"""A file that the first edition wrote: opened, it is of the present schema, and nothing in it has changed."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.stores.fixtures.dump import dump
from tests.stores.processes import finish, run, start

import convmem
from convmem.abilities import LearntLimit
from convmem.protocols import NodesRequest, SessionRef, TurnsRequest
from convmem.stores.sqlite import SQLiteStore, opening
from convmem.testing._store.base import add, said

FIXTURES = Path(__file__).parent / "fixtures"
FIRST = ("m001_journal", "m002_receipts")
TOLD = json.loads((FIXTURES / "first-edition.json").read_text(encoding="utf-8"))
FORGOTTEN_NAMES = (b"carol", b"diary", b"gone", b"lost")


@pytest.fixture
def file(tmp_path):
    """A file of the first edition before it kept receipts."""
    return Path(shutil.copy(FIXTURES / "first-edition.db", tmp_path / "chat.db"))


@pytest.fixture
def full(tmp_path):
    """A file of the first edition with all that one can hold."""
    return Path(shutil.copy(FIXTURES / "first-edition-full.db", tmp_path / "full.db"))


def applied(path):
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]


def schema_of(path):
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def test_the_fixtures_are_of_the_first_edition(file, full):
    assert applied(file) == ["m001_journal"]
    for path in (full, FIXTURES / "first-edition-new.db"):
        assert applied(path) == list(FIRST)


def test_everything_is_told_as_the_first_edition_told_it(full):
    """The fixture beside it is what the first edition itself read from the same file."""
    SQLiteStore(full).close()
    assert applied(full) == list(opening.MIGRATIONS)
    found = dump(full)
    assert found.keys() == TOLD.keys()
    for part, told in TOLD.items():
        assert found[part] == told, part


def test_no_row_is_lost_and_no_number_given_twice(file, full):
    migration = pytest.importorskip("benchmarks.durable.migration", reason="not part of the sdist")
    before = migration.meaning(full)
    for path in (file, full):
        SQLiteStore(path).close()
    assert migration.meaning(full) == before
    assert all(not rows.startswith("0 rows") for rows in before.values())
    store = SQLiteStore(full)
    add(store, SessionRef("alice", "garden"), said("new"))
    assert store.turns(TurnsRequest(limit=1_000))[-1].seq > max(turn["seq"] for turn in TOLD["turns"]) + 1
    store.close()


def test_it_has_the_tables_of_a_new_file(file, full, tmp_path):
    new = tmp_path / "new.db"
    empty = Path(shutil.copy(FIXTURES / "first-edition-new.db", tmp_path / "empty.db"))
    for path in (new, file, full, empty):
        SQLiteStore(path).close()
        assert schema_of(path) == schema_of(new)


def test_names_of_what_was_forgotten_are_gone_from_its_bytes(full):
    assert all(name in full.read_bytes() for name in FORGOTTEN_NAMES)
    store = SQLiteStore(full)
    try:
        assert not Path(f"{full}-wal").stat().st_size
        assert not [name for name in FORGOTTEN_NAMES if name in full.read_bytes()]
        lost = SessionRef("carol", "diary")
        assert store.nodes(NodesRequest(lost)).nodes
        assert all(node.forgotten for node in store.nodes(NodesRequest(lost)).nodes)
    finally:
        store.close()


def test_one_line_says_how_long_it_took(full, caplog):
    with caplog.at_level(logging.INFO, "convmem"):
        SQLiteStore(full).close()
        SQLiteStore(full).close()
    (record,) = caplog.records
    assert re.search(
        r"full\.db: brought from an earlier edition to this one, 76 turns in [\d.]+ s", record.message
    )


def test_the_first_edition_refuses_it_from_then_on(file, monkeypatch):
    SQLiteStore(file).close()
    monkeypatch.setattr(opening, "MIGRATIONS", FIRST)
    with pytest.raises(convmem.StoreNewerError, match="m003_second_edition"):
        SQLiteStore(file)


# Whatever happens meanwhile, the file is the old one or the new one.


def test_a_row_that_names_none_is_damage_and_leaves_the_file_as_it_was(full):
    with closing(sqlite3.connect(full)) as db, db:
        db.execute("UPDATE turns SET session = 4711 WHERE seq = 5")
    before = full.read_bytes()
    with pytest.raises(convmem.StoreCorruptError, match=r"a row names one that is not there.*repair"):
        SQLiteStore(full)
    assert applied(full) == list(FIRST)
    assert sound(full, before)
    assert convmem.repair(full).turns == 75
    assert applied(full) == list(opening.MIGRATIONS)


def sound(path, before):
    """The pages are those of before; of the header only the kind of log may be another."""
    now = path.read_bytes()
    return now[100:] == before[100:] and len(now) == len(before)


def test_no_room_for_it(full, monkeypatch):
    """The log has no room: the file is left as it was, and brought up to date once there is."""
    before = full.read_bytes()
    real = opening.use_wal

    def limited(db, wait_s):
        real(db, wait_s)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")

    monkeypatch.setattr(opening, "use_wal", limited)
    with pytest.raises(convmem.StoreUnavailableError, match="full; make room on the disk"):
        SQLiteStore(full)
    monkeypatch.undo()
    assert applied(full) == list(FIRST)
    assert sound(full, before)
    assert dump(full)["turns"] == TOLD["turns"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_written():
    """Seen by a user without rights; the file stays as it was, and nothing is left beside it."""
    folder = Path(tempfile.mkdtemp(prefix="convmem-"))  # pytest's own may be entered by nobody else
    path = Path(shutil.copy(FIXTURES / "first-edition-full.db", folder / "a.db"))
    path.chmod(0o666)
    folder.chmod(0o555)
    script = """
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            SQLiteStore(path)
        except StoreError as error:
            print(type(error).__name__)
        """
    try:
        assert run(script, path) == "StoreReadOnlyError"
        assert path.read_bytes() == (FIXTURES / "first-edition-full.db").read_bytes()
        assert list(folder.iterdir()) == [path]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_reader_goes_on_reading_the_old_edition(full):
    """Its snapshot is kept; the log is emptied by whoever comes when it has ended."""
    with closing(sqlite3.connect(full)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(full, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        names = "SELECT user FROM owners WHERE user IS NOT NULL ORDER BY id"
        before = reader.execute(names).fetchall()
        store = SQLiteStore(full)
        assert reader.execute(names).fetchall() == before
        reader.execute("COMMIT")
        with pytest.raises(sqlite3.OperationalError, match="no such column: user"):
            reader.execute(names)
        store.close()
    assert dump(full) == TOLD


_INSERT_TURN = (
    "INSERT INTO turns (session, parent, identity, saying, meaning, role, state, at, payload, generation)"
    " VALUES (1, X'00', X'01', 0, X'02', ?, 'answered', '', 1, 1)"
)
OLD_STATEMENTS = (
    _INSERT_TURN,
    "SELECT o.id, s.id, s.generation FROM owners o JOIN sessions s ON s.owner = o.id WHERE o.user = ?",
    "INSERT INTO owners (user) VALUES (?) ON CONFLICT DO NOTHING",
    "INSERT INTO tombstones (session, parent, identity, generation) VALUES (1, ?, X'01', 1)",
    "SELECT owner, entry, fingerprint, vector FROM views WHERE turn = ?",
    "INSERT INTO calls VALUES (?, 1, '', 'answered', 'm', 'h', NULL, NULL, NULL, NULL, NULL)",
    "INSERT OR REPLACE INTO epochs VALUES (1, 'h', 'm', ?, 1)",
    "INSERT INTO receipts (call, session, at, account) VALUES (?, 1, 1, '{}')",
    "INSERT INTO media VALUES (1, ?, 1)",
    "SELECT id FROM sessions WHERE owner = 1 AND (? IS NULL OR name = 'garden')",
)


@pytest.mark.parametrize("statement", OLD_STATEMENTS)
def test_a_process_of_the_first_edition_that_has_it_open_fails_and_writes_nothing(full, statement):
    """Its statements were made for other tables; when it opens the file again it is told why."""
    with closing(sqlite3.connect(full, isolation_level=None)) as old:
        old.execute("PRAGMA foreign_keys = ON")
        old.execute("SELECT count(*) FROM turns").fetchone()
        SQLiteStore(full).close()
        old.execute("BEGIN IMMEDIATE")
        if statement.startswith("SELECT id FROM sessions"):  # harmless: names are numbers now
            assert old.execute(statement, ("garden",)).fetchall() == []
        else:
            with pytest.raises(sqlite3.Error, match=r"no (such )?column|constraint failed|columns but"):
                old.execute(statement, ("carol",))
        old.execute("ROLLBACK")
    assert dump(full) == TOLD


def test_several_processes_open_it_at_once(full):
    """One of them brings it up to date, the others wait for that."""
    script = "sys.stdin.readline(); tell(len(SQLiteStore(path).turns(TurnsRequest(limit=1000))))"
    processes = [start(script, full) for _ in range(4)]
    assert [finish(process, "go\n") for process in processes] == ["76"] * 4
    assert dump(full) == TOLD


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_at_any_moment_it_is_the_old_file_or_the_new_one(tmp_path):
    """In small; `python benchmarks/durability.py migrate --runs 200` does it at length."""
    migration = pytest.importorskip("benchmarks.durable.migration", reason="not part of the sdist")
    assert migration.migrate(runs=24, turns=600, seed=3, folder=tmp_path)


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


def test_all_but_views_and_generations_survives_a_repair_into_the_present_schema(full):
    assert convmem.repair(full).lost == 0
    found = dump(full)
    for part in set(TOLD) - {"nodes", "since", "views"}:
        assert found[part] == TOLD[part], part
    assert {ref: nodes for ref, (_, _, nodes) in found["nodes"].items()} == {
        ref: nodes for ref, (_, _, nodes) in TOLD["nodes"].items()
    }
