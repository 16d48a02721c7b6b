"""Nothing crosses users: what one gets is the same to the bit, whether or not another one is there."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

import convmem
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder

WORDS = [
    "locker",
    "code",
    "7719",
    "budget",
    "ferry",
    "Porto",
    "预算",
    "三万二",
    "会员号",
    "书店",
    "always",
    "French",
]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
ROUNDS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)
QUESTIONS = ["what is the locker code?", "预算是多少？", "which ferry to Porto?"]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TIGHT = WindowPolicy("tight", high=400, low=100, summary=50, recall=60)
AMPLE = WindowPolicy("ample", high=400, low=100, summary=50, recall=10_000)


def open_memory(policy):
    return convmem.Memory(
        InMemoryStore(), embedder=FakeEmbedder(), policy=policy, tz=UTC, clock=lambda: NOW, deadline_ms=60_000
    )


def record(memory, user, n, said):
    asked, answered = said
    memory.record(
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}],
        user=user,
        session=f"s{n % 2}",
        append=True,
    )


def seen_by(memory, user):
    """Hits with their scores and reasons, and what would be sent."""
    memory.flush()
    hits = [
        (hit.turn.id, hit.turn.text, hit.score.hex(), hit.why)
        for question in QUESTIONS
        for hit in memory.recall(question, user=user, top_k=6)
    ]
    sent = [
        memory.prepare([{"role": "user", "content": question}], user=user, session="now").messages
        for question in QUESTIONS
    ]
    return hits, sent


@settings(max_examples=12, deadline=None)
@given(ours=ROUNDS, others=ROUNDS)
def test_another_user_changes_no_bit(ours, others):
    with open_memory(TIGHT) as memory:
        for n, said in enumerate(ours):
            record(memory, "alice", n, said)
        alone = seen_by(memory, "alice")
        for n, said in enumerate([*others, *ours]):
            record(memory, "bob", n, said)
        memory.pin("Bob is allergic to peanuts.", user="bob")
        assert seen_by(memory, "alice") == alone
        memory.forget(user="bob")
        assert seen_by(memory, "alice") == alone


def renumbered(value):
    """The same with turn ids numbered anew: the journal counts the turns of all users."""
    numbers = {}
    return re.sub(r"\bt\d+\b", lambda m: f"t{numbers.setdefault(m[0], len(numbers))}", repr(value))


@settings(max_examples=8, deadline=None)
@given(ours=ROUNDS, others=ROUNDS)
def test_users_who_talk_at_the_same_time_change_nothing_but_numbers(ours, others):
    with open_memory(AMPLE) as alone, open_memory(AMPLE) as both:
        for n in range(max(len(ours), len(others))):
            if n < len(others):
                record(both, "bob", n, others[n])
            if n < len(ours):
                for memory in (alone, both):
                    record(memory, "alice", n, ours[n])
        assert renumbered(seen_by(both, "alice")) == renumbered(seen_by(alone, "alice"))
        both.forget(user="bob")
        assert renumbered(seen_by(both, "alice")) == renumbered(seen_by(alone, "alice"))
