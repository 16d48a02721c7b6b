"""Responses bodies and outputs: the turns of chat, and that what need not change comes back the same."""

from __future__ import annotations

import copy
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.errors import InputError
from convmem.wire.items import input_items
from convmem.wire.responses import PATH, parse, rebuilt, reply_of, stream_reply
from convmem.wire.values import Held, Reply

ASKED = {"role": "user", "content": "When does the ferry leave?"}
SAID = {"role": "assistant", "content": "At nine."}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "42"}


def text(role, words, **more):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": words}], **more}


def test_the_path():
    assert PATH == "/responses"


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({"model": "gpt-6"}, "model", "gpt-6"),
        ({}, "model", None),
        ({"stream": True}, "stream", True),
        ({"max_output_tokens": 50}, "max_output", 50),
        ({"max_tokens": 50}, "max_output", None),
        ({"tools": [{"type": "web_search"}]}, "tools", '[{"type":"web_search"}]'),
        ({"text": {"format": {"type": "json_object"}}}, "json_mode", True),
        ({"text": {"format": {"type": "json_schema"}}}, "json_mode", False),
        ({"text": {"format": "json_object"}}, "json_mode", False),
        ({"text": None}, "json_mode", False),
        ({}, "held", None),
        ({"previous_response_id": None, "conversation": None}, "held", None),
        ({"previous_response_id": "resp_1"}, "held", Held(response="resp_1")),
        ({"conversation": "conv_1"}, "held", Held(conversation="conv_1")),
        ({"conversation": {"id": "conv_1"}}, "held", Held(conversation="conv_1")),
        # Something is held, and nobody could know what.
        ({"conversation": {"id": 7}}, "held", Held()),
        ({"previous_response_id": 7}, "held", Held()),
    ],
)
def test_fields_of_a_body(more, field, value):
    assert getattr(parse({"input": "Hello.", **more}), field) == value


@pytest.mark.parametrize(
    ("given", "settings", "turns"),
    [
        ({}, [], []),
        ({"input": None}, [], []),
        ({"input": []}, [], []),
        ({"input": "Hello."}, [], [{"role": "user", "content": "Hello."}]),
        (
            {"input": [ASKED], "instructions": "Be brief."},
            [{"role": "system", "content": "Be brief."}],
            [ASKED],
        ),
        ({"input": [ASKED], "instructions": ""}, [], [ASKED]),
        ({"input": [ASKED], "instructions": ["odd"]}, [], [ASKED]),
        (
            {"input": [{"role": "developer", "content": "In English."}, ASKED], "instructions": "Be brief."},
            [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "In English."}],
            [ASKED],
        ),
        ({"input": [{"type": "message", **ASKED}]}, [], [ASKED]),
        (
            {"input": [text("user", "Hello.")]},
            [],
            [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
        ),
        # What the model said in one go is one turn; another text in chat's form begins another.
        ({"input": [ASKED, SAID, SAID]}, [], [ASKED, SAID, SAID]),
        (
            {"input": [THOUGHT, CALL, RESULT]},
            [],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                    "items": [THOUGHT, CALL],
                },
                {"role": "tool", "tool_call_id": "c", "content": "42"},
            ],
        ),
        (
            {"input": [text("assistant", "One."), text("assistant", "Two.")]},
            [],
            [
                {
                    "role": "assistant",
                    "content": "One.\n\nTwo.",
                    "items": [text("assistant", "One."), text("assistant", "Two.")],
                }
            ],
        ),
    ],
)
def test_the_turns_of_an_input(given, settings, turns):
    request = parse(given)
    assert (list(request.settings), list(request.turns)) == (settings, turns)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "a Responses body is a mapping, not NoneType"),
        ({"input": {"role": "user"}}, "`input` is neither a text nor a list of items"),
        ({"input": b"Hello."}, "`input` is neither a text nor a list of items"),
        ({"input": 7}, "`input` is neither a text nor a list of items"),
        ({"input": [ASKED, "Hello."]}, "input[1] is str, not an item"),
        ({"input": [{"type": 7}]}, "input[0] has no `type`"),
        ({"input": [{"content": "Hello."}]}, "input[0] has no `role` that is text"),
        ({"input": [{"type": "message", "role": "\ud83d"}]}, "input[0] has no `role` that is text"),
        ({"input": [{"role": "user", "content": {1}}]}, "input[0].content: set is not JSON"),
    ],
)
def test_what_is_no_body_is_refused_with_its_place(body, said):
    with pytest.raises(InputError) as refused:
        parse(body)
    assert str(refused.value).startswith(said)


# Rebuilding.

