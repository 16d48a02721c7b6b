"""One chat message: as plain JSON, as text, and as what it means."""

from __future__ import annotations

import enum
import json
import re
from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.errors import InputError
from convmem.wire.message import (
    calls_of,
    dumps,
    encodable,
    is_foreign,
    meaning_of,
    part_text,
    plain,
    plainer,
    text_of,
    weight_of,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


class Kind(str, enum.Enum):  # noqa: UP042 (a string by inheritance is what is tried)
    USER = "user"


class Model:
    """An SDK's object."""

    def __init__(self, said):
        self._said = said

    def model_dump(self, **options):
        assert options == {"mode": "json", "exclude_unset": True, "warnings": False}
        return self._said


class Unreadable(dict):
    def items(self):
        raise RuntimeError("gone")


# As plain JSON.


@given(JSON)
def test_json_stays_what_it_is(value):
    assert json.dumps(plain(value)) == json.dumps(value)
    assert json.loads(dumps(value)) == value
    dumps(value).encode()


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ((1, (2,)), [1, [2]]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": "b"}), {"a": "b"}),
        ({"a": Model({"b": (1,)})}, {"a": {"b": [1]}}),
        (Model([Model("x")]), ["x"]),
        (Kind.USER, "user"),
        ({Kind.USER: Kind.USER}, {"user": "user"}),
        (np.float64(0.5), 0.5),
        (enum.IntEnum("N", "ONE").ONE, 1),
        (range(3), [0, 1, 2]),
        (np.array([1, 2]).tolist(), [1, 2]),
        (-0.0, -0.0),
    ],
)
def test_other_values_are_copied_as_json_of_plain_types(value, copy):
    made = plain(value)
    assert (made, type(made)) == (copy, type(copy))
    assert json.dumps(made) == json.dumps(copy)
    if isinstance(made, dict):
        assert {type(key) for key in made} == {str}


def test_a_copy_shares_nothing_with_what_was_given():
    given = {"content": [{"type": "text", "text": "a"}], "empty": {}}
    made = plain(given)
    made["content"][0]["text"] = "b"
    made["empty"]["new"] = 1
    assert given == {"content": [{"type": "text", "text": "a"}], "empty": {}}


def holding_itself():
    value: list = []
    value.append({"in": value})
    return value


def nested(depth):
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "m: nan is not JSON; send a finite number, or None"),
        ({"a": [0, float("-inf")]}, "m.a[1]: -inf is not JSON; send a finite number, or None"),
        ({1: "a"}, "m: the key 1 is not a string; JSON objects have string keys"),
        ({"a": b"x"}, "m.a: bytes is not JSON; send text, numbers, lists or mappings"),
        ({"a": {1, 2}}, "m.a: set is not JSON; send text, numbers, lists or mappings"),
        ([object()], "m[0]: object is not JSON; send text, numbers, lists or mappings"),
        (iter("ab"), "m: str_ascii_iterator can be read only once; send a list"),
        ([10**5_000], "m[0]: a whole number of more than 4,000 digits; send it as text"),
        (Unreadable(a=1), "m: Unreadable cannot be read (gone); send plain JSON"),
        (nested(101), "m" + "[0]" * 66 + "[: nested more than 100 deep; send something flatter"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(value, said):
    with pytest.raises(InputError) as refused:
        plain(value, where="m")
    assert str(refused.value) == said


def test_what_holds_itself_is_refused():
    with pytest.raises(InputError, match=re.escape("m[0].in: it holds itself; JSON cannot say that")):
        plain(holding_itself(), where="m")
    shared: list = []
    assert plain([shared, shared]) == [[], []], "what stands twice beside itself does not hold itself"
    assert plain(nested(100)) == nested(100)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "渡轮"]}, '{"a":[1,null,"渡轮"]}'),
        ("\ud83d", '"\\ud83d"'),
        (["渡轮", "\ud83d"], '["\\u6e21\\u8f6e","\\ud83d"]'),
        ((1, 2), "[1,2]"),
    ],
)
def test_json_that_a_store_can_hold(value, text):
    assert dumps(value) == text


@pytest.mark.parametrize(
    ("text", "can"), [("", True), ("ana", True), ("渡轮😀", True), ("\ud83d", False), ("a\udfffb", False)]
)
def test_names_that_can_be_stored(text, can):
    assert encodable(text) == can


@pytest.mark.parametrize(
    ("value", "characters"),
    [
        ("abc", 3),
        (7, 0),
        (None, 0),
        (["ab", {"long key": "c"}], 3),
        ({"a": {"b": ["cd"]}}, 2),
        ((1, "ab"), 0),
    ],
)
def test_the_weight_of_a_value_is_its_strings(value, characters):
    assert weight_of(value) == characters


