"""`convmem forget`, as a user runs it."""

from __future__ import annotations

import json

import pytest

import convmem
from convmem.cli.screen import Screen

SAID = [
    {"role": "user", "content": "My locker is 7719."},
    {"role": "assistant", "content": "７７１９, noted."},
    {"role": "user", "content": "I live in Leith."},
]


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "chat.db"
    with convmem.Memory(path, embedder=None) as memory:
        memory.record(SAID, user="alice", session="s")
        memory.record(SAID[2:], session="alone")
        memory.pin("Locker 7719", user="alice")
    return path


@pytest.fixture
def answering(monkeypatch):
    """Somebody sits at the terminal and answers."""
    asked = []

    def answers(answer):
        def told(_, prompt, **options):
            asked.append(prompt)
            return answer

        monkeypatch.setattr(Screen, "can_prompt", True)
        monkeypatch.setattr("rich.console.Console.input", told)
        return asked

    return answers


def texts(db):
    with convmem.Memory(db, embedder=None) as memory:
        return [turn.text for turn in memory.turns(user="alice")]


def test_what_would_go_is_shown_first(run, db):
    code, out, _ = run("forget", "--text", "7719", "--dry-run", "--db", db)
    assert code == 0
    assert "t1 user: My locker is 7719." in out
    assert "2 turns and 1 pin would be forgotten." in out
    assert len(texts(db)) == 3


def test_everything_is_pins_too(run, db):
    out = run("forget", "--everything", "--dry-run", "--db", db)[1]
    assert "3 turns and 1 pin would be forgotten." in out
    run("forget", "--session", "s", "--yes", "--db", db)
    out = run("forget", "--everything", "--user", "alice", "--yes", "--db", db)[1]
    assert "0 turns and 1 pin forgotten" in out
    with convmem.Memory(db, embedder=None) as memory:
        assert memory.pins(user="alice") == []


def test_only_a_yes_forgets(run, db, answering):
    asked = answering("n")
    code, out, _ = run("forget", "--text", "7719", "--db", db)
    assert (code, len(texts(db))) == (1, 3)
    assert asked == ["Forget 2 turns and 1 pin for good? [y/N] "]
    assert "Nothing was forgotten." in out
    answering("y")
    code, out, _ = run("forget", "--text", "7719", "--db", db)
    assert (code, texts(db)) == (0, ["I live in Leith."])
    assert "nothing of it is left in the file" in out
    assert b"7719" not in db.read_bytes()


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (["--turn", "t3"], 2),
        (["--turn", "t1", "--turn", "t2"], 1),
        (["--session", "s"], 0),
        (["--everything"], 0),
        (["--text", "leith", "--user", "alice", "--session", "s"], 2),
    ],
)
def test_each_way_to_say_what(run, db, which, left):
    code, out, _ = run("forget", *which, "--yes", "--json", "--db", db)
    assert code == 0
    report = json.loads(out)
    assert (report["verified"], report["dry_run"], len(report["turn_ids"])) == (True, False, 3 - left)
    assert len(texts(db)) == left


def test_a_session_without_a_user(run, db):
    assert run("forget", "--no-user", "--session", "alone", "--yes", "--db", db)[0] == 0
    with convmem.Memory(db, embedder=None) as memory:
        assert [session.name for session in memory.sessions()] == ["s"]


def test_nothing_to_forget_is_no_trouble(run, db):
    code, out, _ = run("forget", "--text", "zebra", "--db", db)
    assert (code, out) == (0, "0 turns would be forgotten.\n")
    assert json.loads(run("forget", "--text", "zebra", "--json", "--db", db)[1])["turn_ids"] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "say what to forget"),
        (["--everything", "--text", "x"], "--everything is all there is"),
        (["--text", "7719"], "nobody is there to ask; --yes"),
        (["--text", "7719", "--json"], "nobody is there to ask; --yes"),
        (["--text", " 7719", "--turn", "t1", "--yes"], "not both"),
        (["--everything", "--no-user", "--yes"], "say which, --session NAME"),
        (["--session", "none", "--yes"], "there is no session 'none' of alice"),
    ],
)
def test_what_is_not_clear_is_asked_back(run, db, args, said):
    code, _, err = run("forget", *args, "--db", db)
    assert code == 2
    assert said in err
    assert len(texts(db)) == 3