WORDS = st.text(max_size=6)
ITEMS = st.one_of(
    st.builds(
        lambda role, words: {"role": role, "content": words},
        st.sampled_from(["user", "assistant", "developer"]),
        WORDS,
    ),
    st.builds(text, st.sampled_from(["user", "assistant", "system"]), WORDS),
    st.builds(lambda words: text("user", words, id="msg_1", status="completed"), WORDS),
    st.just(
        {
            "role": "user",
            "content": [{"type": "input_image", "file_id": "f"}, {"type": "input_file", "file_url": "u"}],
        }
    ),
    st.just(THOUGHT),
    st.just(CALL),
    st.just(RESULT),
    st.just({"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"}),
    st.just(
        {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "y"}]}
    ),
    st.just({"type": "item_reference", "id": "msg_1"}),
    st.just({"type": "web_search_call", "id": "ws_1", "status": "completed"}),
    st.just({"type": "mcp_approval_response", "approve": True, "approval_request_id": "a"}),
    st.just({"type": "unheard-of", "odd": [1, None]}),
)
INPUTS = st.one_of(st.none(), WORDS, st.lists(ITEMS, max_size=6))
MORE = st.fixed_dictionaries({}, optional={"instructions": st.text(max_size=3), "model": st.just("m")})


@given(INPUTS, MORE)
def test_a_body_rebuilt_with_nothing_changed_is_equal(given_input, more):
    body = {"input": given_input, **more}
    before = copy.deepcopy(body)
    request = parse(body)
    again = rebuilt(body, [*request.settings, *request.turns], dropped=0)
    assert json.dumps(again) == json.dumps({**before, "input": [] if given_input is None else given_input})
    assert body == before


@given(st.lists(ITEMS, max_size=6), st.lists(ITEMS, max_size=4), st.integers(0, 3), MORE)
def test_what_is_put_back_stands_before_the_callers_own_turns(items, before, dropped, more):
    body = {"input": items, **more}
    request = parse(body)
    back = parse({"input": before}).turns
    dropped = min(dropped, len(request.turns))
    own = request.turns[dropped:]
    made = rebuilt(body, [*request.settings, *back, *own], dropped=dropped)["input"]
    settings, middle = (
        len(request.settings) - ("instructions" in more and bool(more["instructions"])),
        input_items(back),
    )
    kept = len(made) - settings - len(middle)
    assert made[settings : settings + len(middle)] == middle
    for ours, given_item in zip(made[:settings], items, strict=False):
        assert ours is given_item
    for ours, given_item in zip(made[len(made) - kept :], items[len(items) - kept :], strict=True):
        assert ours is given_item
    assert parse({"input": items[len(items) - kept :]}).turns == own
    assert kept + settings == len(items) or dropped


@pytest.mark.parametrize(
    ("item", "changed", "sent"),
    [
        (ASKED, {"role": "user", "content": "Memory. When?"}, {"role": "user", "content": "Memory. When?"}),
        (
            {"type": "message", "id": "msg_1", **ASKED},
            {"role": "user", "content": "Memory. When?"},
            {"type": "message", "id": "msg_1", "role": "user", "content": "Memory. When?"},
        ),
        (
            text("user", "When?", id="msg_1"),
            {
                "role": "user",
                "content": [{"type": "text", "text": "Memory."}, {"type": "text", "text": "When?"}],
            },
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Memory."},
                    {"type": "input_text", "text": "When?"},
                ],
                "id": "msg_1",
            },
        ),
    ],
)
def test_what_memory_puts_in_front_of_a_text_leaves_the_items_other_fields(item, changed, sent):
    body = {"input": [item], "model": "m"}
    assert rebuilt(body, [changed], dropped=0) == {"input": [sent], "model": "m"}


def test_a_text_stays_a_text_while_nothing_is_put_back():
    body = {"input": "When?"}
    own = {"role": "user", "content": "Memory. When?"}
    assert rebuilt(body, [own], dropped=0) == {"input": "Memory. When?"}
    assert rebuilt(body, [ASKED, own], dropped=0) == {"input": [ASKED, own]}


# Replies.


def response(*items, status="completed", **more):
    return {"id": "resp_1", "status": status, "output": list(items), **more}


WHOLE = text("assistant", "At nine.", id="msg_1", status="completed")
TURN = {"role": "assistant", "content": "At nine.", "items": [WHOLE]}


@pytest.mark.parametrize(
    ("given", "reply"),
    [
        (response(WHOLE), Reply((TURN,), None, "resp_1")),
        (response(WHOLE, usage={"input_tokens": 3}), Reply((TURN,), {"input_tokens": 3}, "resp_1")),
        (response(WHOLE, status="incomplete"), Reply((TURN,), None, "resp_1")),
        (response(WHOLE, status="failed"), Reply((TURN,), None, "resp_1", complete=False)),
        (response(WHOLE, status="cancelled"), Reply((TURN,), None, "resp_1", complete=False)),
        (response(WHOLE, status="queued"), Reply((), None, "resp_1", complete=False, waiting=True)),
        (response(status="in_progress"), Reply((), None, "resp_1", complete=False, waiting=True)),
        (response(), Reply((), None, "resp_1", complete=False)),
        ({"output": [WHOLE, "odd", None]}, Reply((TURN,))),
        ({"output": None, "id": 7}, Reply(complete=False)),
        ("no JSON", Reply(complete=False)),
        (None, Reply(complete=False)),
    ],
)
def test_replies(given, reply):
    assert reply_of(copy.deepcopy(given)) == reply


