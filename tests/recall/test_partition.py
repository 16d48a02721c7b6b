from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recall.memories import Memory, embed, two_friends, user_and_assistant

from convmem.recall import Partition, Query, Ranking, Settings, fuse, search

QUESTIONS = (
    "Where did the van break down?",
    "Jorge的猫叫什么名字？",
    "what did Hana eat in May",
    "the best part of the dark months",
)
SENTENCES = st.sampled_from(
    [
        "The boiler was replaced on Monday.",
        "我周三去游泳。",
        "ok",
        "",
        "Never call me before nine.",
        "Who ate the plums?",
        "plums and more plums",
        "去年的账单是 300 块",
        "boiler boiler boiler",
        "A long tale of boilers. " * 40,
    ]
)
TURNS = st.lists(
    st.tuples(SENTENCES, st.integers(0, 3), st.sampled_from(["Ines", "Tom", ""]), st.booleans()),
    min_size=1,
    max_size=40,
)


def told(turns: list[tuple[str, int, str, bool]]) -> tuple[Memory, np.ndarray]:
    memory = Memory()
    for place, (text, session, speaker, _) in enumerate(turns):
        memory.say(
            text,
            session=f"s{session}",
            speaker=speaker,
            role="assistant" if speaker == "Tom" else "user",
            day=place,
        )
    vectors = memory.vectors()
    vectors[[not embedded for *_, embedded in turns]] = np.nan
    return memory, vectors


def asked(
    partition: Partition, question: str = "When was the boiler replaced, and who ate plums? 账单"
) -> Ranking:
    return search(partition, Query(question, embed(question), small_talk=True))


@settings(deadline=None)
@given(turns=TURNS, cuts=st.sets(st.integers(1, 39)))
def test_growing_is_the_same_as_building_at_once(turns, cuts):
    memory, vectors = told(turns)
    bounds = [0, *sorted(c for c in cuts if c < len(turns)), len(turns)]
    grown = Partition.from_entries([])
    for begin, end in pairwise(bounds):
        grown = grown.append(memory.entries[begin:end], vectors[begin:end])
    assert asked(grown) == asked(Partition.from_entries(memory.entries, vectors))


@settings(deadline=None)
@given(turns=TURNS, gone=st.sets(st.integers(0, 39)))
def test_removed_is_the_same_as_never_there(turns, gone):
    memory, vectors = told(turns)
    stay = [place for place in range(len(turns)) if place not in gone]
    left = Partition.from_entries(memory.entries, vectors).remove([f"t{place}" for place in gone])
    never = Partition.from_entries([memory.entries[place] for place in stay], vectors[stay])
    assert asked(left) == asked(never)
    assert left.sessions == never.sessions
    assert left.postings.terms.tolist() == never.postings.terms.tolist()
    assert np.array_equal(left.vectors.matrix, never.vectors.matrix)


@settings(deadline=None)
@given(turns=TURNS)
def test_vectors_that_come_later_are_as_good(turns):
    memory, vectors = told(turns)
    bare = Partition.from_entries(memory.entries)
    order = list(range(len(turns)))[::-1]
    later = bare.with_vectors([f"t{place}" for place in order], vectors[order]).with_vectors(
        ["gone"], vectors[:1]
    )
    assert asked(later) == asked(Partition.from_entries(memory.entries, vectors))
    assert asked(bare) == asked(Partition.from_entries(memory.entries))


def test_a_partition_is_not_changed_by_what_grows_from_it():
    memory = two_friends()
    vectors = memory.vectors()
    base = Partition.from_entries(memory.entries[:12]).append(memory.entries[12:16], vectors[12:16])
    before = asked(base)
    one = base.append(memory.entries[16:20], vectors[16:20])
    other = base.append(memory.entries[20:], vectors[20:])
    filled = base.with_vectors(["t3"], vectors[3:4])
    assert asked(base) == before
    assert np.array_equal(
        one.vectors.matrix[16:], Partition.from_entries(memory.entries[16:20], vectors[16:20]).vectors.matrix
    )
    assert np.array_equal(
        other.vectors.matrix[16:], Partition.from_entries(memory.entries[20:], vectors[20:]).vectors.matrix
    )
    assert filled.vectors.present[3]
    assert not base.vectors.present[3]


def test_other_users_move_nothing():
    alone = [search(two_friends().partition(), Query(q, embed(q))) for q in QUESTIONS]
    memories = [two_friends().partition(), user_and_assistant().partition(), two_friends().partition()]
    memories[1].append([])
    assert [search(memories[0], Query(q, embed(q))) for q in QUESTIONS] == alone
    assert [search(memories[2].remove([]), Query(q, embed(q))) for q in QUESTIONS] == alone


def test_a_turn_is_there_once():
    memory = two_friends()
    with pytest.raises(ValueError, match="twice"):
        memory.partition().append(memory.entries[:1])
    with pytest.raises(ValueError, match="twice"):
        Partition.from_entries([*memory.entries, memory.entries[0]])


def test_models_are_not_mixed():
    memory = two_friends()
    with pytest.raises(ValueError, match="one model at a time"):
        Partition.from_entries(memory.entries[:4], embed("a", "b", "c", "d")).append(
            memory.entries[4:5], np.ones((1, 8))
        )
    with pytest.raises(ValueError, match="shape"):
        Partition.from_entries(memory.entries[:4], np.ones((3, 8)))


def test_kind_is_found_from_the_turns():
    assert two_friends().partition().kind == "people"
    assert user_and_assistant().partition().kind == "assistant"
    notes = Memory()
    for text in ("the spare key hangs behind the clock", "牛奶在周五过期", "bin day is Tuesday"):
        notes.say(text)
    assert notes.partition().kind == "notes"
    assert Partition.from_entries([]).kind == "assistant"


def test_unordered_facts_are_not_smoothed_and_answers_are():
    facts, chat = Memory(), Memory()
    for number in range(40):
        facts.say(f"Fact {number}: box {number * 7} holds item {number * 13}.", session="s")
        topic = f"kettle{number} harbour{number} violin{number}"
        chat.say(f"Tell me of {topic}", session="s")
        chat.say(f"Here is all of {topic}", session="s", role="assistant")
    assert fuse.links(facts.partition(vectors=False), Settings()).tolist() == [0.0] * 40
    assert fuse.links(chat.partition(), Settings())[1::2].min() == 1.0
    assert fuse.links(chat.partition(), Settings())[0] == 0.0
