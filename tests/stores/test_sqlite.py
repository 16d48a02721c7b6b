"""What a store's file holds, how its connections are set and let go, and what many users cost."""

# ruff: noqa: S608 (SQL is put together from texts that stand beside it)

from __future__ import annotations

import gc
import json
import os
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from convmem.errors import StoreError
from convmem.protocols import (
    CallRow,
    FindRequest,
    NodesRequest,
    SessionRef,
    SessionsRequest,
    TurnsRequest,
    Write,
)
from convmem.stores.sqlite import SQLiteStore, opening, schema
from convmem.stores.sqlite.names import USER_NAME
from convmem.stores.sqlite.settings import settings_of
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    NOON,
    add,
    contents,
    digest,
    line,
    nodes,
    said,
    turns,
)


@pytest.fixture
def store(tmp_path):
    store = SQLiteStore(tmp_path / "a.db")
    yield store
    store.close()


def rows(store, sql, *values):
    with store._db.reading() as db:
        return db.execute(sql, values).fetchall()


def test_a_path_may_be_a_string_and_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("a.db")
    add(store, ALICE, said("a"))
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
def test_how_both_connections_are_set(tmp_path, durability, synchronous):
    store = SQLiteStore(tmp_path / "a.db", durability=durability, busy_ms=123)
    for line_ in (store._db.reading, store._db.writing):
        with line_() as db:
            found = {
                name: db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("secure_delete", "journal_mode", "foreign_keys", "synchronous", "busy_timeout")
            }
        assert found == {
            "secure_delete": 1,
            "journal_mode": "wal",
            "foreign_keys": 1,
            "synchronous": synchronous,
            "busy_timeout": 123,
        }
    store.close()


