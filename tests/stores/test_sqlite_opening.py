"""Opening a file that is no store, or cannot be used as one: the right word, and the file as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from tests.stores.processes import run, running

from convmem.errors import (
    InputError,
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreNewerError,
    StoreUnavailableError,
)
from convmem.protocols import FindRequest, NodesRequest, SessionsRequest, TurnsRequest
from convmem.stores.sqlite import SQLiteStore, opening
from convmem.testing._store.base import ALICE, add, contents, line, said


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def made(path, *, turns=0):
    store = SQLiteStore(path)
    if turns:
        add(store, ALICE, *line(*(f"turn number {n} " * 20 for n in range(turns))))
    store.close()
    return path


def refuses(path, error, text, **options):
    before = files(path.parent)
    with pytest.raises(StoreError, match=text) as caught:
        SQLiteStore(path, **options)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert files(path.parent) == before


@pytest.fixture
def opened(monkeypatch):
    """Every connection the store opens."""
    connections = []
    connect = sqlite3.connect

    def recorded(*args, **kwargs):
        connections.append(connect(*args, **kwargs))
        return connections[-1]

    monkeypatch.setattr(opening.sqlite3, "connect", recorded)
    return connections


def all_closed(connections):
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.total_changes  # noqa: B018 (raises when closed)
    return True


@pytest.mark.parametrize(
    "content", [b"hello", b"dear diary, " * 900, b"\0" * 4096, b"SQLite format 2\0" * 90]
)
def test_a_file_that_is_no_database(tmp_path, content):
    path = tmp_path / "a.db"
    path.write_bytes(content)
    refuses(path, StoreFormatError, "is not a SQLite database; choose another path")


@pytest.mark.parametrize("kept", [16, 99, 104])
def test_the_stump_of_a_database(tmp_path, kept):
    path = made(tmp_path / "a.db")
    path.write_bytes(path.read_bytes()[:kept])
    refuses(path, StoreFormatError, "is not a SQLite database; choose another path")


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "a.db"
    path.touch()
    made(path, turns=3)
    store = SQLiteStore(path)
    assert store.stats().turns == 3
    store.close()


def test_an_empty_database_becomes_a_store(tmp_path):
    path = tmp_path / "a.db"
    db = sqlite3.connect(path)
    db.execute("VACUUM")
    db.close()
    assert path.stat().st_size
    made(path, turns=3)


def foreign(path, *, wal=False, application=0):
    db = sqlite3.connect(path)
    if wal:
        db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA application_id = {application}")
    db.execute("CREATE TABLE turns (seq INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE store (key BLOB)")
    db.commit()
    return db


@pytest.mark.parametrize("application", [0, 0x01020304])
@pytest.mark.parametrize("wal", [False, True])
def test_the_database_of_another_program(tmp_path, wal, application):
    path = tmp_path / "a.db"
    foreign(path, wal=wal, application=application).close()
    refuses(path, StoreFormatError, "database of another program; choose another path")


def test_the_database_another_program_left_unfinished(tmp_path):
    """Its write-ahead log is not worked off."""
    (tmp_path / "live").mkdir()
    db = foreign(tmp_path / "live" / "a.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE more (x)")
    db.commit()
    shutil.copytree(tmp_path / "live", tmp_path / "left")
    db.close()
    assert (tmp_path / "left" / "a.db-wal").stat().st_size
    refuses(tmp_path / "left" / "a.db", StoreFormatError, "database of another program")


def test_the_database_another_program_is_using(tmp_path):
    db = foreign(tmp_path / "a.db")
    db.execute("BEGIN EXCLUSIVE")
    refuses(tmp_path / "a.db", StoreFormatError, "database of another program", open_ms=0)
    db.close()


def test_a_newer_store(tmp_path, opened):
    path = made(tmp_path / "a.db", turns=2)
    db = sqlite3.connect(path)
    db.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('convmem', 'm999_later', '')"
    )
    db.commit()
    db.close()
    opened.clear()
    refuses(path, StoreNewerError, r"newer convmem \(it has m999_later\); upgrade convmem")
    assert opened
    assert all_closed(opened)


def test_a_folder_and_what_is_no_file(tmp_path):
    with pytest.raises(StoreFormatError, match="is a folder; name a file in it"):
        SQLiteStore(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreFormatError, match="is not a regular file"):
        SQLiteStore(tmp_path / "pipe")


def test_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("missing", "missing/deeper", "file"):
        with pytest.raises(StoreError, match=r"there is no folder .*; make it first"):
            SQLiteStore(tmp_path / folder / "a.db")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_unknown_durability(tmp_path):
    with pytest.raises(InputError, match='"normal" or "full", not \'most\''):
        SQLiteStore(tmp_path / "a.db", durability="most")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def open_folder():
    """A folder that any user may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="convmem-"))
    folder.chmod(0o755)
    yield folder
    for inner in folder.iterdir():
        inner.chmod(0o700)
    shutil.rmtree(folder)


