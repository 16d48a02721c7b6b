"""`convmem import` and `convmem export`, as a user runs them."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import lines

import convmem
from convmem.cli import moving
from convmem.testing.fakes import FakeEmbedder

CHAT = [
    {"role": "user", "content": "My locker is 7719.", "session": "pool", "at": "2026-03-02T09:00Z"},
    {"role": "assistant", "content": "Noted.", "session": "pool", "at": "2026-03-02T09:01Z"},
]


@pytest.fixture
def chat(tmp_path):
    file = tmp_path / "chat.jsonl"
    file.write_text("\n".join(map(json.dumps, CHAT)))
    return file


@pytest.fixture
def facts(tmp_path):
    file = tmp_path / "memories.json"
    file.write_text(
        json.dumps({"results": [{"memory": "Likes tea", "user_id": "bob"}, {"memory": "Is tall"}]})
    )
    return file


def test_a_file_is_taken_in_once(run, chat, monkeypatch, tmp_path):
    place = tmp_path / "data" / "convmem" / "memory.db"
    monkeypatch.chdir(chat.parent)  # a long path would be broken in two where the line ends
    code, out, err = run("import", chat.name, "--embedder", "none")
    assert (code, err) == (0, "")
    assert lines(out) == f"{chat.name}: 2 messages in 1 session of me; 2 new turns."
    code, out, _ = run("import", chat.name, "--embedder", "none", "--json")
    assert json.loads(out) == {
        "files": [
            {
                "file": chat.name,
                "users": ["me"],
                "sessions": 1,
                "messages": 2,
                "new_turns": 0,
                "system_texts": 0,
            }
        ],
        "without_vectors": None,
    }
    with convmem.Memory(place, embedder=None) as memory:
        assert [turn.text for turn in memory.turns(user="me", session="pool")] == [
            "My locker is 7719.",
            "Noted.",
        ]


def test_system_texts_are_settings_and_no_turns(run, tmp_path):
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([{"role": "system", "content": "Be brief."}, *CHAT]))
    assert "3 messages in 2 sessions of me; 2 new turns, 1 system text." in lines(
        run("import", file, "--embedder", "none")[1]
    )
    (taken,) = json.loads(run("import", file, "--embedder", "none", "--json")[1])["files"]
    assert (taken["messages"], taken["new_turns"], taken["system_texts"]) == (3, 0, 1)
    assert lines(run("stats")[1]).endswith("2 turns in 2 sessions of 1 user, 0 calls")
    file.write_text(json.dumps([{"role": "system", "content": "Be brief."}]))
    assert run("import", file, "--embedder", "none")[0] == 0


def test_facts_keep_their_users_unless_one_is_given(run, facts, tmp_path):
    db = tmp_path / "a.db"
    run("import", facts, "--db", db, "--embedder", "none")
    with convmem.Memory(db, embedder=None) as memory:
        assert [turn.text for turn in memory.turns(user="bob")] == ["Likes tea"]
        assert [turn.text for turn in memory.turns(user="me")] == ["Is tall"]
    run("import", facts, "--db", tmp_path / "b.db", "--embedder", "none", "--user", "carol")
    with convmem.Memory(tmp_path / "b.db", embedder=None) as memory:
        assert {turn.text for turn in memory.turns(user="carol")} == {"Likes tea", "Is tall"}


def test_an_export_comes_back(run, chat, facts, tmp_path, capsys):
    db, copy, file = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "journal.jsonl"
    run("import", chat, facts, "--db", db, "--embedder", "none")
    code, out, err = run("export", "--db", db, "--output", file)
    assert (code, out, err) == (0, "", f"4 turns written to {file}\n")
    assert run("export", "--db", db)[1] == file.read_text()
    assert json.loads(run("export", "--db", db, "-o", file, "--json")[1]) == {"file": str(file), "turns": 4}
    assert len(run("export", "--db", db, "--user", "bob")[1].splitlines()) == 2
    assert len(run("export", "--db", db, "--user", "me", "--session", "pool")[1].splitlines()) == 3
    for new in (4, 0):
        code, out, _ = run("import", file, "--db", copy, "--embedder", "none", "--json")
        taken = {"file": str(file), "users": ["bob", "me"], "sessions": 3, "messages": 4}
        taken |= {"new_turns": new, "system_texts": 0}
        assert (code, json.loads(out)["files"]) == (0, [taken])
    file.write_text(file.read_text() + "{}\n")
    assert "line 6 is not one of an export" in run("import", file, "--db", copy, "--embedder", "none")[2]
    assert run("export", "--db", copy)[1].count("\n") == 5


@pytest.fixture
def embedder(monkeypatch):
    """The embedder that `convmem import` is given."""
    fake = FakeEmbedder()
    opened = moving.opened
    monkeypatch.setattr(moving, "opened", lambda db, **options: opened(db, **options | {"embedder": fake}))
    return fake


def test_turns_are_embedded_while_somebody_waits(run, chat, embedder):
    code, out, _ = run("import", chat, "--json")
    assert (code, json.loads(out)["without_vectors"]) == (0, 0)
    assert sum(n for kind, n in embedder.calls if kind == "passage") >= 2


def test_an_embedder_that_fails_is_not_waited_for(run, chat, embedder):
    embedder.fail = True
    code, out, err = run("import", chat)
    assert code == 0
    assert "2 turns can be found by their words only" in lines(out)
    assert "views of new turns cannot be made" in lines(err)


def test_nothing_is_changed_when_one_of_the_files_cannot_be_read(run, chat, tmp_path):
    assert run("import", chat, tmp_path / "none.json", "--embedder", "none")[0] == 2
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_an_export_is_not_written_over_its_own_memory(run, chat, tmp_path, suffix):
    run("import", chat, "--db", tmp_path / "m.db", "--embedder", "none")
    before = run("export", "--db", tmp_path / "m.db")[1]
    code, _, err = run("export", "--db", tmp_path / "m.db", "--output", tmp_path / f"m.db{suffix}")
    assert (code, "is the memory itself" in err) == (2, True)
    if not suffix:
        (tmp_path / "link").symlink_to(tmp_path / "m.db")
        assert run("export", "--db", tmp_path / "m.db", "--output", tmp_path / "link")[0] == 2
    assert run("export", "--db", tmp_path / "m.db")[1] == before


def test_a_folder_that_cannot_be_made_is_told(run, tmp_path, monkeypatch, chat):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file" / "deeper"))
    code, _, err = run("import", chat, "--embedder", "none")
    assert (code, "cannot be made" in err, "--db" in err) == (2, True, True)


def test_a_home_in_the_variable_is_the_users(run, tmp_path, monkeypatch, chat):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CONVMEM_DB", "~/mine.db")
    assert run("import", chat, "--embedder", "none")[0] == 0
    assert (tmp_path / "mine.db").exists()
    assert "turns in" in run("stats")[1]