# As text.


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("plain", "plain"),
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "input_text", "text": "a"}, "a"),
        ({"type": "refusal", "refusal": "I won't."}, "I won't."),
        ({"type": "image_url", "image_url": {"url": "u"}}, "[image]"),
        ({"type": "input_image", "image_url": "u"}, "[image]"),
        ({"type": "input_audio", "input_audio": {}}, "[audio]"),
        ({"type": "video_url"}, "[video]"),
        ({"type": "file", "file": {}}, "[file]"),
        ({"type": "unheard-of"}, ""),
        ({"type": ["image_url"]}, ""),
        ({"text": None}, ""),
        (None, ""),
        (7, ""),
    ],
)
def test_what_is_read_of_a_part(part, text):
    assert part_text(part) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, ""),
        ({"content": None}, ""),
        ({"content": "a"}, "a"),
        ({"content": ["a", {"type": "image_url"}, {"type": "odd"}, {"text": "b"}]}, "a\n[image]\nb"),
        ({"content": None, "refusal": "I won't."}, "I won't."),
        ({"content": "a", "refusal": "I won't."}, "a"),
        ({"content": None, "refusal": 7}, ""),
        ({"content": None, "audio": {"transcript": "Good morning."}}, "Good morning."),
        ({"content": None, "audio": {"id": "a"}}, ""),
        ({"content": None, "tool_calls": [{"id": "c"}]}, ""),
        ({"content": {"text": "a"}}, ""),
    ],
)
def test_what_is_read_of_a_message(message, text):
    assert text_of(message) == text


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        ({}, ()),
        ({"tool_calls": None}, ()),
        ({"tool_calls": "c1"}, ()),
        ({"tool_calls": [{"id": "c1"}, "odd", {"id": 7}, {}, {"id": "c2"}]}, ("c1", "c2")),
    ],
)
def test_the_calls_a_message_makes(message, ids):
    assert calls_of(message) == ids


@pytest.mark.parametrize(
    ("part", "foreign"),
    [
        ({"type": "input_image"}, True),
        ({"type": "input_file"}, True),
        ({"type": "computer_screenshot"}, True),
        ({"type": "image_url"}, False),
        ({"type": "input_text"}, False),
        ("input_image", False),
    ],
)
def test_parts_that_only_responses_have(part, foreign):
    assert is_foreign(part) == foreign


# As meaning.

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": [2]}'}}


def calling(arguments, **more):
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": function, **more}]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "a"}, {"content": " a\n", "role": "user"}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "a "}]}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a", "name": None}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": None}, {"role": "assistant"}),
        (
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "a", "reasoning_content": "hm", "annotations": [], "items": [1]},
        ),
        (calling('{"a": 1, "b": [2]}'), calling('{"b":[2],"a":1}', type="function", index=0)),
        (calling("no JSON"), calling("no JSON", type="function")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {
                "role": "user",
                "content": ({"text": "a", "type": "text", "x": None}, {"type": "text", "text": "b"}),
            },
        ),
    ],
)
def test_two_copies_of_a_message_mean_the_same(one, other):
    assert meaning_of(one) == meaning_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": "A"}),
        ({"role": "user", "content": "a b"}, {"role": "user", "content": "a  b"}),
        ({"role": "user", "content": "a", "name": "ana"}, {"role": "user", "content": "a"}),
        (
            {"role": "tool", "content": "a", "tool_call_id": "1"},
            {"role": "tool", "content": "a", "tool_call_id": "2"},
        ),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"role": "assistant", "content": "no"}),
        (calling('{"a": 1}'), calling('{"a": 2}')),
        (calling("[" * 200), calling("[" * 201)),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,a"}}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,b"}}]},
        ),
        (
            {"role": "user", "content": [{"text": "x" * 5_000}, "a"]},
            {"role": "user", "content": [{"text": "x" * 5_001}, "a"]},
        ),
    ],
)
def test_another_message_means_something_else(one, other):
    assert meaning_of(one) != meaning_of(other)


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        ({"role": "user", "content": " a "}, '["user","a"]'),
        ({"role": "user", "content": "渡"}, '["user","\\u6e21"]'),
        ({"role": "assistant"}, '["assistant",""]'),
        ({"role": "user", "content": "a", "name": "ana"}, '["user","a",{"name":"ana"}]'),
        (calling('{"b": 1}'), '["assistant","",{"tool_calls":[["c","f",{"b":1}]]}]'),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"x": 1}}],
            },
            '["assistant","",{"tool_calls":[{"custom":{"x":1},"id":"c","type":"custom"}]}]',
        ),
        ({"role": "user", "content": {"odd": None, "a": 1}}, '["user",{"a":1}]'),
    ],
)
def test_the_bytes_of_a_meaning_never_change(message, meant):
    """Their digests stand in every store."""
    assert meaning_of(message) == meant.encode()


@given(JSON, JSON)
def test_whatever_a_message_holds_it_has_a_meaning_and_can_be_written(content, calls):
    message = {"role": "user", "content": content, "tool_calls": calls}
    assert meaning_of(message) == meaning_of(plain(message))
    assert plainer(message) is message


def test_a_message_that_cannot_be_written_down_keeps_its_words():
    odd = {"role": "user", "content": "Where?", "x": nested(100_000)}
    assert plainer(odd) == {"role": "user", "content": "Where?"}
    assert plainer({"role": "user", "content": ["Where?", {1, 2}]}) == {"role": "user", "content": "Where?"}
