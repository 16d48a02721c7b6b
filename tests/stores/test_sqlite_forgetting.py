"""Forgotten words are nowhere in the files of a SQLite store, and it says so only when that is true."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.stores.processes import running

from convmem.abilities import Epoch, EpochRef, ForgetRequest, NewView, OwnerRef
from convmem.errors import StoreUnavailableError
from convmem.protocols import CallRow, NodesRequest, SessionRef, TurnsRequest
from convmem.stores.sqlite import SQLiteStore
from convmem.stores.sqlite.settings import settings_of
from convmem.testing._abilities.base import MODEL, OSAKA, OTHER_MODEL, owner_of, rows, seqs, unindexed, views
from convmem.testing._abilities.forgetting import forget
from convmem.testing._store.base import ALICE, BOB, NOON, add, contents, line, nodes, said

HOLD = """
    import sqlite3
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM turns").fetchone()
    print("reading", flush=True)
    sys.stdin.readline()
    db.close()
"""


@pytest.fixture
def store(tmp_path):
    store = SQLiteStore(tmp_path / "a.db")
    yield store
    store.close()


def on_disk(store):
    """All that the database and its log hold, byte by byte.

    Another process reads: closing the file in this one would take the locks of the store along.
    """
    script = "import sys; [sys.stdout.buffer.write(open(path, 'rb').read()) for path in sys.argv[1:]]"
    paths = [path for path in (store._path, f"{store._path}-wal") if Path(path).exists()]
    return subprocess.run([sys.executable, "-c", script, *paths], check=True, capture_output=True).stdout  # noqa: S603 (our own script)


def words(*names, who=""):
    """Words that stand nowhere else, in the scripts and forms in which the store may keep them."""
    return [f"{who}{name}-{form}" for name in names for form in ("zq", "忘れもの", "ß€")]


EVERYTHING = ("payload", "tool", "entry", "vector", "replaced", "medium", "settings", "summary", "pin")


def tell_everything(store, ref):
    """A session that has something of every kind, under words of the owner's own."""
    say = {name: "".join(words(name, who=ref.user)) * 3 for name in EVERYTHING}
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + f"{ref.user}medium-zq" * 200},
    }
    first = said(say["payload"])
    second = said([picture, {"type": "text", "text": "look"}], after=first, tool_calls=[{"a": say["tool"]}])
    settings = ({"role": "system", "content": say["settings"]},)
    add(store, ref, first, second, call=CallRow(id=ref.user, at=NOON, state="answered", settings=settings))
    places = seqs(store, ref)
    for name in ("replaced", "entry"):
        entry, vector = say[name].encode(), say["vector" if name == "entry" else name].encode()
        store.put_views([NewView(seq=s, entry=entry, fingerprint=MODEL, vector=vector) for s in places])
    for name in ("replaced", "summary"):
        store.put_epoch(EpochRef(ref, "h", "m"), Epoch(first.identity, say[name]))
    store.put_pin(OwnerRef(ref.user), say["pin"], NOON)


def found(store, who):
    disk = on_disk(store)
    return {w for name in EVERYTHING for w in words(name, who=who) if w.encode() in disk}


@pytest.mark.parametrize("size", [1, 300])
def test_forgotten_bytes_are_nowhere(store, size):
    """Of any kind of content, small or over many pages; another user's equal words are where they were."""
    for ref in (ALICE, BOB):
        tell_everything(store, ref)
        add(store, ref, said("the same words " * size))
    shown = contents(store, BOB)
    assert len(found(store, "alice")) > 20
    assert b"the same words" in on_disk(store)
    done = forget(store, ALICE, everything=True)
    assert (len(done.seqs), done.pins, done.pending) == (3, 1, 0)
    assert store.residue(owner_of(ALICE), done.seqs) == 0
    assert found(store, "alice") == set()
    assert b"alicemedium" not in on_disk(store)
    others = {w for w in found(store, "bob") if "replaced" not in w}
    assert {w.split("-")[0] for w in others} >= {f"bob{name}" for name in EVERYTHING if name != "replaced"}
    assert contents(store, BOB) == shown
    # Some stand across the border of a page.
    assert 0.95 * size <= on_disk(store).count(b"the same words ") <= size


def test_what_was_replaced_is_gone_too(store):
    """Old views and summaries are nobody's any more, and must not wait for somebody to ask."""
    tell_everything(store, ALICE)
    store._db.empty_log()
    assert "alicereplaced-zq" not in found(store, "alice")
    store.put_epoch(EpochRef(ALICE, "h", "m"), None)
    store._db.empty_log()
    assert "alicesummary-zq" not in found(store, "alice")


