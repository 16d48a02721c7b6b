"""Chat Completions bodies and replies: what is read of them; what need not change comes back the same."""

from __future__ import annotations

import copy
import itertools
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.errors import InputError
from convmem.wire.chat import PATH, chat_only, parse, rebuilt, reply_of, stream_reply
from convmem.wire.values import Reply

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "When does the ferry leave?"}
SAID = {"role": "assistant", "content": "At nine."}


def test_the_path():
    assert PATH == "/chat/completions"


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({}, "model", None),
        ({"model": "gpt-6"}, "model", "gpt-6"),
        ({"model": ""}, "model", None),
        ({"model": 7}, "model", None),
        ({"model": "\ud83d"}, "model", None),
        ({}, "stream", False),
        ({"stream": True}, "stream", True),
        ({"stream": 1}, "stream", False),
        ({}, "max_output", None),
        ({"max_tokens": 100}, "max_output", 100),
        ({"max_completion_tokens": 50, "max_tokens": 100}, "max_output", 50),
        ({"max_completion_tokens": None, "max_tokens": 100}, "max_output", 100),
        ({"max_tokens": 0}, "max_output", None),
        ({"max_tokens": -1}, "max_output", None),
        ({"max_tokens": 1 << 50}, "max_output", None),
        ({"max_tokens": "100"}, "max_output", None),
        ({}, "tools", ""),
        ({"tools": []}, "tools", ""),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "tools",
            '[{"type":"function","function":{"name":"f"}}]',
        ),
        ({"tools": [b"bytes"]}, "tools", ""),
        ({}, "json_mode", False),
        ({"response_format": {"type": "json_object"}}, "json_mode", True),
        ({"response_format": {"type": "json_schema"}}, "json_mode", False),
        ({"response_format": "json_object"}, "json_mode", False),
        ({}, "held", None),
        ({"previous_response_id": "resp_1"}, "held", None),
    ],
)
def test_fields_of_a_body(more, field, value):
    assert getattr(parse({"messages": [ASKED], **more}), field) == value


@pytest.mark.parametrize(
    ("messages", "settings"),
    [
        ([], 0),
        ([ASKED], 0),
        ([SYSTEM], 1),
        ([SYSTEM, {"role": "developer", "content": "In English."}, ASKED, SAID, ASKED], 2),
        ([ASKED, SYSTEM, ASKED], 0),
        ((SYSTEM, ASKED), 1),
    ],
)
def test_leading_system_and_developer_messages_are_settings(messages, settings):
    request = parse({"messages": messages})
    assert request.settings == tuple(messages[:settings])
    assert request.turns == tuple(messages[settings:])


def test_objects_of_an_sdk_are_read_as_json():
    message = SimpleNamespace(role="user", model_dump=lambda **_: {"role": "user", "content": "Hello."})
    assert parse({"messages": [message]}).turns == ({"role": "user", "content": "Hello."},)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "a chat body is a mapping, not NoneType"),
        ([], "a chat body is a mapping, not list"),
        ({}, "`messages` is not a list"),
        ({"messages": None}, "`messages` is not a list"),
        ({"messages": "Hello."}, "`messages` is not a list"),
        ({"messages": b"Hello."}, "`messages` is not a list"),
        ({"messages": ASKED}, "`messages` is not a list"),
        ({"messages": iter([ASKED])}, "`messages` is not a list"),
        ({"messages": [ASKED, "Hello."]}, "messages[1] is str, not a mapping"),
        ({"messages": [ASKED, ["Hello."]]}, "messages[1] is list, not a mapping"),
        ({"messages": [{"content": "Hello."}]}, "messages[0] has no `role`"),
        ({"messages": [{"role": 1, "content": "Hello."}]}, "messages[0] has no `role`"),
        ({"messages": [{"role": "\ud83d"}]}, "messages[0] has no `role`"),
        ({"messages": [{"role": "user", "content": float("nan")}]}, "messages[0].content: nan is not JSON"),
    ],
)
def test_what_is_no_body_is_refused_with_its_place(body, said):
    with pytest.raises(InputError) as refused:
        parse(body)
    assert str(refused.value).startswith(said)


# Rebuilding.

