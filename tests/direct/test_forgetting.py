"""Forgotten words are nowhere and come back by no way; all that was not forgotten is as it was before."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import Future

import pytest

import convmem
from convmem.hooks import DegradedEvent
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


# A reply that is under way.


@pytest.mark.parametrize("what", [{}, {"session": "s"}, {"text": "my code"}])
def test_a_reply_to_what_was_forgotten_meanwhile_is_not_journaled(what, tmp_path, provider, bare):
    events = []
    with convmem.Memory(
        tmp_path / "chat.db", deadline_ms=5_000, embedder="none", hooks=[events.append]
    ) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        asked = said(f"my code is {SECRET}. repeat it")
        reply = f"your code is {SECRET}, as you said"
        provider.script(Reply(reply, chunk_size=4))
        stream = client.chat.completions.create(model="m", stream=True, messages=asked)
        next(iter(stream))
        assert len(memory.forget(user="alice", **what).turn_ids) == 1
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        receipt = memory.receipt_for(stream)
        assert not receipt.journaled
        assert any("forgotten meanwhile" in note for note in receipt.notes)
        assert not any(isinstance(event, DegradedEvent) for event in events)
        assert texts(memory, branches=True) == []
        assert bool(memory.sessions(user="alice")) is False

        provider.script(Reply("Fine."))
        history = [*asked, {"role": "assistant", "content": reply}, *said("next")]
        client.chat.completions.create(model="m", messages=history)
        assert texts(memory) == ["next", "Fine."]
        memory.flush()
    assert SECRET.encode() not in on_disk(tmp_path)


def test_a_reply_to_a_quote_that_was_forgotten_meanwhile_is_not_journaled(memory, provider, bare):
    memory.record(said(f"The vault in Porto has code {SECRET}"), user="alice", session="a")
    memory.flush()
    client = memory.wrap(bare, user="alice", session="s")
    for forgotten, left in (("nothing of this", 2), (SECRET, 1)):
        provider.script(Reply(f"It is {SECRET}.", chunk_size=4))
        asked = said(f"What is the code of the vault in Porto? ({left})")
        stream = client.chat.completions.create(model="m", stream=True, messages=asked)
        next(iter(stream))
        assert memory.receipt_for(stream).recalled
        memory.forget(user="alice", text=forgotten)
        for _ in stream:
            pass
        replies = [turn.state for turn in memory.turns(user="alice", session="s") if SECRET in turn.text]
        assert len(replies) == left - 1
        memory.forget(user="alice", session="s")


def test_a_reply_beside_which_something_else_was_forgotten_is_journaled(memory, client, provider):
    provider.script(Reply("Six.", chunk_size=1))
    stream = client.chat.completions.create(model="m", stream=True, messages=said("two times three?"))
    next(iter(stream))
    memory.record(said("about the garden"), user="alice", session="a")
    memory.forget(user="alice", session="a")
    for _ in stream:
        pass
    assert memory.receipt_for(stream).journaled
    assert texts(memory) == ["two times three?", "Six."]


def test_receipts_do_not_keep_the_words(memory, client, provider):
    memory.record(
        said(f"The vault in Porto has code {SECRET}", "The door in Faro is green."), user="alice", session="a"
    )
    memory.flush()
    response = ask(client, provider, "What is the code of the vault in Porto, and which door is green?")
    memory.forget(user="alice", text=SECRET)
    for receipt in (memory.last_receipt(), memory.receipt_for(response)):
        assert receipt.recalled
        assert SECRET not in "".join(turn.text for turn in receipt.recalled)
        assert "".join(turn.text for turn in receipt.recalled if "Faro" in turn.text)


# Moving it.


def test_an_export_after_forgetting_doubles_nothing(remembering):
    memory = remembering
    memory.record(said("q1", "a1", "q2", "a2", "q3", "a3", "q4", "a4"), user="alice", session="s")
    ids = [turn.id for turn in memory.turns(user="alice", session="s")]
    memory.forget(user="alice", turn_ids=[ids[0], ids[3], ids[4]])
    left = ["a1", "q2", "a3", "q4", "a4"]
    lines = list(memory.export())
    for _ in range(2):
        assert memory.import_(lines) == len(left)
        assert texts(memory) == texts(memory, branches=True) == left
    with convmem.Memory(":memory:", embedder="none") as other:
        for _ in range(2):
            other.import_(lines)
            assert texts(other) == texts(other, branches=True) == left
        again = list(other.export())
        assert [json.loads(line)["message"] for line in again[1:]] == [
            json.loads(line)["message"] for line in lines[1:]
        ]
        other.import_(again)
        assert texts(other, branches=True) == left


@pytest.mark.parametrize("places", [["00"], "0", [3], ["zz" * 16], 5])
def test_forgotten_places_that_cannot_be_are_refused(memory, places):
    memory.record(said("a"), user="alice", session="s")
    header, line = memory.export()
    with pytest.raises(convmem.InputError, match="line 2"):
        memory.import_([header, json.dumps({**json.loads(line), "forgotten": places})])
