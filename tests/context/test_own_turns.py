"""What a call itself brings is never quoted to it as a memory, however quickly it is indexed."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import pytest

import convmem
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable

FACT = {"role": "user", "content": "My locker code at the pool is 7719, remember it."}
NOTED = {"role": "assistant", "content": "Noted: the locker code is 7719."}
FACT_ELSEWHERE = {"role": "user", "content": "The locker code of the gym is 4410."}
ASKED = {"role": "user", "content": "what is my locker code?"}
AGAIN = {"role": "user", "content": "which locker code was it, at the pool?"}
ROOMY = WindowPolicy("roomy", high=4_000, low=1_000, summary=100, recall=500)


class OvertakenStore(InMemoryStore):
    """A store whose views are all made after a call was journaled, before its request is composed."""

    def __init__(self) -> None:
        super().__init__()
        self.overtake: Callable[[], object] = lambda: None
        self.overtaken = 0

    def call_reads(self, request):
        self.overtaken += 1
        self.overtake()  # composing begins with this question
        return super().call_reads(request)


@pytest.fixture
def store():
    return OvertakenStore()


@pytest.fixture
def overtaken(store):
    with convmem.Memory(store, embedder=FakeEmbedder(), policy=ROOMY, tz=UTC, deadline_ms=60_000) as memory:
        store.overtake = memory.reindex
        yield memory


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([FACT, NOTED, ASKED], id="a whole history nobody knew"),
        pytest.param([FACT, NOTED, FACT, NOTED, ASKED], id="the same said twice"),
        pytest.param([FACT, NOTED, ASKED, NOTED, AGAIN], id="two questions"),
    ],
)
def test_a_history_that_is_indexed_before_it_is_sent_goes_out_as_it_is(
    overtaken, store, bare, provider, sent
):
    client = overtaken.wrap(bare, user="alice", session="s")
    client.chat.completions.create(model="gpt-4o", messages=sent)
    assert store.overtaken == 1
    assert overtaken.stats().turns == len(sent) + 1
    assert provider.requests[-1].messages == sent
    assert overtaken.last_receipt().recalled == ()


def test_what_others_said_is_quoted_beside_it(overtaken, store, bare, provider):
    overtaken.record([FACT_ELSEWHERE], user="alice", session="before")
    client = overtaken.wrap(bare, user="alice", session="s")
    client.chat.completions.create(model="gpt-4o", messages=[FACT, NOTED, ASKED])
    quoted = [recalled.text for recalled in overtaken.last_receipt().recalled]
    assert quoted == [FACT_ELSEWHERE["content"]]
    assert provider.requests[-1].messages[:2] == [FACT, NOTED]


def test_an_edited_branch_is_not_quoted_to_itself(overtaken, store, bare, provider):
    client = overtaken.wrap(bare, user="alice", session="s")
    client.chat.completions.create(model="gpt-4o", messages=[FACT, NOTED, ASKED])
    edited = [FACT, {"role": "assistant", "content": "I noted the locker code."}, AGAIN]
    client.chat.completions.create(model="gpt-4o", messages=edited)
    receipt = overtaken.last_receipt()
    visible = {turn.id for turn in overtaken.turns(user="alice", session="s")}
    assert {recalled.text for recalled in receipt.recalled} <= {ASKED["content"]}, "the words edited away"
    assert not visible & {recalled.id for recalled in receipt.recalled}
