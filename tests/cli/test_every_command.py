"""What holds for every command: help that shows examples, clear words for wrong input, no traceback."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
from tests.cli.conftest import lines

import convmem

NEED_A_MEMORY = {
    "sessions": [],
    "show": [],
    "recall": ["x", "--embedder", "none"],
    "stats": [],
    "receipts": [],
    "export": [],
    "forget": ["--everything", "--dry-run"],
}
MAKE_ONE = {
    "import": ["CHAT", "--embedder", "none"],
    "chat": ["hi", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--embedder", "none"],
}
COMMANDS = [*NEED_A_MEMORY, *MAKE_ONE, "demo", "doctor"]


@pytest.fixture
def files(tmp_path):
    """One file of each kind that can be handed in by mistake."""
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    (tmp_path / "chat.jsonl").write_text('{"role": "user", "content": "hi"}')
    with sqlite3.connect(tmp_path / "foreign.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    convmem.Memory(tmp_path / "newer.db", embedder=None).close()
    with sqlite3.connect(tmp_path / "newer.db") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('convmem', 'm999_moon', '')"
        )
    db.close()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert f"convmem {command}" in lines(out).split("Usage:", 1)[1]
    assert "--json" in out
    assert lines(out).count(f"convmem {command}") >= 2 or command == "doctor"


@pytest.mark.parametrize("command", NEED_A_MEMORY | MAKE_ONE)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.db", "there is no memory at"),
        ("notes.txt", "is not a SQLite database"),
        ("foreign.db", "is the SQLite database of another program"),
        ("newer.db", "was written by a newer convmem"),
        ("folder", "is a folder"),
        ("none/x.db", "there is no"),
    ],
)
def test_a_wrong_memory_is_named(run, files, command, name, said):
    if command in MAKE_ONE and name == "none.db":
        return
    missing = name.startswith("none")
    args = [
        str(files / "chat.jsonl") if arg == "CHAT" else arg for arg in (NEED_A_MEMORY | MAKE_ONE)[command]
    ]
    found, out, err = run(command, *args, "--db", files / name)
    assert found == (2 if missing and command not in MAKE_ONE else 1)
    assert said in err
    assert err.count("\n") == 1
    assert not out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.json", "cannot be read"),
        ("folder", "cannot be read"),
        ("notes.txt", "line 1 is not JSON"),
        ("foreign.db", "cannot be read"),
        ("empty.json", "holds no messages"),
    ],
)
def test_a_wrong_file_to_import_is_named(run, files, name, said):
    (files / "empty.json").write_text("[]")
    code, out, err = run("import", files / name, "--embedder", "none")
    assert (code, out) == (2, "")
    assert said in err
    assert name in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["show", "--last", "0"],
        ["recall"],
        ["recall", "x", "--top-k", "none"],
        ["import"],
        ["import", "x", "--format", "gemini"],
        ["export", "--bogus"],
        ["sessions", "--user", "a", "--no-user"],
    ],
)
def test_wrong_usage_ends_with_2(run, files, args):
    convmem.Memory(files / "chat.db", embedder=None).close()
    options = ["--db", files / "chat.db"] if args[0] == "sessions" else []
    code, out, err = run(*args, *options)
    assert (code, out) == (2, "")
    assert err


def test_an_error_cannot_steer_the_terminal(run, files):
    with convmem.Memory(files / "chat.db", embedder=None) as memory:
        for user in ("a\x1b[31m", "b"):
            memory.record([{"role": "user", "content": "hi"}], user=user, session="s")
    code, _, err = run("recall", "hi", "--db", files / "chat.db", "--embedder", "none")
    assert (code, "\x1b" in err) == (2, False)
    assert "one of a�[31m, b" in err


def test_an_output_that_cannot_be_written_is_named(run, files):
    convmem.Memory(files / "chat.db", embedder=None).close()
    code, _, err = run("export", "--db", files / "chat.db", "--output", files / "none" / "x.jsonl")
    assert code == 2
    assert "cannot be written" in err


def test_a_reader_that_goes_away_is_no_traceback(files):
    with convmem.Memory(files / "chat.db", embedder=None) as memory:
        memory.record(
            [{"role": "user", "content": f"{n} " + "x" * 500} for n in range(400)], user="a", session="s"
        )
    with subprocess.Popen(  # noqa: S603 (our own words)
        [sys.executable, "-m", "convmem", "export", "--db", str(files / "chat.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline().startswith(b'{"convmem"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_the_tab_key_knows_sessions_and_users(files):
    with convmem.Memory(files / "chat.db", embedder=None) as memory:
        memory.record([{"role": "user", "content": "hi"}], user="alice", session="kyoto")

    def completed(*words):
        typed = " ".join(("convmem", *words))
        done = subprocess.run(
            [sys.executable, "-c", "from convmem.cli import main; main()"],
            env={
                "_CONVMEM_COMPLETE": "complete_bash",
                "COMP_WORDS": typed,
                "COMP_CWORD": str(len(words)),
                "CONVMEM_DB": str(files / "chat.db"),
            },
            capture_output=True,
            check=False,
            text=True,
        )
        return done.stdout.split()

    assert completed("show", "ky") == ["kyoto"]
    assert completed("export", "--user", "al") == ["alice"]