def test_what_an_sdk_parsed_is_no_part_of_the_reply():
    said = copy.deepcopy(WHOLE)
    said["content"][0]["parsed"] = {"time": 9}
    (message,) = reply_of(response(said, {**CALL, "parsed_arguments": {}})).choices
    assert message["items"] == [WHOLE, CALL]


# Streams.


def pieces_of(words, cuts):
    """A text in pieces."""
    places = sorted({0, len(words), *(cut % (len(words) + 1) for cut in cuts)})
    return [words[a:b] for a, b in itertools.pairwise(places)]


def events_of(i, item, cuts):
    """An item as a provider streams it."""
    kind = item["type"]
    begun = {key: value for key, value in item.items() if key not in {"content", "arguments", "input"}}
    begun |= {"content": []} if kind == "message" else {"arguments": ""} if kind == "function_call" else {}
    yield {"type": "response.output_item.added", "output_index": i, "item": begun}
    for n, part in enumerate(item["content"]) if kind == "message" else ():
        name = "output_text" if part["type"] == "output_text" else "refusal"
        for piece in pieces_of(part.get("text", part.get("refusal")), cuts):
            yield {
                "type": f"response.{name}.delta",
                "output_index": i,
                "content_index": n,
                "delta": piece,
            }
    if kind == "function_call":
        for piece in pieces_of(item["arguments"], cuts):
            yield {"type": "response.function_call_arguments.delta", "output_index": i, "delta": piece}
    if kind == "custom_tool_call":
        for piece in pieces_of(item["input"], cuts):
            yield {"type": "response.custom_tool_call_input.delta", "output_index": i, "delta": piece}


def streamed(items, cuts=(), *, done=True):
    yield {"type": "response.created", "response": response(status="in_progress")}
    for i, item in enumerate(items):
        yield from events_of(i, item, cuts)
        if done:
            yield {"type": "response.output_item.done", "output_index": i, "item": item}


def put_together(events, *, complete=True):
    stream = stream_reply()
    for event in events:
        stream.add(copy.deepcopy(event))
    assert stream.finished
    return stream.reply(complete=complete)


OUTPUT = st.lists(
    st.one_of(
        st.builds(lambda words: text("assistant", words, id="msg_1"), st.text(min_size=1, max_size=9)),
        st.builds(
            lambda words: {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": words}],
            },
            st.text(min_size=1, max_size=9),
        ),
        st.builds(lambda words: {**CALL, "arguments": words}, st.text(min_size=1, max_size=9)),
        st.builds(
            lambda words: {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": words},
            st.text(min_size=1, max_size=9),
        ),
    ),
    min_size=1,
    max_size=4,
)
CUTS = st.lists(st.integers(0, 20), max_size=3)


@given(OUTPUT, CUTS, st.sampled_from(["completed", "incomplete", "failed"]))
def test_the_pieces_of_a_stream_are_the_reply_given_whole(items, cuts, status):
    ended = response(*items, status=status, usage={"input_tokens": 3})
    whole = reply_of(copy.deepcopy(ended))
    last = {"type": f"response.{status}", "response": ended}
    assert put_together([*streamed(items, cuts), last]) == whole
    # Some gateways leave the output out of their last event.
    bare = {**last, "response": {**ended, "output": []}}
    assert put_together([*streamed(items, cuts), bare]) == whole


@given(OUTPUT, CUTS)
def test_of_a_stream_that_broke_off_all_that_came_is_kept(items, cuts):
    broken = put_together(streamed(items, cuts, done=False), complete=False)
    assert broken == Reply(reply_of(response(*items)).choices, None, "resp_1", complete=False)
    assert put_together(streamed(items, cuts), complete=False) == broken


def test_a_stream_without_any_last_event_is_whole_when_it_ends():
    events = [event for event in streamed([WHOLE]) if "response" not in event]
    assert put_together(events) == Reply((TURN,))
    assert not put_together(events, complete=False).complete


def test_a_response_in_the_background_goes_on_without_its_stream():
    begun = {"type": "response.created", "response": response(status="in_progress", background=True)}
    reply = put_together([begun, *list(streamed([WHOLE]))[1:]], complete=False)
    assert (reply.choices, reply.waiting, reply.state) == ((), True, "pending")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        {},
        {"type": "response.output_text.delta"},
        {"output_index": "0", "item": {}},
        {"output_index": 0, "item": "x"},
        {"type": "response.output_text.delta", "output_index": 0, "delta": 7},
        {"type": "ping", "output_index": 0, "delta": "x"},
        {"type": 7, "output_index": 0, "delta": "x"},
    ],
)
def test_what_is_no_event_changes_nothing(odd):
    events = list(streamed([WHOLE]))
    assert put_together([*events[:2], odd, *events[2:]], complete=False).choices == (TURN,)


def test_nothing_was_said_by_a_message_that_only_began():
    begun = list(streamed([WHOLE], done=False))[:2]
    assert put_together(begun, complete=False) == Reply((), None, "resp_1", complete=False)
