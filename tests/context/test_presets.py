"""Each policy that is shipped, through a wrapped call: what is sent below its mark and above it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import openai
import pytest

import convmem
from convmem.policy import PRESETS, WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder
from convmem.tokens.count import count_message, estimate
from convmem.wire.message import text_of

QUESTION = "Which number has my locker at the pool?"
ANSWER = "My locker at the pool has number 7719."
WITH_SUMMARY = ("lean", "balanced", "thorough")


def said(tokens):
    """A session of so many tokens at most, in rounds of some 500; its first round has the answer, too."""
    rounds = [[{"role": "user", "content": ANSWER}, {"role": "assistant", "content": "Noted."}]]
    while True:
        n = len(rounds)
        text = f"We paid invoice {n} of {n * 17} euros to the printer in Porto on day {n}. " * 10
        new = [{"role": "user", "content": text}, {"role": "assistant", "content": text.replace("We", "You")}]
        if counted(itertools.chain(*rounds, new)) > tokens:
            return [message for pair in rounds for message in pair]
        rounds.append(new)


def counted(messages):
    return sum(count_message(message, estimate) for message in messages)


@pytest.fixture
def ask(provider):
    """Ask in a session that has said so much; another session of the user has the answer."""
    ticks = itertools.count()
    with (
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(
            InMemoryStore(),
            embedder=FakeEmbedder(),
            tz=UTC,
            clock=lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=next(ticks)),
            deadline_ms=10_000,
        ) as memory,
    ):

        def ask(policy, before):
            memory.record([{"role": "user", "content": ANSWER}], user="alice", session="other")
            memory.record(before, user="alice", session="now")
            memory.flush()
            client = memory.wrap(bare, user="alice", session="now", policy=policy)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
            return provider.requests[-1].messages, memory.last_receipt()

        yield ask


@pytest.mark.parametrize("name", WITH_SUMMARY)
def test_below_the_mark_all_is_sent_and_above_it_the_low_mark_summary_and_recall(ask, name):
    policy = PRESETS[name]
    below = said(policy.high - 100)
    sent, receipt = ask(name, below)
    assert not receipt.cut
    assert sent[:-1] == below
    assert {quoted.session for quoted in receipt.recalled} == {"other"}
    sent, receipt = ask(name, said(policy.high + 2_000))
    tokens = receipt.tokens
    assert receipt.cut
    assert policy.low - 600 < tokens.window + tokens.new <= policy.low
    assert 0 < tokens.summary <= policy.summary
    assert 0 < tokens.recall <= policy.recall
    assert text_of(sent[0]).startswith("<summary>")
    assert text_of(sent[-1]).startswith("<memory>")
    assert ANSWER in text_of(sent[-1])


def test_window_adds_nothing_and_cuts(ask):
    sent, receipt = ask("window", said(18_000))
    assert receipt.cut
    assert receipt.recalled == ()
    assert 5_400 < counted(sent) <= 6_000
    assert not any("<" in text_of(message) for message in sent)


def test_full_sends_all_and_recalls_from_other_sessions_only(ask):
    before = said(40_000)
    sent, receipt = ask("full", before)
    assert not receipt.cut
    assert sent[:-1] == before
    assert [(quoted.session, quoted.text) for quoted in receipt.recalled] == [("other", ANSWER)]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_each_as_toml_is_the_same_value(name):
    assert WindowPolicy.from_toml(PRESETS[name].to_toml()) == PRESETS[name]


def test_a_copy_that_was_changed_in_a_file_is_what_counts(ask, tmp_path):
    file = tmp_path / "ours.toml"
    file.write_text(PRESETS["lean"].to_toml().replace("high = 4000", "high = 3000"), encoding="utf-8")
    _, receipt = ask(file, said(3_500))
    assert receipt.cut
    assert receipt.tokens.window + receipt.tokens.new <= 1_500
