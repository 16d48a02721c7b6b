"""`convmem doctor`, as a user runs it."""

from __future__ import annotations

import json
import sqlite3

import pytest
from tests.cli.conftest import lines

import convmem

QUICK = ("--embedder", "none")


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "chat.db"
    with convmem.Memory(path, embedder=None) as memory:
        for n in range(3):
            memory.record([{"role": "user", "content": f"remark {n}"}], user="alice", session=f"s{n}")
        memory.flush()
    return path


def change(db, sql):
    with sqlite3.connect(db) as connection:
        connection.execute(sql)
    connection.close()


def findings(out):
    return {found["what"]: (found["state"], found["said"]) for found in json.loads(out)["findings"]}


def test_a_sound_machine_and_memory(run, db):
    code, out, err = run("doctor", "--db", db, *QUICK)
    assert (code, err) == (0, "")
    found = findings(run("doctor", "--db", db, "--json", *QUICK)[1])
    assert found["memory"][0] == "ok"
    assert "3 turns, all readable" in found["memory"][1]
    assert found["index"] == ("ok", "complete")
    assert found["embedder"][0] == "note"
    assert {"convmem", "openai", "tokens, o200k_base", "tokens, cl100k_base"} <= found.keys()
    assert convmem.__version__ in lines(out)


def test_without_a_memory_it_looks_at_the_machine(run, tmp_path):
    code, out, _ = run("doctor", "--json", *QUICK)
    assert (code, findings(out)["memory"][0]) == (0, "note")
    code, _, err = run("doctor", "--db", tmp_path / "none.db")
    assert (code, "there is no memory at" in err) == (2, True)


def test_a_tokenizer_table_is_found(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert findings(run("doctor", "--json", *QUICK)[1])["tokens, o200k_base"][0] == "note"


def test_an_embedder_that_is_not_there_is_trouble(run, db):
    code, out, _ = run("doctor", "--db", db, "--embedder", "bogus", "--json")
    assert (code, findings(out)["embedder"][0]) == (1, "trouble")


def test_damaged_entries_are_made_again(run, db):
    change(db, "UPDATE contents SET body = zeroblob(length(body)) WHERE id IN (SELECT entry FROM views)")
    code, out, _ = run("doctor", "--db", db, "--json", *QUICK)
    assert (code, findings(out)["index"][1]) == (1, "3 entries are damaged; --repair makes them again")
    code, out, _ = run("doctor", "--db", db, "--json", "--repair", *QUICK)
    assert (code, findings(out)["index"]) == (0, ("ok", "complete"))


def test_a_damaged_file_is_copied_before_it_is_written_anew(run, db, tmp_path):
    change(db, "UPDATE contents SET body = '{' WHERE id = (SELECT payload FROM turns WHERE seq = 2)")
    before = db.read_bytes()
    code, out, _ = run("doctor", "--db", db, *QUICK)
    assert code == 1
    assert "keeps a copy and repairs it" in lines(out)
    assert db.read_bytes() == before
    code, out, _ = run("doctor", "--db", db, "--repair", "--json", *QUICK)
    assert code == 0
    copies = list(tmp_path.glob("chat.db.before-repair-*"))
    assert [copy.read_bytes() for copy in copies] == [before]
    assert findings(out)["repair"] == ("ok", f"2 turns kept, 1 are lost; the file as it was: {copies[0]}")


def test_what_is_no_memory_is_trouble_and_stays_as_it_is(run, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)
    for options in ((), ("--repair",)):
        code, out, _ = run("doctor", "--db", file, "--json", *options, *QUICK)
        assert code == 1
        assert "is not a SQLite database" in findings(out)["memory"][1]
    assert file.read_text() == "not a database " * 100


def test_commands_can_be_copied(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    out = run("doctor", *QUICK)[1].splitlines()
    assert """  python -c 'import tiktoken; tiktoken.get_encoding("o200k_base")'""" in out
    assert any(line.startswith("  pip install ") for line in out)
    long = tmp_path / ("a" * 60) / "memory of mine.db"
    long.parent.mkdir()
    with convmem.Memory(long, embedder=None) as memory:
        memory.record([{"role": "user", "content": "remark"}], user="alice", session="s")
    change(long, "UPDATE contents SET body = '{' WHERE id = (SELECT payload FROM turns WHERE seq = 1)")
    assert f"  convmem doctor --repair --db '{long}'" in run("doctor", "--db", long, *QUICK)[1].splitlines()