def test_every_table_is_strict(store):
    tables = rows(
        store, "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    )
    ours = {name: strict for name, strict in tables if not name.startswith(("sqlite_", "_sqlite"))}
    assert {"store", "owners", "sessions", "turns", "tombstones", "media", "settings", "calls"} <= set(ours)
    assert set(ours.values()) == {1}
    with pytest.raises(StoreError, match="cannot store TEXT value"), store._db.writing() as db:
        db.execute("INSERT INTO owners (digest, generation) VALUES (X'00', 'many')")


def test_migrations_are_recorded_by_name(store):
    recorded = rows(store, "SELECT migration_set, name FROM _sqlite_migrations ORDER BY rowid")
    assert recorded == [("convmem", name) for name in opening.MIGRATIONS]
    assert rows(store, "PRAGMA application_id") == [(opening.APPLICATION_ID,)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    path.touch()
    monkeypatch.setattr(
        schema, "_JOURNAL", schema._JOURNAL.replace("CREATE TABLE calls", "CREATE TABLE media")
    )
    with pytest.raises(StoreError, match="already exists"):
        SQLiteStore(path)
    assert path.read_bytes() == b""
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]


IMAGE = "data:image/png;base64," + "QUJD" * 20_000


def picture(n, *, after=None):
    return said(
        [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": f"{n}"}], after=after
    )


def test_media_are_kept_once_per_owner(store):
    for ref in (ALICE, replace(ALICE, session="osaka"), BOB, NOBODY):
        add(store, ref, *(picture(n) for n in range(5)))
    kept = rows(
        store,
        f"SELECT {USER_NAME}, length(c.body), m.size FROM media m JOIN owners o ON o.id = m.owner"
        " JOIN contents c ON c.id = m.content ORDER BY o.id",
    )
    assert kept == [(user, len(IMAGE), len(IMAGE)) for user in (None, "alice", "bob")]
    assert rows(store, "SELECT count(*) FROM contents WHERE length(body) > 500") == [(3,)]
    assert {t.payload["content"][0]["image_url"]["url"] for t in store.turns(TurnsRequest())} == {IMAGE}


def test_media_of_a_turn_that_is_there_already_are_not_kept(store):
    first = said("x", image={"data": "none"})
    add(store, ALICE, first)
    add(store, ALICE, replace(picture(1), identity=first.identity))
    assert rows(store, "SELECT count(*) FROM media") == [(0,)]


def test_system_texts_are_kept_once_per_owner(store):
    one, other = ({"role": "system", "content": "Be brief."},), ({"role": "system", "content": "答えは短く"},)
    for n, ref in enumerate((ALICE, replace(ALICE, session="osaka"), BOB)):
        for m, settings in enumerate((one, other, one)):
            add(store, ref, call=CallRow(id=f"c{n}{m}", at=NOON, state="answered", settings=settings))
    kept = rows(
        store,
        f"SELECT {USER_NAME}, c.body FROM settings s JOIN owners o ON o.id = s.owner"
        " JOIN contents c ON c.id = s.payload ORDER BY s.id",
    )
    assert [(user, tuple(json.loads(payload))) for user, payload in kept] == [
        (user, settings) for user in ("alice", "bob") for settings in (one, other)
    ]


def test_the_size_is_told(store):
    before = store.stats().bytes
    add(store, ALICE, said("x" * 1_000_000))
    assert store.stats().bytes >= before + 900_000


def test_forgotten_places_are_told_among_the_nodes(store):
    """The table of tombstones is read; filling it is for those who forget."""
    a, b = line("a", "b")
    last = add(store, ALICE, a, b).generation
    with store._db.writing() as db:
        db.execute("DELETE FROM turns WHERE identity = ?", (b.identity,))
        db.execute("UPDATE sessions SET generation = generation + 1")
        db.execute(
            "INSERT INTO tombstones (owner, session, identity, parent, generation)"
            " SELECT owner, id, ?, ?, generation FROM sessions",
            (b.identity, b.parent),
        )
    (node,) = nodes(store, ALICE, last)
    assert (node.identity, node.parent, node.forgotten, node.seq) == (b.identity, b.parent, True, 0)


def steps(store, work):
    """How much SQLite worked: its virtual machine's steps, in tens."""
    counted = [0]

    def count():
        counted[0] += 1

    for transaction in (store._db.reading, store._db.writing):
        with transaction() as db:
            db.set_progress_handler(count, 10)
    work()
    for transaction in (store._db.reading, store._db.writing):
        with transaction() as db:
            db.set_progress_handler(None, 10)
    return counted[0]


@pytest.mark.parametrize("ref", [SessionRef("me", "mine"), SessionRef(None, "mine")])
def test_others_cost_nothing(store, ref):
    """A user's request costs what that user's memory costs, however many users there are."""
    first, *more = line(*"abcdefgh")

    def use():
        last = add(store, ref, first, *more)
        add(
            store,
            ref,
            said(f"{last.generation}"),
            states=[(first.identity, "partial")],
            expect=last.generation,
        )
        store.nodes(NodesRequest(ref, 1))
        store.turns(TurnsRequest(ref=ref))
        store.turns(TurnsRequest(ref=ref, identities=(first.identity,)))
        if ref.user is not None:
            store.turns(TurnsRequest(owner=ref.user))
            store.sessions(SessionsRequest(owner=ref.user))
        store.find(FindRequest(ref.user, (more[-1].identity,), (more[-2].meaning,)))

    use()
    alone = steps(store, use)
    turn = said("hi")
    others = [SessionRef(user, f"s{n}") for n in range(700) for user in (f"u{n}", None)]
    store.write([Write(ref=other, turns=(turn,)) for other in others])
    among_many = steps(store, use)
    assert among_many < 2 * alone, f"{alone} steps alone, {among_many} among many"


def test_a_session_costs_what_is_in_it(store):
    """However much its user said in others."""
    ref = SessionRef("me", "mine")
    turns = line(*"abcdefgh")

    def use():
        add(store, ref, *turns)
        store.nodes(NodesRequest(ref))
        store.turns(TurnsRequest(ref=ref))
        store.turns(TurnsRequest(ref=ref, identities=(turns[0].identity,)))
        store.find(FindRequest("me", (turns[-1].identity,), (turns[-2].meaning,)))

    use()
    alone = steps(store, use)
    add(store, SessionRef("me", "another"), *line(*(f"word {n}" for n in range(2_000))))
    beside = steps(store, use)
    assert beside < 1.5 * alone, f"{alone} steps alone, {beside} beside another session"


def test_no_connection_is_left_open(tmp_path, monkeypatch):
    """Also when the second one cannot be opened."""
    opened = []
    connect = sqlite3.connect

    def scarce(*args, **kwargs):
        if len(opened) == 3:
            raise sqlite3.OperationalError("unable to open database file")
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(opening.sqlite3, "connect", scarce)
    SQLiteStore(tmp_path / "a.db").close()
    assert len(opened) == 2
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path / "a.db")
    assert len(opened) == 3
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    gc.collect()


def test_a_file_that_was_moved_or_replaced_is_not_taken_for_the_same(tmp_path):
    """Connections are opened again after a fork; by then the path may lead elsewhere."""
    store = SQLiteStore(tmp_path / "a.db")
    add(store, ALICE, said("a"))
    fork_and_wait()
    (tmp_path / "a.db").rename(tmp_path / "b.db")
    with pytest.raises(StoreError, match="the file is gone"):
        contents(store, ALICE)
    assert [path.name for path in tmp_path.iterdir()] == ["b.db"]
    SQLiteStore(tmp_path / "a.db").close()
    with pytest.raises(StoreError, match="another database stands in the file's place"):
        add(store, ALICE, said("b"))
    (tmp_path / "b.db").replace(tmp_path / "a.db")
    assert contents(store, ALICE) == ["a"]
    store.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def fork_and_wait():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_database_in_memory_survives_a_fork(tmp_path):
    store = SQLiteStore(":memory:")
    add(store, ALICE, said("a"))
    fork_and_wait()
    assert contents(store, ALICE) == ["a"]
    store.close()


def test_2000_turns_are_written_and_read_in_good_time(store):
    many = line(*range(2000))
    began = time.thread_time()  # what others do on the machine does not count
    add(store, ALICE, *many)
    assert len(turns(store, ALICE)) == 500
    assert len(nodes(store, ALICE)) == 2000
    assert store.find(FindRequest("alice", (digest("?"), many[-1].identity))) == [ALICE]
    assert time.thread_time() - began < 3


# System texts that change a little with every call.

RULES = "You keep the books of a pear orchard. 称重后登记每一箱梨，写清楚日期。 " * 120


def settings_size(store):
    return rows(
        store,
        "SELECT count(*), sum(length(CAST(c.body AS BLOB))) FROM settings s"
        " JOIN contents c ON c.id = s.payload",
    )[0]


def call(n, text, ref="s"):
    at = NOON + timedelta(seconds=n)
    return CallRow(
        id=f"{ref}{n:04d}", at=at, state="answered", settings=({"role": "system", "content": text},)
    )


def told(store):
    with store._db.reading() as db:
        found = db.execute("SELECT id, settings FROM calls ORDER BY id").fetchall()
        return [settings_of(db, row)[0]["content"] for _, row in found]


@pytest.mark.parametrize(
    "text",
    [
        lambda n: f"Now: 10:{n // 60:02d}:{n % 60:02d}\n{RULES}",
        lambda n: f"{RULES}\n现在是十点{n}分。",
        lambda n: f"Request {n * 7919}. {RULES[:2_000]} It is minute {n}. {RULES[2_000:]} (visit {n})",
        lambda n: f'{RULES}\n{{"crates": {n}, "ids": [{n}, {n + 1}]}}' + "x" * n,
    ],
)
def test_a_clock_in_a_system_text_costs_a_few_bytes_a_call(store, text):
    sent = [text(n) for n in range(100)]
    for n, words in enumerate(sent):
        add(store, ALICE, said(f"{n}"), call=call(n, words))
    count, size = settings_size(store)
    assert count == 100
    assert size < len(RULES.encode()) * 1.5 + 100 * 250
    assert told(store) == sent


def test_several_system_texts_in_turn_each_have_a_base_of_their_own(store):
    agents = [f"You are agent {a}. " + f"Rule {a}: {'never ' * a}sell unripe pears. " * 80 for a in range(3)]
    sent = [f"Now {n}. {agents[n % 3]}" for n in range(60)]
    for n, words in enumerate(sent):
        add(store, ALICE, said(f"{n}"), call=call(n, words))
    assert settings_size(store)[1] < 3 * max(map(len, agents)) + 60 * 200
    assert told(store) == sent


def test_a_new_session_of_the_same_owner_has_the_text_already_and_another_owner_has_not(store):
    for s in range(20):
        add(store, SessionRef("alice", f"s{s}"), said("hi"), call=call(s, f"Now {s}. {RULES}", "a"))
    alone = settings_size(store)[1]
    assert alone < len(RULES.encode()) * 1.5 + 20 * 250
    add(store, BOB, said("hi"), call=call(1, f"Now 1. {RULES}", "b"))
    assert settings_size(store)[1] > alone + len(RULES.encode())
    bodies = rows(
        store,
        f"SELECT {USER_NAME}, c.id, c.body FROM settings s JOIN owners o ON o.id = s.owner"
        " JOIN contents c ON c.id = s.payload WHERE typeof(c.body) = 'blob'",
    )
    whose = {id_: user for user, id_, _ in bodies} | dict(
        rows(store, f"SELECT s.payload, {USER_NAME} FROM settings s JOIN owners o ON o.id = s.owner")
    )
    assert {(user, whose[json.loads(body)[0]]) for user, _, body in bodies} == {("alice", "alice")}


def test_a_text_that_grows_or_is_another_is_kept_whole_again(store):
    sent = [f"Facts: {'a pear, ' * n}" for n in range(1, 200)] + ["Something else altogether. " * 40]
    for n, words in enumerate(sent):
        add(store, ALICE, said(f"{n}"), call=call(n, words))
    assert told(store) == sent
    odd = [
        "",
        "short",
        "\ud800 " * 300,
        "\ud800 " * 300 + "x",
        "\x00" * 500,
        "\x00" * 501,
        RULES,
        RULES.upper(),
    ]
    for n, words in enumerate(odd):
        add(store, BOB, said(f"{n}"), call=call(n, words, "t"))
    assert told(store)[len(sent) :] == odd
