"""A plug-in that answers with nonsense is named on the receipt, and the call goes out all the same."""

from __future__ import annotations

import openai
import pytest

import convmem
from convmem import Plan
from convmem.stores.memory import InMemoryStore


class Odd:
    """A policy that gives what it is told to."""

    name = "odd"

    def __init__(self, answer):
        self.answer = answer

    def plan(self, _):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Plan(99, 0, 0), "policy 'odd' gave start 99: not the index of one of 1 rounds"),
        (Plan(-1, 0, 0), "policy 'odd' gave start -1: not the index of one of 1 rounds"),
        (Plan(0, -1, 0), "policy 'odd' gave summary -1: tokens cannot be negative"),
        ((0, 0, 0), "policy 'odd' gave tuple, not a Plan"),
        (KeyError("x"), "policy 'odd' failed (KeyError: 'x')"),
    ],
)
def test_a_policy_that_is_wrong_is_named(provider, answer, note):
    with (
        convmem.Memory(InMemoryStore(), embedder=None, policy=Odd(answer), deadline_ms=10_000) as memory,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        asked = [{"role": "user", "content": "hi"}]
        client.chat.completions.create(model="gpt-4o", messages=asked)
        assert note in "".join(memory.last_receipt().notes)
        assert provider.requests[-1].messages == asked
