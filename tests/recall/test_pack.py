from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recall.memories import Memory, embed, two_friends, user_and_assistant

from convmem.recall import Packed, Query, pack, search

FRIENDS, ASSISTANT = two_friends(), user_and_assistant()


def found(memory: Memory, question: str):
    return search(memory.partition(), Query(question, embed(question), small_talk=True))


def words_of(text: str) -> int:
    return len(text.split()) + text.count("\n")


def squared(text: str) -> int:
    """A counter whose whole is more than its parts."""
    return len(text) ** 2 // 50


@settings(deadline=None)
@given(
    memory=st.sampled_from([FRIENDS, ASSISTANT]),
    question=st.sampled_from(
        ["Where did the van break down?", "花生", "Which opening suits a patient player?", "error E1187"]
    ),
    budget=st.integers(-5, 900),
    fence=st.integers(0, 60),
    count=st.sampled_from([len, words_of, squared, lambda _: 7, lambda text: len(text.encode())]),
)
def test_the_budget_is_never_exceeded(memory, question, budget, fence, count):
    packed = pack(found(memory, question), memory.read, budget, count, fence=fence)
    assert packed.tokens <= max(budget, 0)
    if packed.excerpts:
        assert packed.tokens == count(packed.text) + fence
    else:
        assert packed == Packed((), "", 0)


def test_lines_stand_in_time_order_under_one_header_a_session():
    packed = pack(found(FRIENDS, "What happened to the van near Porto?"), FRIENDS.read, 10_000, len)
    dates = [line for line in packed.text.splitlines() if line.startswith("[")]
    assert dates == sorted(set(dates))
    assert "[2024-05-22]\nJorge: The van broke down near Porto.\n" in packed.text
    assert [e.date for e in packed.excerpts] == sorted(e.date for e in packed.excerpts)


def test_dates_are_those_of_the_zone():
    west = timezone(timedelta(hours=-7))
    packed = pack(found(FRIENDS, "van Porto"), FRIENDS.read, 10_000, len, tz=west)
    assert "[2024-05-21]\nJorge: The van broke down" in packed.text


def test_short_turns_are_verbatim_and_long_ones_trimmed_to_what_matters():
    memory = Memory()
    filler = "The weather was pleasant and nothing much happened along the way. " * 12
    long = memory.say(filler + "\nThe locker code of the gym is 7741.\n" + filler, role="assistant")
    short = memory.say("  The gym opens\n  at six.  ")
    for number in range(20):
        memory.say(f"Unrelated remark number {number} about gardening")
    packed = pack(found(memory, "What is the locker code of the gym?"), memory.read, 2_000, len)
    excerpts = {e.id: e for e in packed.excerpts}
    assert "7741" in excerpts[long].text
    assert len(excerpts[long].text) <= 610
    assert excerpts[long].trimmed
    assert all(memory.texts[long][a:b] in excerpts[long].text for a, b in excerpts[long].spans)
    assert excerpts[short].text == memory.texts[short]
    assert not excerpts[short].trimmed


def test_the_best_long_turns_stand_in_full_where_there_is_room():
    memory = Memory()
    for number in range(30):
        memory.say(
            f"Report {number} says that the harbour crane number {number} is fine. " * 14, role="assistant"
        )
        memory.say("And the next one?")
    ranking = found(memory, "What does report 17 say about crane 17?")
    for budget, in_full in ((1_000, 0), (3_000, 3), (10_000, 12)):
        packed = pack(ranking, memory.read, budget, len)
        whole = [e for e in packed.excerpts if not e.trimmed and len(e.text) > 640]
        assert len(whole) == in_full
        assert all(memory.texts[e.id] == e.text for e in whole)


def test_rules_come_first_within_their_share():
    packed = pack(found(ASSISTANT, "How should I bake the bread?"), ASSISTANT.read, 1_500, len)
    rules = [e for e in packed.excerpts if e.rule]
    assert packed.excerpts[: len(rules)] == tuple(rules)
    assert {e.text for e in rules} == {
        "From now on always answer with metric units.",
        "以后都用中文回答关于烹饪的问题。",
    }
    small = pack(found(ASSISTANT, "How should I bake the bread?"), ASSISTANT.read, 400, len)
    assert sum(len(e.text) for e in small.excerpts if e.rule) <= 48


def test_a_rule_that_is_all_of_its_turn_is_not_quoted_twice():
    packed = pack(found(ASSISTANT, "How should I bake the bread?"), ASSISTANT.read, 20_000, len)
    rules = {e.id for e in packed.excerpts if e.rule and e.text == ASSISTANT.texts[e.id]}
    assert rules
    assert not rules & {e.id for e in packed.excerpts if not e.rule}


def test_what_was_said_first_stands_first_whenever_it_was_recorded():
    memory = Memory()
    memory.say("The heron stood at the far pond.", day=9, session="recorded first")
    memory.say("The heron stood at the near pond.", day=2, session="recorded later")
    packed = pack(found(memory, "Where did the heron stand?"), memory.read, 600, len)
    assert [e.session for e in packed.excerpts] == ["recorded later", "recorded first"]


def test_texts_are_read_in_batches_and_gone_turns_left_out():
    memory = Memory()
    for number in range(400):
        memory.say(f"Note {number}: the heron stood at pond number {number}.")
    reads: list[int] = []

    def read(ids):
        reads.append(len(ids))
        return {id_: memory.texts[id_] for id_ in ids if id_ != "t7"}

    packed = pack(found(memory, "Where did the heron stand, pond 7?"), read, 600, len)
    assert "t7" not in {e.id for e in packed.excerpts}
    assert sum(reads) <= 128
    assert len(packed.excerpts) > 5


@pytest.mark.parametrize("budget", [0, -1, 5])
def test_nothing_fits_nothing_is_said(budget):
    assert pack(found(FRIENDS, "van Porto"), FRIENDS.read, budget, len) == Packed((), "", 0)
