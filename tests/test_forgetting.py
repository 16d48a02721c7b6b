"""Forgotten words are nowhere and come back by no way; all that was not forgotten is as it was before."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import Future

import pytest

import convmem
from convmem.policy import WindowPolicy
from convmem.testing import Reply

SECRET = "ZEBRA4711"  # noqa: S105 (a word to look for)
SMALL = WindowPolicy("small", high=300, low=100, summary=200, recall=100)


def said(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def ask(client, provider, text, reply="Fine."):
    provider.script(Reply(reply))
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])


def texts(memory, *, branches=False, session="s"):
    return [turn.text for turn in memory.turns(user="alice", session=session, branches=branches)]


def on_disk(tmp_path):
    return b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.fixture(params=["file", "memory"])
def remembering(request, tmp_path):
    """A Memory on each of the shipped stores."""
    store = ":memory:" if request.param == "memory" else tmp_path / "chat.db"
    with convmem.Memory(store, deadline_ms=5_000, embedder="none", policy=SMALL) as opened:
        yield opened


# What is left is as it was.


@pytest.mark.parametrize("loaded_before", [False, True])
def test_what_was_said_before_a_forgotten_turn_is_there_still(remembering, loaded_before):
    memory = remembering
    memory.record(
        said(
            "Which hotel?",
            "The Alcantara in Lisbon.",
            "And my code?",
            f"It is {SECRET}.",
            "thanks",
            "Welcome.",
        ),
        user="alice",
        session="s",
    )
    memory.flush()
    if loaded_before:
        memory.recall("hotel", user="alice")
    memory.forget(user="alice", text=SECRET)
    left = ["Which hotel?", "The Alcantara in Lisbon.", "And my code?", "thanks", "Welcome."]
    assert texts(memory) == left
    memory.record(said("one more"), user="alice", session="s")
    memory.flush()
    assert texts(memory) == [*left, "one more"]
    found = {hit.turn.text: hit.why for hit in memory.recall("Alcantara hotel Lisbon", user="alice")}
    assert "The Alcantara in Lisbon." in found
    assert "edited away" not in found["Which hotel?"]
    quoted = memory.prepare(
        said("What does the Alcantara in Lisbon cost?"), user="alice", session="t"
    ).receipt
    assert "The Alcantara in Lisbon." in [turn.text for turn in quoted.recalled]


def test_a_conversation_goes_on_where_its_last_turns_were_forgotten(remembering):
    memory = remembering
    memory.record(said("kayak", "paddle", "river", "rapids"), user="alice", session="s")
    memory.flush()
    memory.recall("kayak", user="alice")
    memory.forget(user="alice", turn_ids=[turn.id for turn in memory.turns(user="alice", session="s")[1:]])
    memory.record(said("kayak", "paddle", "river", "rapids", "helmet", "rope"), user="alice", session="s")
    assert texts(memory) == ["kayak", "helmet", "rope"]
    assert {hit.turn.text for hit in memory.recall("kayak helmet rope", user="alice")} >= {
        "kayak",
        "helmet",
        "rope",
    }


# What is to be forgotten is found.


def test_what_is_on_its_way_to_the_journal_is_forgotten_too(tmp_path, provider, bare):
    with convmem.Memory(tmp_path / "chat.db", deadline_ms=50, embedder="none") as memory:
        client = memory.wrap(bare, user="alice", session="s")
        ask(client, provider, "hi")
        memory.flush()
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        response = ask(client, provider, f"my code is {SECRET}")
        assert not memory.receipt_for(response).journaled
        release = threading.Timer(0.1, other.execute, ("COMMIT",))
        release.start()
        report = memory.forget(user="alice", text=SECRET)
        release.join()
        other.close()
        assert len(report.turn_ids) == 1
        assert not [text for text in texts(memory, branches=True) if SECRET in text]


def test_a_stream_that_was_left_is_forgotten_at_once(memory, client, provider):
    for n in range(5):
        provider.script(Reply(f"your code is {SECRET} and so on and so on", chunk_size=4))
        stream = client.chat.completions.create(model="m", stream=True, messages=said(f"what is it? {n}"))
        for i, _ in enumerate(stream):
            if i == 8:
                break
        stream.close()
        assert len(memory.forget(user="alice", text=SECRET).turn_ids) == 1
        assert not [text for text in texts(memory, branches=True) if SECRET in text]


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"address": "京都市中京区"}),
        json.dumps({"outer": json.dumps({"address": "京都市中京区"})}),
        json.dumps({"address": "京都市中京区"})[:-2],  # broken off
    ],
)
def test_text_that_stands_escaped_in_json_is_found(memory, written):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": written}}
    messages = [
        {"role": "user", "content": "where?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": written},
        {"role": "assistant", "content": "ok"},
    ]
    memory.record(messages, user="alice", session="s")
    assert len(memory.forget(user="alice", text="京都市中京区").turn_ids) == 2
    assert [turn.role for turn in memory.turns(user="alice", session="s")] == ["user", "assistant"]


def test_characters_beyond_the_first_plane_and_quotes_are_found_escaped(memory):
    memory.record(said(json.dumps({"a": 'she said "🦓 yes"'})), user="alice", session="s")
    assert len(memory.forget(user="alice", text='"🦓 YES"', dry_run=True).turn_ids) == 1
    assert not memory.forget(user="alice", text="🦒", dry_run=True).turn_ids


# Nothing derived keeps it.


def test_a_forgotten_pin_is_gone_from_summaries(remembering, provider, bare, tmp_path):
    memory = remembering
    client = memory.wrap(bare, user="alice", session="s")
    memory.pin(f"My bank card code is {SECRET}", user="alice")
    memory.pin("Answer in metric units.", user="alice")
    for n in range(8):
        ask(client, provider, f"Round {n}: " + "some words about the garden and the weather. " * 5)
    assert SECRET in str(provider.requests[-1].body)
    memory.forget(user="alice", session="elsewhere", text=SECRET)
    assert SECRET.encode() not in on_disk(tmp_path)
    ask(client, provider, "hello there again")
    assert SECRET not in str(provider.requests[-1].body)
    assert "metric" in str(provider.requests[-1].body)


class Slow:
    """A compressor that quotes, and waits before it returns."""

    def __init__(self):
        self.quoted = Future()
        self.go = threading.Event()

    def compress(self, request):
        text = " ".join(turn.text for turn in request.turns)[:400]
        if SECRET in text and not self.quoted.done():
            self.quoted.set_result(None)
            assert self.go.wait(120)
        return text


def test_a_summary_that_was_begun_before_another_process_forgot_is_dropped(tmp_path, provider, bare):
    slow, path = Slow(), tmp_path / "chat.db"
    policy = WindowPolicy("tiny", high=200, low=60, summary=150, recall=0)
    with (
        convmem.Memory(path, embedder="none", policy=policy, compressor=slow, deadline_ms=200) as memory,
        convmem.Memory(path, embedder="none") as other,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        ask(client, provider, f"my code is {SECRET}, keep it")
        n = 0
        while not slow.quoted.done():
            n += 1
            assert n < 200
            ask(client, provider, f"round {n} " + "garden weather words " * 10)
            memory.flush()
        assert len(other.forget(user="alice", text=SECRET).turn_ids) == 1
        slow.go.set()
        memory.close()
        assert SECRET.encode() not in on_disk(tmp_path)
