"""Repairing damaged SQLite files: what can be read is kept, and the old file too."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import convmem
from convmem.errors import StoreCorruptError
from convmem.stores.sqlite import SQLiteStore
from convmem.stores.sqlite.settings import settings_of

PAGE = 4_096
FULL = Path(__file__).parent / "fixtures" / "first-edition-full.db"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def text(n):
    return f"Remark {n}: the shed number {n * 7} is " + "painted green and " * 12


@pytest.fixture
def file(tmp_path):
    """Two users, 160 turns, a pin, something forgotten, a picture."""
    path = tmp_path / "chat.db"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 600}}
    with convmem.Memory(path, embedder=None) as memory:
        for user in ("alice", "bob"):
            for session in range(4):
                messages = [
                    {"role": ("user", "assistant")[n % 2], "content": text(session * 20 + n)}
                    for n in range(20)
                ]
                times = [NOON + timedelta(minutes=n) for n in range(20)]
                memory.record(messages, user=user, session=f"s{session}", at=times)
        memory.record([{"role": "user", "content": [image]}], user="alice", session="picture")
        memory.record([{"role": "user", "content": "PIN code 4417"}], user="alice", session="secret")
        memory.pin("Allergic to peanuts.", user="alice")
        memory.forget(user="alice", text="4417")
        memory.flush()
    return path


def overwrite(path, pages):
    with path.open("r+b") as handle:
        for page in pages:
            handle.seek((page - 1) * PAGE)
            handle.write(b"\xa5" * PAGE)


def leaves(path, table):
    """The pages that hold a table's rows."""
    with sqlite3.connect(path) as db:
        try:
            rows = db.execute(
                "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno", (table,)
            ).fetchall()
        except sqlite3.OperationalError:
            pytest.skip("this SQLite tells no page numbers (dbstat)")
    db.close()
    return [page for (page,) in rows]


def held(path):
    with convmem.Memory(path, embedder=None) as memory:
        return {(turn.user, turn.session, turn.text): turn for turn in memory_turns(memory)}


def memory_turns(memory):
    return [t for s in memory.sessions() for t in memory.turns(user=s.user, session=s.name, branches=True)]


def test_a_sound_file_is_the_same_afterwards(file):
    before = held(file)
    done = convmem.repair(file)
    assert (done.turns, done.lost) == (161, 0)
    assert held(file) == before
    with convmem.Memory(file, embedder=None) as memory:
        assert [pin.text for pin in memory.pins(user="alice")] == ["Allergic to peanuts."]
        assert memory.check(mend=True).sound
        assert memory.recall("shed number 217", user="bob")
        again = memory.record([{"role": "user", "content": "new"}], user="alice", session="new")
    assert int(again[0][1:]) > max(turn.seq for turn in before.values())


def test_what_was_forgotten_stays_known_as_forgotten(file):
    convmem.repair(file)
    with convmem.Memory(file, embedder=None) as memory:
        history = [{"role": "user", "content": "PIN code 4417"}, {"role": "assistant", "content": "ok"}]
        memory.record(history, user="alice", session="secret")
        assert [turn.text for turn in memory.turns(user="alice", session="secret", branches=True)] == ["ok"]


