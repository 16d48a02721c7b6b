"""Events: each step tells what it did, in order, and no word of the conversation unless asked."""

from __future__ import annotations

import dataclasses
import logging

import pytest

import convmem
from convmem import hooks
from convmem.errors import InputError
from convmem.testing.fakes import FakeEmbedder
from convmem.testing.provider import Fault

SMALL = convmem.WindowPolicy("small", high=120, low=40, summary=120, recall=200)


@pytest.fixture
def events():
    return []


@pytest.fixture
def watched(tmp_path, events):
    with convmem.Memory(
        tmp_path / "chat.db", hooks=[events.append], embedder="none", policy=SMALL, deadline_ms=5_000
    ) as memory:
        yield memory


def say(client, text):
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": text}], stream=False
    )


def of(events, kind):
    return [event for event in events if event.kind == kind]


def test_a_call_tells_its_steps_in_order(watched, bare, events):
    response = say(watched.wrap(bare, user="alice", session="s"), "The boiler code is 4471.")
    kinds = [event.kind for event in events]
    assert kinds == ["journaled", "assembled", "sent", "answered", "journaled"]
    receipt = watched.receipt_for(response)
    assert {(event.call, event.user, event.session) for event in events} == {(receipt.call, "alice", "s")}
    own, reply = of(events, "journaled")
    assert own.turns + reply.turns == receipt.turns
    assembled, sent, answered = events[1:4]
    assert (assembled.tokens, assembled.changed) == (receipt.tokens, False)
    assert (sent.model, sent.mode, sent.host) == ("gpt-4o-mini", "on", "127.0.0.1")
    assert (answered.state, answered.usage, answered.error) == ("answered", receipt.usage, "")
    assert answered.ms["provider"] > 0


def test_cuts_and_quotes_are_told(watched, bare, events):
    client = watched.wrap(bare, user="alice", session="s")
    say(client, "The boiler code is 4471, and the plumber is called Ines.")
    for n in range(6):
        say(client, f"Let us plan evening number {n} with a long walk along the quiet canal and some soup.")
    watched.flush()
    response = say(client, "What is the boiler code?")
    receipt = watched.receipt_for(response)
    assert all(event.rounds > 0 for event in of(events, "cut"))
    assert of(events, "cut")[0].summary_tokens > 0
    recalled = of(events, "recalled")[-1]
    assert [turn.id for turn in recalled.recalled] == [turn.id for turn in receipt.recalled]
    assert recalled.tokens == receipt.tokens.recall > 0
    assert of(events, "assembled")[-1].changed


def test_no_word_of_the_conversation_unless_asked_for(tmp_path, bare):
    plain, full = [], []
    watching = [plain.append, hooks.with_content(full.append)]
    with convmem.Memory(tmp_path / "x.db", hooks=watching, embedder="none", policy=SMALL) as memory:
        memory.record([{"role": "user", "content": "The boiler code is 4471."}], user="alice", session="old")
        memory.flush()
        say(memory.wrap(bare, user="alice", session="new"), "What is the boiler code?")
        memory.flush()
    assert "4471" not in repr([dataclasses.asdict(event) for event in plain])
    assert [event.kind for event in plain] == [event.kind for event in full]
    assert of(plain, "assembled")[0].messages is None
    sent = of(full, "assembled")[0].messages
    assert "4471" in sent[-1]["content"]
    assert "4471" in of(full, "recalled")[0].recalled[0].text
    assert of(plain, "recalled")[0].recalled[0].text == ""


def test_an_object_may_ask_for_content_by_an_attribute(tmp_path, bare):
    class Watcher:
        content = True

        def __init__(self):
            self.seen = []

        def __call__(self, event):
            self.seen.append(event)

    watcher = Watcher()
    with convmem.Memory(tmp_path / "x.db", hooks=[watcher], embedder="none") as memory:
        say(memory.wrap(bare, user="alice", session="s"), "hello there")
    assert of(watcher.seen, "assembled")[0].messages[0]["content"] == "hello there"


def test_a_refused_call_tells_why(watched, bare, events, provider):
    provider.script(Fault.status(503))
    with pytest.raises(Exception, match="503"):
        say(watched.wrap(bare, user="alice", session="s"), "hi")
    failed = of(events, "failed")[0]
    assert (failed.error, failed.model) == ("InternalServerError", "gpt-4o-mini")
    assert not of(events, "answered")


def test_vectors_made_in_the_background_are_told(tmp_path, events):
    embedder = FakeEmbedder()
    with convmem.Memory(tmp_path / "x.db", hooks=[events.append], embedder=embedder) as memory:
        memory.record([{"role": "user", "content": f"fact number {n}"} for n in range(20)], user="alice")
        memory.flush()
    embedded = of(events, "embedded")
    assert sum(event.turns for event in embedded) == 20
    assert {event.fingerprint for event in embedded} == {embedder.fingerprint}


def test_events_are_frozen_and_each_kind_has_a_class():
    kinds = {
        cls.kind
        for name in hooks.__all__
        if isinstance(cls := getattr(hooks, name), type)
        and issubclass(cls, hooks.Event)
        and cls is not hooks.Event
    }
    assert kinds == set(hooks.EventKind.__args__)
    with pytest.raises(dataclasses.FrozenInstanceError):
        hooks.DegradedEvent(detail="x").detail = "y"


def test_the_logging_hook_writes_a_line_for_each_event(tmp_path, bare, caplog):
    caplog.set_level(logging.INFO, logger="convmem.events")
    with convmem.Memory(tmp_path / "x.db", hooks=[hooks.LoggingHook()], embedder="none") as memory:
        say(memory.wrap(bare, user="alice", session="s"), "The boiler code is 4471.")
    lines = [record for record in caplog.records if record.name == "convmem.events"]
    assert [line.message.split()[0] for line in lines] == [
        "journaled",
        "assembled",
        "sent",
        "answered",
        "journaled",
    ]
    assert lines[2].convmem["model"] == "gpt-4o-mini"
    assert "4471" not in caplog.text


async def later(event): ...


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (print, "hooks is a list of functions that take an event, not builtin_function_or_method"),
        ("x", "hooks is a list"),
        (None, "hooks is a list"),
        (["x"], r"hooks\[0\] is str, not a function"),
        ([print, hooks.LoggingHook], r"hooks\[1\] is the class LoggingHook; pass an instance"),
        ([later], r"hooks\[0\] is async"),
    ],
)
def test_what_is_no_hook_is_refused_when_a_memory_is_made(tmp_path, given, said):
    with pytest.raises(InputError, match=said):
        convmem.Memory(tmp_path / "x.db", hooks=given, embedder="none")
    assert not list(tmp_path.iterdir())


def test_a_hook_that_fails_has_one_traceback_in_the_log(tmp_path, bare, caplog):
    def fails(event):
        raise RuntimeError(f"no {event.kind}")

    with convmem.Memory(tmp_path / "x.db", hooks=[fails], embedder="none", deadline_ms=60_000) as memory:
        say(memory.wrap(bare, user="alice", session="s"), "hello")
    told = [record for record in caplog.records if "a hook failed" in record.message]
    assert len(told) == 5
    assert [record.exc_info is not None for record in told] == [True, False, False, False, False]
    assert "RuntimeError('no answered')" in told[3].message


def test_trouble_is_logged_once_with_a_logging_hook_too(caplog):
    with caplog.at_level(logging.INFO):
        hooks.emit((hooks.Guarded(hooks.LoggingHook()),), hooks.DegradedEvent(detail="the disk is full"))
    assert [record.message for record in caplog.records] == ["the disk is full"]
