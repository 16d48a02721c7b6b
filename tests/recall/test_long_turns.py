"""Very long turns: their beginning and their end are analyzed, in steps that change nothing of the result."""

from __future__ import annotations

import random

import pytest

from convmem.recall import Partition, Query, analyze_turn, encode, search
from convmem.recall.analyze import digest, fold, folded
from convmem.recall.intent import states_preference
from convmem.recall.passages import LONGEST
from convmem.wire.message import slices

FILLING = "The harbour office opens at eight and the ferry leaves at half past nine. "
WIDE = "港务办公室八点开门，渡轮九点半开。"


def long_turn(begins="", middle="", ends="", filling=FILLING, size=600_000):
    half = filling * (size // 2 // len(filling))
    return f"{begins} {half}{middle} {half}{ends}"


def analyzed(text, n=1):
    return analyze_turn(text, id=f"t{n}", session="s", role="user", at=float(n))


@pytest.mark.parametrize("filling", [FILLING, WIDE])
def test_beginning_and_end_are_found_and_shown_where_they_stand(filling):
    text = long_turn("Zanzibar comes first.", "Madagascar hides.", "Lampedusa comes last.", filling)
    entry = analyzed(text)
    assert all(0 <= p.start < p.end <= len(text) and p.end - p.start <= LONGEST for p in entry.passages)
    assert [p.start for p in entry.passages] == sorted(p.start for p in entry.passages)
    shown = "".join(text[p.start : p.end] for p in entry.passages)
    assert "Zanzibar" in shown
    assert "Lampedusa" in shown
    assert "Madagascar" not in shown
    assert sum(p.end - p.start for p in entry.passages) <= 220_000


def test_work_does_not_grow_with_the_turn():
    small, large = (analyzed(long_turn(size=size)) for size in (600_000, 3_000_000))
    assert len(encode(large)) == pytest.approx(len(encode(small)), rel=0.01)


def test_a_turn_up_to_the_bound_is_analyzed_whole():
    text = long_turn("Zanzibar.", "Madagascar.", "Lampedusa.", size=190_000)
    assert "Madagascar" in "".join(text[p.start : p.end] for p in analyzed(text).passages)


def test_a_question_finds_the_long_turn_by_its_end():
    turns = [long_turn(ends="The code of the shed is 7719."), *(f"Note {n} about sails." for n in range(30))]
    partition = Partition.from_encoded([encode(analyzed(text, n)) for n, text in enumerate(turns)])
    assert search(partition, Query("What is the code of the shed?", small_talk=True)).hits[0].id == "t0"


@pytest.mark.parametrize("seed", range(20))
def test_folding_in_pieces_is_folding(seed):
    chance = random.Random(seed)
    signs = "abcÉé\u0301\u0327ﬁ①Ａ가\u1100\u1161\u11a8漢字繁體渡'\n., \ud800"
    text = "".join(chance.choices(signs, k=chance.choice((10, 16_384, 16_385, 70_000))))
    pieces = list(folded(text))
    assert "".join(pieces) == fold(text)
    assert digest(text) == digest("".join(pieces).upper()), "the same words"
    assert digest(text) != digest(text + "x")


@pytest.mark.parametrize("before", range(8_150, 8_250, 7))
@pytest.mark.parametrize(
    ("words", "states"),
    [
        ("i would definitely prefer", True),
        ("我比较喜欢", True),
        ("ski prefer", False),
        ("i preferable", False),
    ],
)
def test_a_preference_is_seen_where_two_pieces_meet(before, words, states):
    text = "x " * (before // 2) + "y" * (before % 2) + f" {words} " + "z " * 20_000
    assert states_preference(text) is states
    assert "".join(slices(text)) == text
