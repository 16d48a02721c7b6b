"""Pins: in every request, within the policy's tokens, on the receipt, and gone when they are taken away."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import openai
import pytest

import convmem
from convmem import InputError
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder
from convmem.wire.message import text_of

SMALL = WindowPolicy("small", high=400, low=120, summary=160, recall=200)
PEANUTS = "Allergic to peanuts."


def opened(store, policy=SMALL):
    ticks = itertools.count()
    return convmem.Memory(
        store,
        embedder=FakeEmbedder(),
        policy=policy,
        tz=UTC,
        clock=lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=next(ticks)),
        deadline_ms=10_000,
    )


@pytest.fixture(params=["memory", "file"])
def memory(request, tmp_path):
    with opened(InMemoryStore() if request.param == "memory" else tmp_path / "x.db") as memory:
        yield memory


@pytest.fixture
def bare(provider):
    with openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client:
        yield client


def ask(memory, bare, text, session="s"):
    client = memory.wrap(bare, user="alice", session=session)
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}])
    return memory.last_receipt()


def sent(provider) -> list[str]:
    return [text_of(message) for message in provider.requests[-1].messages]


def until_summarized(memory, bare, provider) -> None:
    """Talk until the pin stands in the summary, and the newest turn goes without."""
    for n in range(40):
        ask(memory, bare, f"On day {n} we paid invoice {1000 + n} of 40 euros to the printer in Porto.")
        if PEANUTS in (texts := sent(provider))[0] and PEANUTS not in texts[-1]:
            return
    raise AssertionError("no cut took the pin into the summary")


def test_a_pin_is_short(memory):
    for text in ("secret rule number one. " * 1_500, "规" * 667, "x" * 2_001):
        with pytest.raises(InputError, match="2,000 at most"):
            memory.pin(text, user="carol")
    assert memory.pins(user="carol") == []
    for text in ("规" * 666, "x" * 2_000):
        memory.pin(text, user="carol")


def test_the_newest_pins_go_as_many_as_fit(memory, bare, provider):
    for n in range(40):
        memory.pin(f"Rule {n}: the invoices of street {n} are paid in the first week.", user="alice")
    receipt = ask(memory, bare, "hi")
    (text,) = sent(provider)
    shown = [n for n in range(40) if f"Rule {n}:" in text]
    assert shown == list(range(shown[0], 40))
    assert 0 < shown[0] < 40
    assert 100 < receipt.tokens.pins <= SMALL.recall
    assert receipt.tokens.recall == 0, "nothing is quoted"
    assert receipt.notes == (
        f"pins left out: {shown[0]}; the newest go first, as many as fit (memory.unpin takes one away)",
    )
    for n in range(30):
        receipt = ask(memory, bare, f"On day {n} we paid invoice {1000 + n} of 40 euros to the printer.")
        added = receipt.tokens.pins + receipt.tokens.summary + receipt.tokens.recall
        assert added <= SMALL.summary + SMALL.recall
        assert "Rule 39:" in "".join(sent(provider))
    assert "Rule 39:" in sent(provider)[0]
    assert receipt.tokens.summary > 0, "pins leave room for a summary"


def test_a_policy_that_quotes_nothing_has_room_for_pins(bare, provider):
    with opened(InMemoryStore(), WindowPolicy("plain", high=400, low=120, summary=0, recall=0)) as memory:
        memory.pin(PEANUTS, user="alice")
        for n in range(20):
            ask(memory, bare, f"On day {n} we paid invoice {1000 + n} of 40 euros to the printer in Porto.")
            assert PEANUTS in sent(provider)[-1]


def test_the_receipt_tells_pins_apart(memory, bare, provider):
    assert ask(memory, bare, "hi", session="before").tokens.pins == 0
    assert "pins" not in str(memory.last_receipt())
    memory.pin(PEANUTS, user="alice")
    receipt = ask(memory, bare, "hi")
    assert receipt.tokens.pins > 5
    assert f", pins {receipt.tokens.pins}\n" in str(receipt)
    until_summarized(memory, bare, provider)
    tokens = memory.last_receipt().tokens
    assert 5 < tokens.pins < tokens.summary
    assert tokens.total == sum(
        (tokens.system, tokens.pins, tokens.summary, tokens.window, tokens.recall, tokens.new)
    )


@pytest.mark.parametrize("way", ["unpin", "forget"])
def test_what_was_unpinned_is_not_sent_again(way, memory, bare, provider):
    pin = memory.pin(PEANUTS, user="alice")
    other = memory.pin("Vegetarian.", user="alice")
    until_summarized(memory, bare, provider)
    if way == "unpin":
        memory.unpin(pin, user="alice")
    else:
        memory.forget(user="alice", text=PEANUTS)
    assert [kept.id for kept in memory.pins(user="alice")] == [other]
    for text in ("ok", "thanks"):
        ask(memory, bare, text)
        assert PEANUTS not in (words := "".join(sent(provider)))
        assert "Vegetarian." in words


def test_an_unpinned_text_is_gone_from_the_file(tmp_path, bare, provider):
    with opened(tmp_path / "x.db") as memory:
        pin = memory.pin(PEANUTS, user="alice")
        until_summarized(memory, bare, provider)

        def holding():
            return [path.name for path in tmp_path.iterdir() if PEANUTS.encode() in path.read_bytes()]

        assert holding()
        memory.unpin(pin, user="alice")
        assert holding() == []


def test_a_restart_keeps_the_block(tmp_path, bare, provider):
    with opened(tmp_path / "x.db") as memory:
        memory.pin(PEANUTS, user="alice")
        until_summarized(memory, bare, provider)
        memory.flush()
        before = sent(provider)
    with opened(tmp_path / "x.db") as memory:
        receipt = ask(memory, bare, "ok")
        assert receipt.cut or sent(provider)[: len(before) - 1] == before[:-1]


def test_a_pin_that_is_not_there(memory):
    pin = memory.pin(PEANUTS, user="alice")
    for user, id_ in (("alice", "p999"), ("bob", pin), ("alice", "t1")):
        with pytest.raises(InputError, match=f"has no pin '{id_}'"):
            memory.unpin(id_, user=user)
    memory.unpin(pin, user="alice")
    with pytest.raises(InputError, match="has no pin"):
        memory.unpin(pin, user="alice")


def test_ids_that_are_no_turns(memory):
    pin = memory.pin(PEANUTS, user="alice")
    with pytest.raises(InputError, match=rf"memory\.unpin\('{pin}'"):
        memory.forget(user="alice", turn_ids=[pin])
    with pytest.raises(InputError, match=r"turn_ids\[1\] is 'seven', not a turn id"):
        memory.forget(user="alice", turn_ids=["t1", "seven"])
    assert len(memory.pins(user="alice")) == 1
