"""Payloads come back verbatim, and belong to whoever holds them."""

from __future__ import annotations

import base64
import copy
import re
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from convmem.protocols import TurnsRequest
from convmem.testing._store.base import ALICE, BOB, StoreTests, add, digest, said, same, turns, verbatim

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from convmem.protocols import Store
    from convmem.types import Message

__all__ = ["Payloads"]

_PICTURE = base64.b64encode(bytes(range(256)) * 12).decode()
_SOUND = base64.b64encode(bytes(range(255, -1, -1)) * 8).decode()
_URL = f"data:image/png;base64,{_PICTURE}"


def _nested(depth: int) -> object:
    value: object = "深"
    for level in range(depth):
        value = {"in": value} if level % 2 else [value]
    return value


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


_ODD: dict[str, Message] = {
    "nothing": {},
    "no content": {"role": "assistant"},
    "content None": {"role": "assistant", "content": None, "refusal": None, "tool_calls": None},
    "role None": {"role": None, "content": "x"},
    "empty content": {"role": "user", "content": ""},
    "empty parts": {"role": "user", "content": []},
    "order of keys": {"z": 1, "content": "x", "a": {"y": 1, "b": 2}, "role": "user"},
    "numbers": {
        "role": "user",
        "content": "x",
        "n": [0, -0.0, 0.1, 1e300, 5e-324, 1.0, 1, 2**53 + 1, 2**200],
    },
    "true and one": {"role": "user", "content": "x", "n": [True, 1, False, 0, None, "null", "true"]},
    "not a number": {"role": "user", "content": "x", "n": [float("nan"), float("inf"), float("-inf")]},
    "nested": {"role": "tool", "content": "x", "deep": _nested(60)},
    "NUL": {"role": "user", "content": "a\0b\0", "\0": "\0"},
    "control": {"role": "user", "content": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029\ufeff"},
    "lone surrogates": {"role": "user", "content": "a\ud83d b\ude00\ud83d", "\udfff": "\ud800"},
    "emoji": {"role": "user", "content": "👩‍👩‍👧‍👦🏳️‍🌈", "👍": "🙂"},
    "chinese": {"role": "user", "content": "以后都用中文回答，谢谢！", "name": "小林"},
    "not normalized": {"role": "user", "content": "e\u0301 é ﬁ ① Ａ"},
    "quotes": {"role": "user", "content": "\"'\\`$(){}[]%s?1:x--; DROP TABLE turns"},
    "a megabyte": {"role": "user", "content": "我们今天去京都看红叶。 The quick brown fox. " * 15_000},
    "JSON in a string": {"role": "assistant", "content": None, "arguments": '{"a": [1, 2 ,3]}\n'},
    "an image": {"role": "user", "content": [{"type": "text", "text": "look"}, _image(_URL)]},
    "the same image again and again": {"role": "user", "content": [_image(_URL), _image(_URL), _image(_URL)]},
    "sound and file": {
        "role": "user",
        "content": [
            {"type": "input_audio", "input_audio": {"data": _SOUND, "format": "wav"}},
            {
                "type": "file",
                "file": {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{_SOUND}"},
            },
            _image(_URL),
        ],
    },
    "a small image": {"role": "user", "content": [_image("data:image/gif;base64,R0lGODlhAQABAAAAACw=")]},
    "an image from the net": {"role": "user", "content": [_image("https://example.com/" + "a" * 2000)]},
    "data that is no media": {
        "role": "user",
        "content": [{"data": "数" * 3000, "file_data": "\0" * 3000}, {"data": ""}, {"data": None}],
        "data": "x" * 3000,
    },
    "text that looks like media": {"role": "user", "content": "data:" + "x" * 3000},
    "a path as keys": {"role": "user", "content": [[{"0": {"data": "y" * 3000}, "": {"data": "z" * 2000}}]]},
    "media in a tool's result": {"role": "tool", "tool_call_id": "t", "content": [{"data": _SOUND}, _SOUND]},
}

# Two halves of a pair beside each other are one character in JSON.
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Payloads(StoreTests):
    """Messages as JSON, in and out.

    Attributes:
        examples: how many messages the property test makes up.
    """

    examples: ClassVar[int] = 40

    def test_odd_payloads_come_back_verbatim(self) -> None:
        """Each alone, and all of them in one session."""
        with self.opened() as store:
            odd = [_turn(payload, name) for name, payload in _ODD.items()]
            add(store, ALICE, *odd)
            found = turns(store, ALICE)
            same(len(found), len(_ODD), "turns with odd payloads")
            for name, turn in zip(_ODD, found, strict=True):
                verbatim(turn.payload, _ODD[name], f"the payload with {name}")
                (alone,) = store.turns(TurnsRequest(ref=ALICE, identities=(bytes.fromhex(turn.branch),)))
                same(repr(alone), repr(turn), f"the turn with {name}, read alone")

    def test_media_of_many_turns_and_owners(self) -> None:
        """The same image in several turns, sayings and owners is in each of them."""
        payload = _ODD["sound and file"]
        with self.opened() as store:
            many = [_turn(payload, name) for name in "abc"]
            for ref in (ALICE, BOB):
                add(store, ref, *many, replace(many[0], saying=1), many[0])
                add(store, ref, *many)
            found = store.turns(TurnsRequest())
            same(len(found), 8, "turns with media")
            for turn in found:
                verbatim(turn.payload, payload, "a payload with media sent often")

    def test_any_json_comes_back_verbatim(self) -> None:
        """Messages that hypothesis makes up, when it is installed."""
        try:
            from hypothesis import HealthCheck, given, settings  # noqa: PLC0415 (tests need it, the kit does not)
        except ImportError:
            return
        numbers = count()
        with self.opened() as store:

            def round_trip(payload: Message) -> None:
                _round_trip(store, payload, next(numbers))

            checked = given(_messages())(round_trip)
            slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
            chosen = settings(
                max_examples=self.examples, deadline=None, database=None, suppress_health_check=slow
            )
            chosen(checked)()

    def test_what_was_written_is_the_callers(self) -> None:
        """The caller's message is not touched, and changing it later changes nothing."""
        with self.opened() as store:
            for name in ("sound and file", "nested", "order of keys"):
                payload = copy.deepcopy(_ODD[name])
                add(store, ALICE, _turn(payload, name))
                verbatim(payload, _ODD[name], f"the caller's message with {name}")
                _spoil(payload)
                verbatim(turns(store, ALICE)[-1].payload, _ODD[name], f"the payload with {name}")

    def test_what_is_read_is_the_readers(self) -> None:
        """Changing the payload of a turn changes no other reading of it."""
        with self.opened() as store:
            names = ("sound and file", "nested", "order of keys")
            add(store, ALICE, *(_turn(_ODD[name], name) for name in names))
            for turn in turns(store, ALICE):
                _spoil(turn.payload)
            for name, turn in zip(names, turns(store, ALICE), strict=True):
                verbatim(turn.payload, _ODD[name], f"the payload with {name}")


def _turn(payload: Message, name: object) -> Any:  # noqa: ANN401 (replace loses the type)
    return replace(said("x"), identity=digest("payload", name), payload=payload)


def _spoil(value: object) -> None:
    """Change everything that can be changed."""
    if isinstance(value, dict):
        for item in list(value.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            _spoil(item)  # pyright: ignore[reportUnknownArgumentType]
        value["spoiled"] = True
    elif isinstance(value, list):
        for item in list(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            _spoil(item)  # pyright: ignore[reportUnknownArgumentType]
        value.append("spoiled")  # pyright: ignore[reportUnknownMemberType]


def _round_trip(store: Store, payload: Message, number: int) -> None:
    turn = _turn(payload, number)
    add(store, ALICE, turn)
    (found,) = store.turns(TurnsRequest(ref=ALICE, identities=(turn.identity,)))
    verbatim(found.payload, payload, "a payload")


def _messages() -> SearchStrategy[Message]:
    from hypothesis import strategies as st  # noqa: PLC0415 (tests need it, the kit does not)

    texts = st.text(st.characters(codec=None), max_size=40).filter(lambda text: not _HALVES.search(text))
    media = st.sampled_from([_URL, _SOUND, "data:" + "ü" * 2000])
    leaves = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | texts | media
    keys = texts | st.sampled_from(["data", "url", "file_data", "content", "role", "text", "type", "name"])
    values = st.recursive(leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4))
    content = texts | st.none() | st.lists(st.dictionaries(keys, values, max_size=4) | values, max_size=4)
    return st.builds(_message, content, st.dictionaries(keys, values))


def _message(content: object, more: Message) -> Message:
    return {"role": "user", **more, "content": content}