# Permissions of the file, when there is one, and of its folder.
READ_ONLY = {
    "file": (0o444, 0o777),
    "folder": (0o666, 0o555),
    "folder-for-a-new-file": (None, 0o555),
    "file-not-to-be-read": (0o000, 0o777),
    "folder-not-to-be-entered": (0o666, 0o000),
}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_what_cannot_be_written(open_folder):
    """Seen by a user without rights; the file stays as it was, and nothing is left beside it."""
    before = {}
    for case, (of_file, of_folder) in READ_ONLY.items():
        (open_folder / case).mkdir()
        if of_file is not None:
            made(open_folder / case / "a.db", turns=2)
        before[case] = files(open_folder / case)
        if of_file is not None:
            (open_folder / case / "a.db").chmod(of_file)
        (open_folder / case).chmod(of_folder)
    told = run(
        """
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        for case in rest:
            try:
                SQLiteStore(f"{path}/{case}/a.db")
            except StoreError as error:
                print(type(error).__name__, error)
        """,
        open_folder,
        *READ_ONLY,
    ).splitlines()
    for case, text in zip(READ_ONLY, told, strict=True):
        assert text.startswith(f"StoreReadOnlyError {open_folder / case / 'a.db'}: cannot be ")
        assert "write permission to the file and its folder" in text
        (open_folder / case).chmod(0o700)
        for file in (open_folder / case).iterdir():
            file.chmod(0o600)
        assert files(open_folder / case) == before[case]


HOLDER = """
import sqlite3
db = sqlite3.connect(path, isolation_level=None)
for statement in rest:
    db.execute(statement)
print("held", flush=True)
sys.stdin.readline()
db.close()
"""


@pytest.mark.parametrize(
    "statements",
    [
        ["BEGIN IMMEDIATE"],
        ["BEGIN EXCLUSIVE"],
        ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"],
        ["PRAGMA journal_mode = DELETE", "BEGIN EXCLUSIVE"],
    ],
)
def test_held_by_another_process(tmp_path, statements, opened):
    path = made(tmp_path / "a.db", turns=2)
    opened.clear()
    with running(HOLDER, path, *statements, bare=True):
        before = path.read_bytes()
        for _ in range(2):
            with pytest.raises(StoreLockedError, match="another process holds the database; try again when"):
                SQLiteStore(path, open_ms=20)
        assert path.read_bytes() == before
        assert opened
        assert all_closed(opened)
    made(path, turns=3)


def test_held_by_another_process_while_writing(tmp_path):
    store = SQLiteStore(tmp_path / "a.db", busy_ms=20)
    first, second = line("a", "b")
    add(store, ALICE, first)
    with running(HOLDER, tmp_path / "a.db", "BEGIN IMMEDIATE", bare=True):
        with pytest.raises(StoreLockedError, match="try again when it lets go"):
            add(store, ALICE, second)
        assert contents(store, ALICE) == ["a"]
    add(store, ALICE, second)
    assert contents(store, ALICE) == ["a", "b"]
    store.close()


def test_a_file_that_lost_its_end(tmp_path, opened):
    path = made(tmp_path / "a.db", turns=200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    opened.clear()
    refuses(path, StoreCorruptError, r"is damaged .* keep a copy of it")
    assert all_closed(opened)


def test_a_damaged_schema(tmp_path, opened):
    path = made(tmp_path / "a.db", turns=2)
    content = bytearray(path.read_bytes())
    content[108:1000] = b"\xff" * 892
    path.write_bytes(content)
    opened.clear()
    refuses(path, StoreCorruptError, "is damaged .* nothing was changed")
    assert all_closed(opened)


def read_everything(path):
    store = SQLiteStore(path)
    try:
        store.nodes(NodesRequest(ALICE))
        store.find(FindRequest("alice", tuple(turn.identity for turn in line("a"))))
        store.sessions(SessionsRequest())
        store.turns(TurnsRequest(ref=ALICE, limit=10_000))
    finally:
        store.close()


def reading_finds_damage(path):
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match=r"is damaged .* keep a copy of it") as caught:
        read_everything(path)
    assert path.read_bytes() == before
    return str(caught.value)


@pytest.mark.parametrize("fill", [b"\xff", b"\0", b"x"])
def test_pages_overwritten_in_the_middle(tmp_path, fill):
    path = made(tmp_path / "a.db", turns=400)
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    content[20 * 4096 : (pages - 5) * 4096] = fill * 4096 * (pages - 25)
    path.write_bytes(content)
    reading_finds_damage(path)


@pytest.mark.parametrize("instead", [b"\xff\xfe\xfd\xfc\xfb", b'"}}}}', b"\0\0\0\0\0"])
def test_words_overwritten(tmp_path, instead):
    """The pages are as SQLite expects them; what stands in them is not JSON, or not text."""
    path = tmp_path / "a.db"
    store = SQLiteStore(path)
    add(store, ALICE, said("zqxjk"))
    store.close()
    path.write_bytes(path.read_bytes().replace(b"zqxjk", instead))
    reading_finds_damage(path)


def test_an_error_says_no_word_of_a_turn(tmp_path):
    path = tmp_path / "a.db"
    store = SQLiteStore(path)
    add(store, ALICE, said("the secret is zqxjk"))
    store.close()
    path.write_bytes(path.read_bytes().replace(b"zqxjk", b"\xff" * 5))
    assert "secret" not in reading_finds_damage(path)


def test_a_full_disk(tmp_path):
    """The turn is refused, nothing else is lost, and it goes in once there is room."""
    store = SQLiteStore(tmp_path / "a.db")
    add(store, ALICE, said("small"))
    big = said("large " * 100_000)
    with store._db.writing() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(StoreUnavailableError, match="full; make room on the disk"):
        add(store, ALICE, big)
    assert contents(store, ALICE) == ["small"]
    with store._db.writing() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    add(store, ALICE, big)
    assert len(contents(store, ALICE)) == 2
    store.close()


def test_a_closed_store_says_so(tmp_path, opened):
    store = SQLiteStore(tmp_path / "a.db")
    store.close()
    for use in (lambda: add(store, ALICE, said("a")), lambda: contents(store, ALICE), store.stats):
        with pytest.raises(StoreError, match="this store is closed; open another one"):
            use()
    assert all_closed(opened)
    assert not [name for name in files(tmp_path) if name != "a.db"]
