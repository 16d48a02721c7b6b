"""`convmem receipts`: a row per call, the newest first, and the notes below."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import openai
import pytest
from tests.cli.conftest import lines

import convmem
from convmem.testing import Fault, Reply

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def db(tmp_path, provider):
    path = tmp_path / "chat.db"
    times = iter(NOON + timedelta(minutes=n) for n in range(200))
    with (
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(path, embedder="none", deadline_ms=10_000, clock=lambda: next(times)) as memory,
    ):
        provider.script(Reply("Noted."), Reply("好的。"), Fault.status(503))
        for user, text in (("alice", "The oar is in shed 3."), ("alice", "桨在哪里?"), ("bob", "Hello?")):
            client = memory.wrap(bare, user=user, session="harbour")
            try:
                client.chat.completions.create(
                    model="deepseek-chat", messages=[{"role": "user", "content": text}]
                )
            except openai.InternalServerError:
                assert user == "bob"
    return path


def test_calls_are_listed_newest_first(run, db):
    code, out, err = run("receipts", "--db", db)
    assert (code, err) == (0, "")
    rows = [row.split() for row in out.splitlines()]
    assert rows[0] == [
        "call",
        "session",
        "state",
        "journaled",
        "complete",
        "sent",
        "quoted",
        "cost",
        "notes",
    ]
    assert [row[3:6] for row in rows[1:4]] == [
        ["failed", "yes", "yes"],
        ["answered", "yes", "yes"],
        ["answered", "yes", "yes"],
    ]
    assert [row[2][:3] for row in rows[1:4]] == ["bob", "ali", "ali"]
    assert "oar" not in out


def test_calls_of_one_user_and_session(run, db):
    found = json.loads(run("receipts", "--db", db, "--user", "alice", "--session", "harbour", "--json")[1])
    assert [(r["user"], r["restored"], r["state"]) for r in found] == [
        ("alice", 2, "answered"),
        ("alice", 0, "answered"),
    ]
    assert found[0]["usage"]["total_tokens"] > 0
    assert len(json.loads(run("receipts", "--db", db, "--limit", 1, "--json")[1])) == 1
    assert json.loads(run("receipts", "--db", db, "--since", "2026-03-04", "--json")[1]) == []
    code, _, err = run("receipts", "--db", db, "--user", "alice", "--session", "nowhere")
    assert (code, "there is no session 'nowhere'" in err) == (2, True)


def test_notes_stand_below_once(run, tmp_path, provider):
    path = tmp_path / "x.db"
    with (
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(path, embedder="none", deadline_ms=10_000) as memory,
    ):
        client = memory.wrap(bare, user="alice")
        for text in ("one", "two"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    out = run("receipts", "--db", path)[1]
    assert lines(out).count("no session was named") == 1
    assert [row.split()[-1] for row in out.splitlines()[1:3]] == ["1", "1"]


def test_a_memory_without_calls(run, tmp_path):
    convmem.Memory(tmp_path / "x.db", embedder=None).close()
    assert run("receipts", "--db", tmp_path / "x.db")[1] == "No call yet that left a receipt.\n"