TEXTS = st.text(max_size=8)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
        st.just({"type": "image_url", "image_url": {"url": "data:,a"}}),
        st.builds(lambda text: {"type": "input_image", "image_url": text}, TEXTS),
    ),
    max_size=3,
)
MESSAGES = st.lists(
    st.builds(
        lambda role, content, more: {"role": role, "content": content, **more},
        st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        st.one_of(st.none(), TEXTS, PARTS),
        st.dictionaries(st.sampled_from(["name", "items", "x"]), TEXTS, max_size=2),
    ),
    max_size=6,
)


@given(MESSAGES, st.dictionaries(st.sampled_from(["model", "stream", "tools", "x"]), TEXTS, max_size=3))
def test_a_body_rebuilt_with_nothing_changed_is_equal(messages, more):
    body = {"messages": messages, **more}
    before = copy.deepcopy(body)
    request = parse(body)
    again = rebuilt(body, [*request.settings, *request.turns], dropped=0)
    assert json.dumps(again) == json.dumps(before)
    assert body == before


@given(MESSAGES, MESSAGES, st.integers(0, 3))
def test_what_is_put_back_stands_between_the_settings_and_the_callers_own_turns(messages, before, dropped):
    back = [message for message in before if message["role"] in {"user", "assistant", "tool"}]
    request = parse({"messages": messages})
    dropped = min(dropped, len(request.turns))
    own = request.turns[dropped:]
    made = rebuilt({"messages": messages}, [*request.settings, *back, *own], dropped=dropped)["messages"]
    n = len(request.settings)
    assert made[:n] == list(request.settings)
    assert made[n : n + len(back)] == [chat_only(message) for message in back]
    assert made[n + len(back) :] == list(own)


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (ASKED, ASKED),
        ({**SAID, "items": [{"type": "message"}]}, SAID),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "u"}]},
            {"role": "user", "content": [{"type": "text", "text": "[image]"}]},
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        ),
        (
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "image_url", "image_url": {"url": "u"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "[image]"}]},
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": ["42"]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "42"}]},
        ),
    ],
)
def test_what_chat_has_no_word_for_is_named(message, sent):
    assert chat_only(message) == sent
    assert chat_only(sent) is sent


# Replies.


def completion(*messages, **more):
    return {"id": "c1", "choices": [{"index": i, "message": m} for i, m in enumerate(messages)], **more}


@pytest.mark.parametrize(
    ("given", "reply"),
    [
        (completion(SAID), Reply((SAID,), None, "c1")),
        (completion({"content": "At nine."}), Reply((SAID,), None, "c1")),
        (completion(SAID, usage={"total_tokens": 3}), Reply((SAID,), {"total_tokens": 3}, "c1")),
        (completion(SAID, usage=3), Reply((SAID,), None, "c1")),
        (completion(SAID, id=7), Reply((SAID,), None, None)),
        (
            {"choices": [{"index": 1, "message": ASKED}, {"index": 0, "message": SAID}]},
            Reply((SAID, ASKED)),
        ),
        ({"choices": [{"message": None}, {"message": SAID}, "x"]}, Reply((SAID,))),
        (
            {"choices": [{"message": {"content": "ok", "x": float("inf")}}]},
            Reply(({"role": "assistant", "content": "ok"},)),
        ),
        (
            completion({"content": "1", "parsed": {"n": 1}}),
            Reply(({"role": "assistant", "content": "1"},), None, "c1"),
        ),
        ({"choices": []}, Reply(complete=False)),
        ({"choices": None}, Reply(complete=False)),
        ({"error": {"message": "no"}}, Reply(complete=False)),
        ("no JSON", Reply(complete=False)),
        (None, Reply(complete=False)),
    ],
)
def test_replies(given, reply):
    assert reply_of(given) == reply


def test_what_an_sdk_parsed_is_no_part_of_the_message():
    call = {"id": "c", "function": {"name": "f", "arguments": "{}", "parsed_arguments": {}}}
    (message,) = reply_of(completion({"content": None, "tool_calls": [call, "x"]})).choices
    assert message["tool_calls"] == [{"id": "c", "function": {"name": "f", "arguments": "{}"}}, "x"]


