"""Bad input through the direct API: a clear error that says what to do, and nothing changed."""

from __future__ import annotations

import json

import pytest
from tests.wrap.bodies import VALUES

import convmem
from convmem.errors import InputError

SAID = [{"role": "user", "content": "My locker is number 7719."}, {"role": "assistant", "content": "Noted."}]
ASKED = [{"role": "user", "content": "which locker?"}]
GOOD_TEXTS = {"text", "long", "surrogate", "NUL", "subclass"}
"""Values that are a text somebody may mean."""

DOORS = {
    "record messages": lambda memory, value: memory.record(value, user="u", session="s"),
    "record message": lambda memory, value: memory.record([value], user="u", session="s"),
    "record content": lambda memory, value: memory.record([{"role": "user", "content": value}], user="u"),
    "record role": lambda memory, value: memory.record([{"role": value, "content": "x"}], user="u"),
    "record name": lambda memory, value: memory.record([{**ASKED[0], "name": value}], user="u"),
    "record calls": lambda memory, value: memory.record([{**SAID[1], "tool_calls": value}], user="u"),
    "record at": lambda memory, value: memory.record(ASKED, user="u", at=value),
    "record prepared": lambda memory, value: memory.record(ASKED, prepared=value),
    "record user": lambda memory, value: memory.record(ASKED, user=value),
    "record session": lambda memory, value: memory.record(ASKED, session=value),
    "prepare messages": lambda memory, value: memory.prepare(value, user="u"),
    "prepare content": lambda memory, value: memory.prepare([{"role": "user", "content": value}], user="u"),
    "prepare model": lambda memory, value: memory.prepare(ASKED, user="u", model=value),
    "prepare budget": lambda memory, value: memory.prepare(ASKED, user="u", budget=value),
    "prepare policy": lambda memory, value: memory.prepare(ASKED, user="u", policy=value),
    "recall query": lambda memory, value: memory.recall(value, user="u"),
    "recall top_k": lambda memory, value: memory.recall("locker", user="u", top_k=value),
    "recall budget": lambda memory, value: memory.recall("locker", user="u", budget=value),
    "recall user": lambda memory, value: memory.recall("locker", user=value),
    "pin text": lambda memory, value: memory.pin(value, user="u"),
    "pin user": lambda memory, value: memory.pin("x", user=value),
    "unpin id": lambda memory, value: memory.unpin(value, user="u"),
    "unpin user": lambda memory, value: memory.unpin("p1", user=value),
    "pins user": lambda memory, value: memory.pins(user=value),
    "forget text": lambda memory, value: memory.forget(user="nobody", text=value),
    "forget ids": lambda memory, value: memory.forget(user="nobody", turn_ids=value),
    "forget id": lambda memory, value: memory.forget(user="nobody", turn_ids=[value]),
    "forget session": lambda memory, value: memory.forget(user="nobody", session=value),
    "verify": lambda memory, value: memory.verify_forgotten(value),
    "import line": lambda memory, value: memory.import_([value]),
    "turns session": lambda memory, value: memory.turns(session=value),
    "turns user": lambda memory, value: memory.turns(user=value),
    "sessions user": lambda memory, value: memory.sessions(user=value),
    "export user": lambda memory, value: list(memory.export(user=value)),
    "receipt_for": lambda memory, value: memory.receipt_for(value),
    "scope user": lambda memory, value: memory.scope(user=value).__enter__(),
    "deadline_ms": lambda _, value: convmem.Memory(":memory:", embedder="none", deadline_ms=value).close(),
}


@pytest.mark.parametrize("door", list(DOORS))
def test_every_door_takes_a_value_or_says_why_not(door, memory):
    ids = memory.record(SAID, user="alice", session="s")
    memory.flush()
    before = list(memory.export(user="alice"))
    errors = {}
    for name, make in VALUES.items():
        try:
            DOORS[door](memory, make())
        except InputError as error:
            errors[name] = str(error)
        except RuntimeError as error:
            errors[name] = f"the caller's own iterable: {error}"
    assert all(15 < len(text) < 700 for text in errors.values()), "they say what to do, and repeat no book"
    assert errors or door == "receipt_for"
    memory.flush()
    assert list(memory.export(user="alice")) == before
    assert [hit.turn.id for hit in memory.recall("which locker?", user="alice", top_k=1)] == ids[:1]
    copy = [json.loads(line) for line in memory.export()]
    assert len(copy) == memory.stats().turns + 1


@pytest.mark.parametrize("door", ["record content", "recall query", "forget text"])
def test_any_text_is_a_text(door, memory):
    for name in sorted(GOOD_TEXTS):
        DOORS[door](memory, VALUES[name]())


def test_any_short_text_can_be_pinned(memory):
    for name in sorted(GOOD_TEXTS - {"long"}):
        DOORS["pin text"](memory, VALUES[name]())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message", {"role": "user", "content": float("nan")}),
        ("message", {"role": 5}),
        ("message", []),
        ("choice", -1),
        ("choice", "x"),
        ("choice", None),
        ("id", ["t1"]),
        ("parent", {}),
        ("session", None),
        ("at", 7),
        ("state", []),
        ("user", 3),
    ],
)
def test_a_line_with_an_odd_field_is_named_and_nothing_of_it_kept(memory, field, value):
    memory.record(SAID, user="alice", session="s")
    header, line, _ = memory.export()
    odd = json.dumps({**json.loads(line), field: value})
    with convmem.Memory(":memory:", embedder="none") as other:
        with pytest.raises(InputError, match="line 2"):
            other.import_([header, odd])
        assert other.stats().turns == 0
        deep = '{"message": ' + "[" * 100_000 + "]" * 100_000 + "}"
        with pytest.raises(InputError, match="line 2"):
            other.import_([header, deep])


def test_a_name_as_long_as_a_book_keeps_nobody_from_being_found(memory):
    memory.record([{"role": "user", "content": "hello", "name": "n" * 1_000_000}], user="bob")
    memory.record(SAID, user="alice", session="s")
    memory.flush()
    assert memory.recall("which locker?", user="alice")


def test_a_message_that_is_shared_but_not_cyclic_is_taken(memory):
    part = {"type": "text", "text": "twice"}
    memory.record([{"role": "user", "content": [part, part]}], user="u", session="s")
    assert memory.turns(user="u", session="s")[0].payload["content"] == [part, part]


def test_ten_thousand_messages_are_recorded(memory):
    many = [{"role": ("user", "assistant")[n % 2], "content": f"line {n}"} for n in range(10_000)]
    assert len(memory.record(many, user="u", session="s")) == 10_000
    assert memory.record(many, user="u", session="s")[0] == memory.turns(user="u", session="s")[0].id
    assert memory.stats().turns == 10_000
