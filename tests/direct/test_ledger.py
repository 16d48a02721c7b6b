"""What calls cost together, read back from the journal."""

from __future__ import annotations

import asyncio

import openai
import pytest

import convmem
from convmem.stores.memory import InMemoryStore
from convmem.testing import Fault, LocalProvider, Reply

PRICES = """
[[price]]
host = "127.0.0.1"
model = "mine"
input = 3
cached = 0.3
output = 9

[[price]]
host = "127.0.0.1"
model = "cheap"
input = 1
cached = 1
output = 1
"""


def usage(prompt, cached, output):
    details = {"cached_tokens": cached}
    return {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": details}


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


@pytest.fixture
def store(request, tmp_path):
    return tmp_path / "a.db" if request.param == "file" else InMemoryStore()


@pytest.mark.parametrize("store", ["file", "object"], indirect=True)
def test_a_ledger_by_hand(store, prices):
    with (
        convmem.Memory(store, embedder="none", deadline_ms=5_000, prices=prices) as memory,
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):

        def ask(model, user, session, outcome):
            provider.script(outcome)
            client = memory.wrap(bare, user=user, session=session)
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
            return memory.last_receipt().cost

        spent = ask("mine", "alice", "s", Reply("a", usage=usage(1_000, 400, 100)))
        spent += ask("mine", "alice", "t", Reply("a", usage=usage(2_000, 0, 100)))
        ask("cheap", "alice", "s", Reply("a", usage=usage(500, 100, 100)))
        ask("another", "alice", "s", Reply("a", usage=usage(10, 0, 10)))
        ask("mine", "bob", "s", Reply("a", usage=usage(7, 0, 7)))
        ask("mine", None, "s", Reply("a", usage=usage(7, 0, 7)))
        with pytest.raises(openai.APIStatusError):
            ask("mine", "alice", "s", Fault.status(402))
        memory.flush()
        alice = memory.ledger(user="alice")
        counts = (alice.calls, alice.uncounted, alice.unpriced)
        assert counts == (5, 1, 1)
        assert (alice.prompt_tokens, alice.cached_tokens, alice.output_tokens) == (3_510, 500, 310)
        assert list(alice.by_model) == ["cheap", "mine"]
        # 2,600 at 3, 400 at .3 and 200 at 9 dollars a million; 600 at 1.
        assert alice.by_model["mine"].total == pytest.approx(spent.total) == pytest.approx(0.00972)
        assert alice.cost.total == pytest.approx(0.01032)
        assert "without a price: 1 calls" in str(alice)
        assert "cost $0.010320" in str(alice)
        assert [memory.ledger(user="alice", session=name).calls for name in "st?"] == [4, 1, 0]
        assert [memory.ledger(**who).calls for who in ({}, {"user": "bob"}, {"user": None})] == [7, 1, 1]
        assert asyncio.run(convmem.AsyncMemory.of(memory).ledger(user="alice")) == alice
        with pytest.raises(convmem.InputError, match="give user="):
            memory.ledger(session="s")
        memory.forget(user="bob")
        assert memory.ledger(user="bob") == memory.ledger(user="nobody")
        assert memory.ledger(user="bob").cost == convmem.Cost()


@pytest.mark.parametrize("store", ["file", "object"], indirect=True)
def test_what_was_recorded_was_no_call(store):
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "My car is blue."}]
    with convmem.Memory(store, embedder="none") as memory:
        memory.record(said, user="alice", session="s")
        assert (memory.stats().calls, memory.ledger().calls, memory.ledger().uncounted) == (0, 0, 0)
        assert "cost unknown" in str(memory.ledger())


def test_a_store_that_tells_no_calls_says_so():
    class Mute:
        """All of a store but its calls."""

        def __init__(self):
            self._store = InMemoryStore()

        def __getattr__(self, name):
            if name == "calls":
                raise AttributeError(name)
            return getattr(self._store, name)

    with (
        convmem.Memory(Mute(), embedder="none") as memory,
        pytest.raises(convmem.StoreError, match="its calls"),
    ):
        memory.ledger()


def test_more_calls_than_a_page(tmp_path, prices):
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=5_000, prices=prices) as memory,
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        client.chat.completions.create(model="mine", messages=[{"role": "user", "content": "hi"}])
        memory.flush()
        store = memory._store
        told = store.calls
        store.calls = lambda request: told(
            convmem.abilities.CallsRequest(ref=request.ref, after=request.after, limit=1)
        )
        for n in range(3):
            client.chat.completions.create(model="mine", messages=[{"role": "user", "content": f"{n}"}])
        memory.flush()
        assert memory.ledger(user="alice").calls == 4
