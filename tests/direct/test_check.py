"""Looking a memory over, and making again what was derived."""

from __future__ import annotations

import sqlite3

import pytest

import convmem
from convmem.testing.fakes import FakeEmbedder

SAID = [
    {"role": "user", "content": "My locker is number 7719."},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "我住在泉州。"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "chat.db"
    with convmem.Memory(path, embedder=FakeEmbedder()) as memory:
        memory.record(SAID, user="alice", session="s")
        memory.record(SAID[:1], session="nobody")
        memory.flush()
    return path


def test_a_sound_memory_says_so(file):
    with convmem.Memory(file, embedder=FakeEmbedder()) as memory:
        health = memory.check()
    assert health.sound
    assert (health.turns, health.damaged) == (4, ())
    assert (health.without_words, health.without_vectors) == (0, 0)
    assert health.free_bytes >= 0


def test_vectors_of_another_embedder_are_missing_until_they_are_made(file):
    with convmem.Memory(file, embedder=None) as memory:
        assert memory.check().without_vectors is None
    failing = FakeEmbedder(name="other", fail=True)
    with convmem.Memory(file, embedder=failing) as memory:
        assert memory.check().without_vectors == 4
        failing.fail = False
        assert memory.check(mend=True).without_vectors == 0


def test_damaged_entries_are_named_and_made_again(file):
    with sqlite3.connect(file) as db:
        db.execute(
            "UPDATE contents SET body = zeroblob(length(body)) WHERE id IN"
            " (SELECT entry FROM views ORDER BY turn LIMIT 2)"
        )
    db.close()
    with convmem.Memory(file, embedder=None) as memory:
        assert memory.check().damaged == ("t1", "t2")
        health = memory.check(mend=True)
        assert health.sound
        assert health.damaged == ()
        assert memory.recall("locker number", user="alice")[0].turn.id == "t1"


def test_a_turn_that_cannot_be_read_is_a_problem_and_no_error(file):
    with sqlite3.connect(file) as db:
        db.execute("UPDATE contents SET body = '{' WHERE id = (SELECT payload FROM turns WHERE seq = 2)")
    db.close()
    with convmem.Memory(file, embedder=None) as memory:
        health = memory.check()
    assert not health.sound
    done = convmem.repair(file)
    assert (done.turns, done.lost) == (3, 1)


def test_a_store_in_memory_can_be_looked_over_too():
    with convmem.Memory(":memory:", embedder=None) as memory:
        memory.record(SAID, user="alice", session="s")
        assert memory.check(mend=True) == convmem.Health(turns=3)


def test_pins_are_listed():
    with convmem.Memory(":memory:", embedder=None) as memory:
        assert memory.pins(user="alice") == []
        memory.pin("Vegetarian.", user="alice")
        memory.pin("以后都用中文", user="alice")
        assert [pin.text for pin in memory.pins(user="alice")] == ["Vegetarian.", "以后都用中文"]
        memory.forget(user="alice", text="中文")
        assert [pin.text for pin in memory.pins(user="alice")] == ["Vegetarian."]
        with pytest.raises(convmem.ScopeError):
            memory.pins(user="")
