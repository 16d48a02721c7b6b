"""Bad input through a wrapped client: the call does what the bare client's does, and nothing is lost."""

from __future__ import annotations

import json
import random

import openai
import pytest
from tests.wrap.bodies import VALUES, body

import convmem
from convmem.testing import LocalProvider


def outcome(client, provider, door, made):
    """What the caller sees, and what the provider was sent."""
    before = len(provider.requests)
    try:
        if door == "post":
            reply = client.post("/chat/completions", body=made, cast_to=openai.types.chat.ChatCompletion)
            seen = reply.choices[0].message.content
        elif made.get("stream") is True:
            with client.chat.completions.create(**made) as stream:
                seen = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
        else:
            seen = client.chat.completions.create(**made).choices[0].message.content
    except RecursionError:
        seen = "RecursionError"  # at which depth, and in whose words, depends on who called
    except Exception as error:  # noqa: BLE001 (whatever it is, it is to be the same)
        seen = (type(error).__name__, str(error))
    return seen, [request.body for request in provider.requests[before:]]


def has_turns(sent):
    """Whether there is anything to remember besides system text."""
    messages = json.loads(sent)["messages"]
    if not isinstance(messages, list):
        return True
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages]
    return any(role not in ("system", "developer") for role in roles)


def fuzzed(seed, n, tmp_path):
    events = []
    rng = random.Random(seed)
    with (
        LocalProvider() as provider,
        convmem.Memory(
            tmp_path / "chat.db", embedder="none", deadline_ms=600_000, hooks=[events.append]
        ) as memory,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        receipts = []
        for i in range(n):
            door = rng.choice(["create", "create", "post"])
            state = rng.getstate()
            expected = outcome(bare, provider, door, body(rng))
            rng.setstate(state)
            with memory.scope(session=f"s{i}"):
                client = memory.wrap(bare, policy="full")
                told = len(events)
                got = outcome(client, provider, door, body(rng))
                receipt = memory.last_receipt()
            assert got == expected, (i, door)
            mine = receipt is not None and receipt.session == f"s{i}"
            if mine:
                receipts.append(receipt.call)
            elif got[1] and has_turns(got[1][0]):
                details = [getattr(event, "detail", "") for event in events[told:]]
                assert any("straight through" in detail for detail in details), (i, got)
        memory.flush(60)
        assert memory.stats().waiting == 0
        assert memory.stats().calls == len(receipts)
        lines = list(memory.export())
        assert len(lines) - 1 == memory.stats().turns
        return provider.requests, receipts


def test_fuzzed_bodies_do_what_they_do_without_memory(tmp_path):
    requests, receipts = fuzzed(7, 300, tmp_path)
    assert len(receipts) > 100
    assert len(requests) > 200


@pytest.mark.slow
def test_ten_thousand_fuzzed_bodies(tmp_path):
    fuzzed(1, 10_000, tmp_path)


@pytest.mark.parametrize("name", list(VALUES))
def test_an_odd_content_among_good_messages(name, memory, bare, provider):
    def made():
        return {
            "model": "m",
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "hi"},
                {"role": "user", "content": VALUES[name]()},
            ],
        }

    expected = outcome(bare, provider, "create", made())
    assert outcome(memory.wrap(bare, session="s", policy="full"), provider, "create", made()) == expected


@pytest.mark.slow
def test_ten_thousand_messages_and_one_of_a_megabyte(tmp_path):
    many = [{"role": ("user", "assistant")[n % 2], "content": f"{n}"} for n in range(9_999)]
    large = [{"role": "user", "content": "x" * 1_000_000}]
    with (
        LocalProvider(strict=False) as provider,  # OpenAI takes 2,048 messages
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(tmp_path / "chat.db", embedder="none", deadline_ms=600_000, policy="full") as memory,
    ):
        reply = memory.wrap(bare, session="many").chat.completions.create(model="m", messages=many)
        assert provider.requests[-1].messages == many
        assert memory.receipt_for(reply).journaled
        assert memory.stats().turns == 10_000
        reply = memory.wrap(bare, session="large").chat.completions.create(model="m", messages=large)
        assert memory.receipt_for(reply).journaled
        assert memory.turns(session="large")[0].payload == large[0]