def test_no_copies_stay_where_rows_were_moved(store):
    """secure_delete zeroes what is deleted, not what a page kept of rows that went to another page.

    Hundreds of turns with views of growing sizes, out of order, and forgotten in between: with words in
    rows that SQLite moves, some are still in the file at the end.
    """
    chance = random.Random(7)
    marker = "<{:05d}>".format
    gone = set()
    for batch in range(12):
        ref = (ALICE, OSAKA, BOB)[batch % 3]
        start = store.stats().turns + len(gone) + 1
        made = [said(marker(n) * chance.randrange(1, 900), state="pending") for n in range(start, start + 60)]
        add(store, ref, *made)
        add(store, ref, states=[(t.identity, "answered") for t in made])
        every = [t.seq for t in store.turns(TurnsRequest(limit=10_000))]
        for model in (MODEL, OTHER_MODEL):
            chosen = chance.sample(every, len(every) // 2)
            store.put_views([NewView(seq=s, entry=marker(s).encode() * chance.randrange(90)) for s in chosen])
            vector = [NewView(seq=s, fingerprint=model, vector=marker(s).encode() * 96) for s in chosen]
            store.put_views(vector)
        for owner in ("alice", "bob"):
            mine = [t.seq for t in store.turns(TurnsRequest(owner=owner, limit=10_000))]
            picked = tuple(chance.sample(mine, len(mine) // 4))
            gone |= set(store.forget(ForgetRequest(owner=OwnerRef(owner), seqs=picked)).seqs)
    left = {t.seq for t in store.turns(TurnsRequest(limit=10_000))}
    assert len(gone) > 300
    assert len(left) > 100
    disk = on_disk(store)
    assert [n for n in gone if marker(n).encode() in disk] == []
    assert [n for n in left if marker(n).encode() not in disk] == []


RULES = "You are the clerk of a harbour office. 请用简短的句子回答。 " * 40


def secret(n):
    """A word that the system text of one call alone has."""
    return hashlib.sha256(str(n).encode()).hexdigest()[:24]


def clocked(n):
    """Settings that differ from call to call by a clock and a word."""
    return ({"role": "system", "content": f"Now: 10:00:{n:02d} <{secret(n)}>\n{RULES}"},)


def kept_secrets(store, numbers):
    """Whose words are on the disk; less their ends, in which two may agree by chance."""
    disk = on_disk(store)
    return [n for n in numbers if secret(n)[4:-4].encode() in disk]


def test_settings_kept_as_differences_are_forgotten_word_by_word(store):
    """The text that others are differences of goes as well; what they need of it is written anew before."""
    for n in range(30):
        row = CallRow(id=f"c{n:02d}", at=NOON, state="answered", settings=clocked(n))
        add(store, ALICE if n < 10 else OSAKA, said(f"{n}"), call=row)
    assert kept_secrets(store, range(30)) == list(range(30))
    forget(store, ALICE)
    assert kept_secrets(store, range(30)) == list(range(10, 30))
    with store._db.reading() as db:
        kept = db.execute("SELECT id, settings FROM calls ORDER BY id").fetchall()
        assert [tuple(settings_of(db, row)) for _, row in kept] == [clocked(n) for n in range(10, 30)]
        kinds = "SELECT typeof(c.body) FROM settings s JOIN contents c ON c.id = s.payload ORDER BY s.id"
        assert [kind for (kind,) in db.execute(kinds)] == ["text"] + ["blob"] * 19
    forget(store, OSAKA, everything=True)
    assert kept_secrets(store, range(30)) == []
    assert b"clerk of a harbour" not in on_disk(store)


def test_contents_are_only_appended_and_overwritten(store):
    """What the file promises about the one table with words: no row leaves, none changes its size."""
    tell_everything(store, ALICE)
    sizes = "SELECT id, length(CAST(body AS BLOB)) FROM contents ORDER BY id"
    with store._db.reading() as db:
        before = db.execute(sizes).fetchall()
    forget(store, ALICE, everything=True)
    with store._db.reading() as db:
        assert db.execute(sizes).fetchall() == before
        assert db.execute(
            "SELECT count(*) FROM contents WHERE body <> zeroblob(length(body))"
        ).fetchone() == (0,)
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in {"turns", "views", "media", "settings", "epochs", "pins", "calls"} & set(tables):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608 (ours)


def test_no_words_in_temporary_files(store):
    for transaction in (store._db.reading, store._db.writing):
        with transaction() as db:
            assert db.execute("PRAGMA temp_store").fetchone() == (2,)


def test_a_reader_in_another_process_keeps_the_log(store):
    """Said so, and ridden of when it lets go; the next reader changes nothing."""
    add(store, ALICE, *line("first alice-secret", "second"))
    add(store, BOB, said("bob-secret"))
    with running(HOLD, store._path):
        done = forget(store, ALICE)
        assert len(done.seqs) == 2
        assert done.pending == 1
        assert contents(store, ALICE) == []
        assert store.residue(owner_of(ALICE), done.seqs) == 1
        assert store.residue(owner_of(BOB), ()) == 0
        assert b"alice-secret" in on_disk(store)
    assert store.residue(owner_of(ALICE), done.seqs) == 0
    assert b"alice-secret" not in on_disk(store)
    assert b"bob-secret" in on_disk(store)
    add(store, BOB, said("more"))
    with running(HOLD, store._path):
        assert store.residue(owner_of(ALICE), done.seqs) == 0
        add(store, ALICE, said("again"))
        assert forget(store, ALICE).pending == 1
        assert forget(store, SessionRef("alice", "not there")).pending == 1
        assert store.residue(owner_of(BOB), ()) == 0


def test_whoever_opens_the_file_next_can_finish(store):
    add(store, ALICE, said("alice-secret"))
    with running(HOLD, store._path):
        done = forget(store, ALICE)
    again = SQLiteStore(store._path)
    assert again.residue(owner_of(ALICE), done.seqs) == 0
    assert b"alice-secret" not in on_disk(store)
    again.close()


def test_a_reader_of_ones_own_keeps_the_log(store):
    """A thread that reads for long; a short one is waited for."""
    add(store, ALICE, said("alice-secret"))
    begun, end = threading.Event(), threading.Event()

    def read(seconds):
        with store._db.reading() as db:
            db.execute("SELECT count(*) FROM turns").fetchone()
            begun.set()
            end.wait(seconds)

    other = SQLiteStore(store._path)
    reader = threading.Thread(target=read, args=(60,))
    reader.start()
    begun.wait()
    done = forget(other, ALICE)
    assert done.pending == 1
    end.set()
    reader.join()
    assert other.residue(owner_of(ALICE), done.seqs) == 0
    add(store, ALICE, said("alice-secret"))
    begun.clear()
    end.clear()
    reader = threading.Thread(target=read, args=(0.1,))
    reader.start()
    begun.wait()
    assert forget(other, ALICE).pending == 0
    reader.join()
    other.close()


def test_a_full_disk_while_forgetting(store):
    """Nothing is forgotten, nothing is lost, and it works once there is room."""
    tell_everything(store, ALICE)
    add(store, ALICE, *line(*(f"{n} {'word ' * 40}" for n in range(1500))))
    with store._db.writing() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    def state():
        which = EpochRef(ALICE, "h", "m")
        turns = list(store.turns(TurnsRequest(limit=5000)))
        return (
            turns,
            nodes(store, ALICE),
            rows(store, ALICE),
            store.epoch(which),
            store.pins(OwnerRef("alice")),
        )

    before, reply = state(), store.nodes(NodesRequest(ALICE))
    with pytest.raises(StoreUnavailableError, match="full; make room on the disk"):
        forget(store, ALICE, everything=True)
    assert state() == before
    assert store.nodes(NodesRequest(ALICE)) == reply
    with store._db.writing() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    assert len(forget(store, ALICE, everything=True).seqs) == 1502
    assert found(store, "alice") == set()


def test_trouble_after_the_turns_are_gone_is_no_error(store, monkeypatch):
    """The log could not be emptied: that is pending, and tried again."""
    add(store, ALICE, said("alice-secret"))

    def trouble():
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(store._db, "empty_log", trouble)
    done = forget(store, ALICE)
    assert (len(done.seqs), done.pending) == (1, 1)
    assert store.residue(owner_of(ALICE), done.seqs) == 1
    monkeypatch.undo()
    assert store.residue(owner_of(ALICE), done.seqs) == 0
    assert b"alice-secret" not in on_disk(store)


def test_emptying_the_log_leaves_the_waiting_time_as_it_was(tmp_path):
    store = SQLiteStore(tmp_path / "a.db", busy_ms=123)
    add(store, ALICE, said("a"))
    forget(store, ALICE)
    with store._db.writing() as db:
        assert db.execute("PRAGMA busy_timeout").fetchone() == (123,)
    store.close()


def steps(store, work):
    """How much SQLite worked for a read: its virtual machine's steps, in tens."""
    counted = []
    with store._db.reading() as db:
        db.set_progress_handler(lambda: counted.append(1) and None, 10)
    work()
    with store._db.reading() as db:
        db.set_progress_handler(None, 10)
    return len(counted)


def test_asking_what_to_index_costs_what_there_is_to_index(store):
    def ask():
        return [unindexed(store, model, limit=8) for model in (None, MODEL, OTHER_MODEL)]

    costs = []
    for _ in range(2):
        for _ in range(5):
            add(store, ALICE, *(said(f"{store.stats().turns} {n}") for n in range(400)))
            for page in range(0, 400, 100):
                places = unindexed(store, None, page, 400)
                store.put_views([NewView(seq=s, entry=b"e", fingerprint=MODEL, vector=b"12") for s in places])
        add(store, ALICE, said(f"last of {store.stats().turns}"))
        costs.append(steps(store, ask))
        assert [len(found) for found in ask()] == [1, 1, 8]
        store.put_views([NewView(seq=s, entry=b"", fingerprint=MODEL, vector=b"12") for s in ask()[0]])
    assert costs[1] < 1.5 * costs[0] + 10, costs


def test_what_changed_costs_what_changed(store):
    add(store, ALICE, *line(*range(3000)))
    places = [node.seq for node in nodes(store, ALICE)]
    store.put_views([NewView(seq=seq, entry=b"e", fingerprint=MODEL, vector=b"12") for seq in places])
    generation = views(store, ALICE).generation
    store.put_views([NewView(seq=places[5], entry=b"f")])
    add(store, ALICE, said("new"))
    changed = []
    cost = steps(store, lambda: changed.extend(views(store, ALICE, since=generation).rows))
    assert [row.seq for row in changed] == [places[5], places[-1] + 1]
    assert cost < 60
