"""Requests and replies as values."""

from __future__ import annotations

import pytest

from convmem.wire.narrow import is_array, is_object
from convmem.wire.pieces import Pieces
from convmem.wire.values import Held, Reply, split


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (Reply(), "answered"),
        (Reply(({"role": "assistant"},)), "answered"),
        (Reply(({"role": "assistant"},), complete=False), "partial"),
        (Reply(complete=False), "failed"),
        (Reply(waiting=True), "pending"),
        (Reply(({"role": "assistant"},), complete=False, waiting=True), "pending"),
    ],
)
def test_what_becomes_of_the_turns_that_waited_for_a_reply(reply, state):
    assert reply.state == state


def test_a_held_conversation_says_which():
    assert str(Held(response="resp_1")) == "the response resp_1"
    assert str(Held(conversation="conv_1")) == "the conversation conv_1"


@pytest.mark.parametrize(
    ("roles", "settings"),
    [("", 0), ("u", 0), ("s", 1), ("sdsu", 3), ("us", 0), ("sus", 1), ("dd", 2)],
)
def test_settings_are_the_leading_system_and_developer_messages(roles, settings):
    named = {"s": "system", "d": "developer", "u": "user"}
    messages = [{"role": named[role]} for role in roles]
    assert split(messages) == (tuple(messages[:settings]), tuple(messages[settings:]))


@pytest.mark.parametrize(
    ("value", "an_object", "an_array"),
    [({}, True, False), ([], False, True), ((), False, False), ("", False, False), (None, False, False)],
)
def test_json_is_narrowed(value, an_object, an_array):
    assert (is_object(value), is_array(value)) == (an_object, an_array)


@pytest.mark.parametrize("pieces", [0, 1, 1_023, 1_024, 1_025, 5_000])
def test_pieces_are_the_text_however_many(pieces):
    text = Pieces("begin ")
    for n in range(pieces):
        text.append(f"{n} ")
    expected = "begin " + "".join(f"{n} " for n in range(pieces))
    assert (str(text), str(text)) == (expected, expected)
