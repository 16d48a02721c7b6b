"""Rounds: where messages are split, and what may be sent again; letters are messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.context.rounds import legal, rounds

MESSAGES = {
    "u": {"role": "user", "content": "?"},
    "a": {"role": "assistant", "content": "!"},
    "s": {"role": "system", "content": "briefly"},
    "c": {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    "d": {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]},
    "1": {"role": "tool", "tool_call_id": "1", "content": "one"},
    "2": {"role": "tool", "tool_call_id": "2", "content": "two"},
    "0": {"role": "tool", "content": "of no call"},
}
LETTERS = {id(message): letter for letter, message in MESSAGES.items()}


def messages(letters):
    return [MESSAGES[letter] for letter in letters]


def letters(said):
    return "".join(LETTERS[id(message)] for message in said)


@pytest.mark.parametrize(
    ("given", "split"),
    [
        ("", []),
        ("u", ["u"]),
        ("ua", ["ua"]),
        ("uaua", ["ua", "ua"]),
        ("auua", ["a", "u", "ua"]),
        ("uc1aua", ["uc1a", "ua"]),
        ("ud12uau", ["ud12", "ua", "u"]),
        ("suasu", ["s", "uas", "u"]),
    ],
)
def test_a_round_begins_with_a_user_message(given, split):
    assert [letters(each) for each in rounds(messages(given))] == split


@given(st.text("uasc12", max_size=12))
def test_rounds_are_the_messages(given):
    split = rounds(messages(given))
    assert "".join(letters(each) for each in split) == given
    assert all(each for each in split)
    assert all("u" not in letters(each)[1:] for each in split)


@pytest.mark.parametrize(
    ("given", "is_legal"),
    [
        ("", True),
        ("ua", True),
        ("uc1a", True),
        ("uc1", True),
        ("ud12a", True),
        ("ud21a", True),
        ("uc1c1a", True),
        ("uc", False),
        ("uca", False),
        ("ud1a", False),
        ("u1", False),
        ("uc2", False),
        ("uc11", False),
        ("uc1a1", False),
        ("ucu", False),
        ("u0", False),
        ("uc0", False),
    ],
)
def test_calls_are_answered_right_behind_them_and_nothing_else_is(given, is_legal):
    assert legal(messages(given)) == is_legal
