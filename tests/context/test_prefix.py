"""How much of a request a provider has in its cache already: tokens with which both requests begin."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.context.prefix import Sent, _common


def said(*texts, tools="", tools_tokens=0):
    """A request that counts a token for each character."""
    messages = tuple({"role": "user", "content": text} for text in texts)
    return Sent(tools, messages, tuple(map(len, texts)), tools_tokens)


@pytest.mark.parametrize(
    ("now", "before", "shared"),
    [
        (said(), said(), 0),
        (said("abc"), said(), 0),
        (said("abc"), said("abc"), 3),
        (said("abc", "de"), said("abc"), 3),
        (said("abc"), said("abc", "de"), 3),
        (said("abc", "def"), said("abc", "dxy"), 4),
        (said("abc", "def"), said("xbc", "def"), 0),
        (said("abcdef"), said("abc"), 3),
        (said("abc", tools="t", tools_tokens=5), said("abc", tools="t", tools_tokens=5), 8),
        (said("abc", tools="t", tools_tokens=5), said("abc"), 0),
    ],
)
def test_what_both_begin_with(now, before, shared):
    assert now.shared(before, len) == shared


@pytest.mark.parametrize(
    "other",
    [
        {"role": "assistant", "content": "abc"},  # another speaker: nothing of the message is shared
        {"content": "abc", "role": "user"},  # the order of fields is that of the bytes
        {"role": "user", "content": "abc", "name": "ana"},
        {"role": "user", "content": [{"type": "text", "text": "abc"}]},
    ],
)
def test_a_message_that_is_written_otherwise_is_another(other):
    now, before = said("abc", "def"), Sent("", (other, *said("def").messages), (3, 3))
    assert now.shared(before, len) == (0 if other["role"] == "assistant" else 3)


def test_numbers_that_are_equal_are_not_written_alike():
    def one(value):
        return Sent("", ({"role": "user", "content": "", "n": [value]},), (7,))

    assert one(1).shared(one(1), len) == 7
    for value in (True, 1.0):
        assert one(1).shared(one(value), len) == 0


def test_a_request_counts_its_tools():
    assert said("abc", "de", tools="t", tools_tokens=5).total == 10


TEXTS = st.lists(st.text("ab", max_size=4), max_size=4)


@given(TEXTS, TEXTS)
def test_no_more_is_shared_than_either_has(one, other):
    now, before = said(*one), said(*other)
    shared = now.shared(before, len)
    assert 0 <= shared <= min(now.total, max(now.total, before.total))
    assert said(*one).shared(copy.deepcopy(now), len) == now.total
    assert said(*one, "more").shared(now, len) == now.total


@given(st.text("ab", max_size=20), st.text("ab", max_size=20), st.integers(0, 3), st.integers(-2, 2))
def test_how_many_characters_both_begin_with(one, other, steps, more):
    before = "x" * max(0, steps * (1 << 16) + more)  # around the places where pieces are compared
    expected = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    assert _common(before + one, before + other) == len(before) + expected
