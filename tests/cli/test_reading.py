"""`convmem sessions`, `show`, `recall` and `stats`, as a user runs them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import openai
import pytest
from tests.cli.conftest import lines

import convmem
from convmem.testing import Fault

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POOL = [
    {"role": "user", "content": "My locker at the pool is number 7719."},
    {"role": "assistant", "content": "Noted: 7719.\x1b[31m"},
]


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "chat.db"
    with convmem.Memory(path, embedder=None) as memory:
        memory.record(POOL, user="alice", session="pool", at=NOON)
        memory.record([{"role": "user", "content": "我妹妹住在泉州。"}], user="alice", session="家")
    return path


def test_sessions_are_listed(run, db):
    code, out, err = run("sessions", "--db", db)
    assert (code, err) == (0, "")
    assert [row.split()[:3] for row in out.splitlines()[1:]] == [["pool", "alice", "2"], ["家", "alice", "1"]]
    found = json.loads(run("sessions", "--db", db, "--json")[1])
    assert found[0] == {"name": "pool", "user": "alice", "created": "2026-03-02T12:00:00+00:00", "turns": 2}


def test_a_conversation_is_shown_and_cannot_steer_the_terminal(run, db):
    code, out, _ = run("show", "pool", "--db", db)
    assert code == 0
    assert "[2026-03-02]" in out
    assert "My locker at the pool is number 7719." in out
    assert "\x1b" not in out
    assert "7719" not in run("show", "--db", db)[1]  # the newest one
    turns = json.loads(run("show", "pool", "--last", 1, "--json", "--db", db)[1])
    assert [(turn["id"], turn["message"]) for turn in turns] == [("t2", POOL[1])]


def test_search_tells_score_reasons_and_place(run, db):
    code, out, _ = run("recall", "locker number", "--db", db, "--embedder", "none")
    assert code == 0
    assert out.startswith("1. 2026-03-02")
    assert "in pool, t1" in out
    hit = json.loads(run("recall", "妹妹住哪里", "--db", db, "--embedder", "none", "--json")[1])[0]
    assert hit["turn"]["session"] == "家"
    assert "lexical" in hit["why"]
    run("forget", "--everything", "--yes", "--db", db)
    code, _, err = run("recall", "locker", "--db", db, "--user", "alice", "--embedder", "none")
    assert (code, "there is no user 'alice'; there is none yet" in err) == (2, True)


@pytest.mark.parametrize("command", [["sessions"], ["recall", "locker", "--embedder", "none"], ["show"]])
def test_a_user_who_is_not_there_is_named_with_those_who_are(run, db, command):
    code, out, err = run(*command, "--user", "bob", "--db", db)
    assert (code, out) == (2, "")
    assert "there is no user 'bob'; there is alice" in err


def test_who_only_pinned_something_is_a_user(run, db):
    with convmem.Memory(db, embedder=None) as memory:
        memory.pin("Answer in French.", user="bob")
    assert run("sessions", "--user", "bob", "--db", db)[:2] == (0, "No conversation yet.\n")


def test_what_was_never_answered_is_shown_and_marked(run, db, client, provider, tmp_path):
    provider.script(Fault.status(400))
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello?"}])
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        found = memory.sessions()[-1]
    whose = ("--no-user",) if found.user is None else ("--user", found.user)
    code, out, _ = run("show", found.name, *whose, "--db", tmp_path / "chat.db")
    assert (code, "(failed)" in out, "Hello?" in out) == (0, True, True)


def test_counts(run, db):
    code, out, _ = run("stats", "--db", db)
    assert code == 0
    assert "3 turns in 2 sessions of 1 user, 0 calls" in out
    counts = json.loads(run("stats", "--db", db, "--json")[1])
    assert (counts["turns"], counts["file"]) == (3, str(db))
    assert counts["by_user"] == [{"user": "alice", "sessions": 2, "turns": 3}]


def test_what_calls_took_is_counted(run, db, client, tmp_path, provider):
    def told(*options):
        out = run("stats", "--db", tmp_path / "chat.db", *options)[1]
        return json.loads(out) if "--json" in options else lines(out)

    prices = tmp_path / "prices.toml"
    row = 'host = "127.0.0.1"\nmodel = "m"\nfrom = 2026-01-01\ninput = 2.00\ncached = 0.20\noutput = 8.00'
    prices.write_text(f"[[price]]\n{row}\n")
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    assert told().endswith("1 call without a known price")
    assert "at list prices" in told("--prices", str(prices))
    spent = told("--prices", str(prices), "--json")
    assert (spent["ledger"]["calls"], spent["ledger"]["unpriced"]) == (1, 0)
    assert spent["cost"]["total"] == sum(spent["cost"][part] for part in ("cached", "uncached", "output")) > 0


def test_the_environment_and_the_default_place_say_which_memory(run, db, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVMEM_DB", str(db))
    monkeypatch.setenv("CONVMEM_USER", "alice")
    assert "pool" in run("sessions")[1]
    monkeypatch.delenv("CONVMEM_DB")
    place = tmp_path / "data" / "convmem" / "memory.db"
    code, _, err = run("sessions")
    assert (code, f"there is no memory at {place}" in err) == (2, True)
    place.parent.mkdir(parents=True)
    db.rename(place)
    assert "pool" in run("sessions")[1]


def test_of_several_users_one_has_to_be_named(run, db):
    with convmem.Memory(db, embedder=None) as memory:
        memory.record(POOL, user="bob", session="pool")
        memory.record(POOL, session="nobody's")
    code, _, err = run("recall", "locker", "--db", db, "--embedder", "none")
    assert code == 2
    assert "--user NAME, one of alice, bob" in err
    assert run("recall", "locker", "--db", db, "--embedder", "none", "--user", "bob")[0] == 0
    assert "7719" in run("recall", "locker", "--no-user", "--db", db, "--embedder", "none")[1]
    assert [s["user"] for s in json.loads(run("sessions", "--no-user", "--db", db, "--json")[1])] == [None]
    assert len(json.loads(run("sessions", "--db", db, "--json")[1])) == 4
    assert "bob" in run("stats", "--db", db)[1]