def test_damaged_pages_cost_what_stood_on_them(file):
    before = held(file)
    pages = leaves(file, "contents")
    # The second page has turns alone; what stands further on depends on how fast they were indexed.
    overwrite(file, [pages[1], pages[2 * len(pages) // 3]])
    damaged = file.read_bytes()
    with convmem.Memory(file, embedder=None) as memory:
        health = memory.check()
    assert not health.sound
    assert health.problems
    done = convmem.repair(file)
    assert done.copy.read_bytes() == damaged
    assert done.copy.name.startswith("chat.db.before-repair-")
    after = held(file)
    assert 0 < done.lost < 60
    assert len(after) == done.turns == len(before) - done.lost
    assert after.keys() < before.keys()
    assert all(turn.payload == before[key].payload for key, turn in after.items() if key[1] != "picture")
    with convmem.Memory(file, embedder=None) as memory:
        assert memory.check(mend=True).sound
        messages = [{"role": ("user", "assistant")[n % 2], "content": text(n)} for n in range(20)]
        for user in ("alice", "bob"):  # an app that sends its history again heals it
            memory.record(messages, user=user, session="s0")
            texts = [turn.text for turn in memory.turns(user=user, session="s0", branches=True)]
            assert sorted(texts) == sorted(text(n) for n in range(20))


def test_a_turn_whose_picture_is_lost_keeps_its_words(tmp_path):
    path = tmp_path / "chat.db"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 600}}
    content = [{"type": "text", "text": "my bicycle"}, image]
    with convmem.Memory(path, embedder=None) as memory:
        memory.record([{"role": "user", "content": content}], user="alice", session="s")
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM media")
    db.close()
    done = convmem.repair(path)
    assert (done.turns, done.lost) == (1, 0)
    with convmem.Memory(path, embedder=None) as memory:
        (turn,) = memory.turns(user="alice", session="s")
        assert turn.payload["content"] == [content[0], {"type": "image_url", "image_url": {"url": ""}}]
        assert memory.record([{"role": "user", "content": content}], user="alice", session="s") == [turn.id]


def told(path):
    """The system texts of the calls, None where it is lost."""
    store = SQLiteStore(path)
    try:
        with store._db.reading() as db:
            found = db.execute("SELECT settings FROM calls ORDER BY id").fetchall()
            return [settings_of(db, row)[0]["content"] if row is not None else None for (row,) in found]
    finally:
        store.close()


def test_system_texts_whose_base_is_lost_are_lost_and_no_others(tmp_path):
    path = tmp_path / "chat.db"
    rules = {user: f"You serve {user}. Answer in short sentences. " * 60 for user in ("alice", "bob")}
    with convmem.Memory(path, embedder=None) as memory:
        for n in range(6):
            for user in ("alice", "bob"):
                system = {"role": "system", "content": f"It is minute {n}. {rules[user]}"}
                memory.record([system, {"role": "user", "content": f"{n}"}], user=user, session="s")
    before = told(path)
    convmem.repair(path).copy.unlink()  # the next copy may be of the same second
    assert told(path) == before
    with sqlite3.connect(path) as db:
        db.execute(
            "DELETE FROM contents WHERE id = (SELECT s.payload FROM settings s"
            " JOIN owners o ON o.id = s.owner JOIN contents c ON c.id = s.payload"
            " JOIN names n ON n.id = o.name"
            " WHERE n.body = 'alice' AND typeof(c.body) = 'text')"
        )
    db.close()
    assert convmem.repair(path).turns == 12
    assert told(path) == [text if "bob" in text else None for text in before]


@pytest.mark.parametrize("table", ["turns", "turns_by_change", "sessions", "names"])
def test_a_table_with_a_damaged_page_is_written_anew(file, table):
    overwrite(file, leaves(file, table)[:1])
    done = convmem.repair(file)
    assert done.turns + done.lost >= (0 if table == "sessions" else 100)
    with convmem.Memory(file, embedder=None) as memory:
        assert memory.check(mend=True).sound
        assert memory.stats().turns == done.turns


def test_what_cannot_be_repaired_is_left_as_it_was(file, tmp_path):
    with pytest.raises(convmem.InputError, match="no such file"):
        convmem.repair(tmp_path / "none.db")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(convmem.StoreFormatError, match="another program"):
        convmem.repair(foreign)
    overwrite(file, [1])
    damaged = file.read_bytes()
    with pytest.raises(convmem.StoreFormatError, match="not a SQLite database"):
        convmem.repair(file)
    assert file.read_bytes() == damaged
    assert not list(tmp_path.glob("*.repairing*"))


def test_without_a_copy_nothing_is_touched(file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    before = file.read_bytes()
    with pytest.raises(convmem.StoreError, match="No space left on device"):
        convmem.repair(file)
    assert file.read_bytes() == before
    assert list(file.parent.glob("chat.db?*")) == []


def test_a_file_that_somebody_has_open_is_refused(file):
    with convmem.Memory(file, embedder=None) as memory:
        with pytest.raises(convmem.StoreLockedError):
            convmem.repair(file)
        memory.record([{"role": "user", "content": "still here"}], user="alice", session="s")
    assert any(key[2] == "still here" for key in held(file))


DAMAGED_VALUES = [
    "UPDATE turns SET at = '2026-11-29T23:03:08*124148+00:00' WHERE seq = (SELECT max(seq) FROM turns)",
    "UPDATE sessions SET created = '2026-11-29T2?:03' WHERE id = 1",
    "UPDATE turns SET role = CAST(X'75FF65' AS TEXT) WHERE seq = (SELECT max(seq) FROM turns)",
    "UPDATE turns SET media = '[[' WHERE media IS NOT NULL",
    "UPDATE calls SET usage = '{\"prompt_tokens' ",
    "UPDATE receipts SET account = '{\"x'",
    "UPDATE receipt_turns SET about = '{\"x' WHERE about IS NOT NULL",
    "UPDATE pins SET at = 'x'",
]


@pytest.mark.parametrize("damage", DAMAGED_VALUES)
@pytest.mark.parametrize("edition", ["first", "second"])
def test_values_that_nobody_can_have_written_are_told_and_mended(tmp_path, edition, damage):
    """SQLite itself finds nothing wrong with a bit that flipped in the midst of a text."""
    path = Path(shutil.copy(FULL, tmp_path / "chat.db"))
    if edition == "second":
        SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(damage).rowcount
        db.commit()
    with convmem.Memory(path, embedder=None) as memory:
        turns = memory.stats().turns
        for read in (memory.check, memory.receipts, memory.sessions, lambda: memory.pins(user="alice")):
            with suppress(StoreCorruptError):
                read()
    done = convmem.repair(path)
    assert (done.turns, done.lost) == (turns, 0)
    with convmem.Memory(path, embedder=None) as memory:
        assert not memory.check().problems
        memory.receipts()
        memory.pins(user="alice")


@pytest.mark.parametrize(("table", "column"), [("owners", "user"), ("sessions", "name")])
def test_a_name_of_the_first_edition_that_is_no_text_any_more_is_damage_that_is_repaired(
    tmp_path, table, column
):
    path = Path(shutil.copy(FULL, tmp_path / "chat.db"))
    with closing(sqlite3.connect(path)) as db:
        (turns,) = db.execute("SELECT count(*) FROM turns").fetchone()
        db.execute(f"UPDATE {table} SET {column} = CAST(X'61FF' AS TEXT) WHERE id = 1")  # noqa: S608 (names of ours)
        db.commit()
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="not UTF-8"):
        SQLiteStore(path)
    assert path.read_bytes() == before
    done = convmem.repair(path)
    assert (done.turns, done.lost) == (turns, 0)
    SQLiteStore(path).close()


def test_a_file_without_its_key_is_damaged(tmp_path):
    for edition in ("first", "second"):
        path = Path(shutil.copy(FULL, tmp_path / f"{edition}.db"))
        if edition == "second":
            SQLiteStore(path).close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM store")
            db.commit()
        with pytest.raises(StoreCorruptError, match="its key is gone"):
            SQLiteStore(path)


def test_a_row_of_the_first_edition_without_its_owner_is_damage(tmp_path):
    path = Path(shutil.copy(FULL, tmp_path / "chat.db"))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE sessions SET owner = 999 WHERE id = 1")
        db.commit()
    with pytest.raises(StoreCorruptError):
        SQLiteStore(path)
    convmem.repair(path)
    SQLiteStore(path).close()
