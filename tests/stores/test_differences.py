"""A text and its difference from another say the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.stores.differences import difference, put_together

texts = st.text(alphabet="ab梨\n ", max_size=200)


def size(pieces):
    return sum(len(piece) if isinstance(piece, str) else 8 for piece in pieces)


@given(texts, texts)
def test_any_text_comes_back(base, text):
    assert put_together(base, difference(base, text)) == text


@given(
    st.lists(st.text(alphabet="abcdef梨箱", min_size=30, max_size=60), min_size=1, max_size=8), st.randoms()
)
def test_stretches_in_another_order_come_back(stretches, chance):
    base = "".join(stretches)
    shuffled = list(stretches)
    chance.shuffle(shuffled)
    text = "-".join(shuffled)
    assert put_together(base, difference(base, text)) == text


@pytest.mark.parametrize("places", [[0], [3_000], [5_999], [0, 5_999], [10, 700, 2_100, 5_000]])
def test_small_changes_make_small_differences(places):
    chance = random.Random(3)
    base = "".join(chance.choice("the pears 梨 are ripe\n") for _ in range(6_000))
    text = base
    for place in places:
        text = text[:place] + "10:07:31" + text[place + 8 :]
    pieces = difference(base, text)
    assert put_together(base, pieces) == text
    assert size(pieces) < 40 * (len(places) + 1)


def test_what_is_the_same_what_is_empty_and_what_is_long():
    assert difference("abc", "abc") == [(0, 3)]
    assert difference("abc", "") == []
    assert difference("", "abc") == ["abc"]
    base, text = "x" + "a" * 300_000 + "y", "z" + "b" * 300_000 + "w"
    assert put_together(base, difference(base, text)) == text
    assert difference(base, f"{base}!") == [(0, len(base)), "!"]