def test_the_words_are_kept_of_a_reply_too_deep_to_dump():
    def dump(**_):
        raise ValueError("circular")

    message = SimpleNamespace(content="At nine.")
    choices = [SimpleNamespace(index=0, message=message)]
    assert reply_of(SimpleNamespace(model_dump=dump, id="c1", choices=choices)) == Reply((SAID,), None, "c1")


# Streams.

CALL = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g"]), "arguments": st.text(max_size=9)}
        ),
    }
)
SPOKEN = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.one_of(st.none(), st.text(max_size=9))},
    optional={
        "refusal": st.text(min_size=1, max_size=5),
        "reasoning_content": st.text(min_size=1, max_size=9),
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
    },
)


def pieces_of(text, cuts):
    """A text in one to four pieces."""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in itertools.pairwise(places)] or [text]


def deltas_of(message, cuts):
    """A message as a provider streams it: first who speaks, then each text in pieces."""
    yield {"role": "assistant", "content": message["content"] and ""}
    for key in ("reasoning_content", "refusal", "content"):
        if message.get(key):
            yield from ({key: piece} for piece in pieces_of(message[key], cuts))
    for i, call in enumerate(message.get("tool_calls") or ()):
        made = call["function"]
        yield {"tool_calls": [{**call, "index": i, "function": {"name": made["name"], "arguments": ""}}]}
        for piece in pieces_of(made["arguments"], cuts):
            yield {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}


def chunk(index, delta, finish=None):
    return {"id": "c1", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


@given(st.lists(SPOKEN, min_size=1, max_size=3), st.lists(st.integers(0, 20), max_size=3), st.randoms())
def test_the_pieces_of_a_stream_are_the_reply_given_whole(messages, cuts, chance):
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    waiting = [[chunk(i, delta) for delta in deltas_of(m, cuts)] for i, m in enumerate(messages)]
    stream = stream_reply()
    while any(waiting):  # the choices come in any order, the pieces of each in theirs
        stream.add(chance.choice([chunks for chunks in waiting if chunks]).pop(0))
    assert not stream.finished
    for i in range(len(messages)):
        stream.add(chunk(i, {}, "stop"))
    stream.add({"id": "c1", "choices": [], "usage": usage})
    assert stream.finished
    assert stream.reply(complete=True) == reply_of(completion(*messages, usage=usage))


def test_parallel_calls_under_one_index_are_told_apart_by_their_ids():
    stream = stream_reply()
    for call_id in ("a", "b"):
        made = {"name": "f", "arguments": '{"of":'}
        stream.add(chunk(0, {"tool_calls": [{"index": 0, "id": call_id, "function": made}]}))
        stream.add(chunk(0, {"tool_calls": [{"index": 0, "function": {"arguments": f'"{call_id}"}}'}}]}))
    (message,) = stream.reply(complete=True).choices
    assert [(c["id"], c["function"]["arguments"]) for c in message["tool_calls"]] == [
        ("a", '{"of":"a"}'),
        ("b", '{"of":"b"}'),
    ]


@pytest.mark.parametrize(
    "odd",
    [None, "text", 7, [], {}, {"choices": None}, {"choices": ["x", None]}, chunk(0, None), chunk("x", "y")],
)
def test_what_is_no_chunk_changes_nothing(odd):
    stream = stream_reply()
    stream.add(chunk(0, {"content": "At "}))
    stream.add(odd)
    stream.add(chunk(0, {"content": "nine."}, "stop"))
    assert stream.reply(complete=True).choices == (SAID,)


def test_of_a_stream_that_broke_off_only_what_was_said_is_kept():
    stream = stream_reply()
    assert stream.reply(complete=False) == Reply(complete=False)
    stream.add(chunk(0, {"role": "assistant", "content": ""}))
    assert stream.reply(complete=False).state == "failed"
    stream.add(chunk(1, {"content": "At n"}))
    broken = stream.reply(complete=False)
    assert (broken.choices, broken.state) == (({"role": "assistant", "content": "At n"},), "partial")


def test_a_delta_nested_without_end_is_cut_and_the_words_beside_it_stay():
    deep: dict = {}
    for _ in range(500):
        deep = {"in": deep}
    stream = stream_reply()
    stream.add(chunk(0, {"content": "At nine.", "odd": deep}))
    (message,) = stream.reply(complete=True).choices
    assert message["content"] == "At nine."
    assert json.dumps(message).count("in") < 100
