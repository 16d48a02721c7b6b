"""Long texts: written, digested and stored in slices, to the byte as if in one piece."""

from __future__ import annotations

import hashlib
import hmac
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.stores.sqlite.media import is_text, put_back, take_out
from convmem.wire import message as wire
from convmem.wire.identity import meaning_digest
from convmem.wire.message import dumps, meaning_of, meaning_pieces, slices

ODD = 'plain words, "quotes" \\ back\\slashes\n\t\x00\x1f\x7f é 渡轮 😀 '
LONG = ODD * (3 * wire._SLICE // len(ODD))
LONE = LONG[:-1] + "\ud83d"
HASHED = hashlib.sha256(LONE.encode("utf-8", "surrogatepass")).hexdigest()


def whole(value, **options):
    """As `json.dumps` writes it in one piece."""
    return json.dumps(value, separators=(",", ":"), **options)


def test_slices_are_the_text():
    assert "".join(slices(LONG)) == LONG
    assert max(map(len, slices(LONG))) == wire._SLICE
    assert list(slices("")) == [""]


@pytest.mark.parametrize("text", [LONG, LONE, "x" * 200_000])
def test_json_is_what_the_standard_library_writes(text):
    for value in (
        {"role": "user", "content": text},
        [text, {"b": [1, None, text], "a": {"c": text, "d": -0.0}}, True],
    ):
        readable = "\ud83d" not in text
        assert dumps(value) == whole(value, ensure_ascii=not readable)
        dumps(value).encode()
        assert json.loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        ({"role": "user", "content": f"  {LONG}\n"}, ["user", LONG.strip()]),
        # What is stored knows a part from 4,096 characters by its hash.
        ({"role": "user", "content": [{"type": "text", "text": LONE}]}, ["user", HASHED]),
        (
            {"role": "tool", "tool_call_id": "c1", "content": LONG},
            ["tool", LONG.strip(), {"tool_call_id": "c1"}],
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "function": {"name": "f", "arguments": dumps({"z": 1, "a": LONG})}}
                ],
            },
            ["assistant", "", {"tool_calls": [["c", "f", {"a": LONG, "z": 1}]]}],
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "text", "text": LONE}]},
            [
                "user",
                [
                    {"type": "text", "text": "see"},
                    {"type": "text", "text": HASHED},
                ],
            ],
        ),
    ],
)
def test_a_long_meaning_has_the_bytes_it_always_had(message, meant):
    expected = whole(meant, sort_keys=True).encode()
    assert meaning_of(message) == expected
    key = b"k" * 32
    assert meaning_digest(key, message) == hmac.digest(key, b"meaning\0" + expected, "sha256")[:16]


def test_no_piece_of_a_long_meaning_is_much_longer_than_a_slice():
    pieces = list(meaning_pieces({"role": "user", "content": "渡轮" * wire._SLICE}))
    assert max(map(len, pieces)) <= 6 * wire._SLICE, "six bytes for each escaped character"


@given(st.lists(st.sampled_from(["", "a", '"', "\\", "\n", "渡", "😀", "\ud83d", "\x7f", " "]), max_size=40))
def test_texts_are_escaped_alike_where_slices_meet(signs):
    chance = random.Random(len(signs))
    text = "".join(signs)
    text = "w" * (wire._SLICE - chance.randint(0, 20)) + text + "v" * chance.randint(0, 20)
    assert meaning_of({"role": "user", "content": text}) == whole(["user", text.strip()]).encode()
    assert json.loads(dumps([text])) == [text]


# Beside the message.


def stored(message):
    emptied, media = take_out(message)
    again = json.loads(dumps(emptied))
    for medium in media:
        put_back(again, list(medium.path), medium.content)
    return emptied, media, again


@pytest.mark.parametrize("text", ["渡轮上午九点半开。" * 40_000, ODD * 10_000, "x" * 300_000])
def test_a_long_text_is_stored_beside_its_message(text):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    for message in (
        {"role": "tool", "tool_call_id": "c", "content": text},
        {"role": "user", "content": [{"type": "text", "text": text}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ):
        emptied, media, again = stored(message)
        assert again == message
        assert len(media) == 1
        assert is_text(list(media[0].path))
        assert len(dumps(emptied)) < 200


def test_a_picture_is_no_text_and_a_lone_surrogate_stays_in_json():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    message = {"role": "user", "content": [picture]}
    _, media, again = stored(message)
    assert again == message
    assert [is_text(list(medium.path)) for medium in media] == [False]
    odd = {"role": "user", "content": "\ud83d" + "x" * 300_000}
    assert take_out(odd) == (odd, ())
    assert json.loads(dumps(odd)) == odd
