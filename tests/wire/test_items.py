"""Responses items and chat messages: what is said whole in the other's words, and what stays behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.providers.dialects import resolve_dialects
from convmem.wire import chat, responses
from convmem.wire.items import assistant_of, begins_anew, input_items, is_said, kind_of, message_of, result_of

SHIPPED = resolve_dialects(None)


def text_item(role, text, **more):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


def to_chat(messages):
    """The chat messages that go to OpenAI for turns that came through the Responses API."""
    forms = [SHIPPED.by_name["openai"].sendable(message, tools=True) for message in messages]
    return [chat.chat_only(form) for form in forms if form is not None]


def test_an_items_own_fields_do_not_reach_chat():
    item = text_item("user", "Hello.", id="msg_1", status="completed")
    assert to_chat([message_of(item)]) == [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}]
    said = assistant_of([text_item("assistant", "Hi.", id="msg_2", status="completed", phase="final_answer")])
    assert to_chat([said]) == [{"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "input_image", "file_id": "file-1", "detail": "auto"}, "[image]"),
        ({"type": "input_file", "file_url": "https://e.org/a.pdf"}, "[file]"),
        ({"type": "computer_screenshot", "image_url": "https://e.org/a.png"}, "[image]"),
    ],
)
def test_parts_that_chat_cannot_say_are_named(part, told):
    message = message_of({"role": "user", "content": [{"type": "input_text", "text": "See."}, part]})
    (sent,) = to_chat([message])
    assert [each["text"] for each in sent["content"]] == ["See.", told]


def test_a_picture_in_a_result_is_named_in_chat_and_stays_in_responses():
    output = [
        {"type": "input_text", "text": "Found."},
        {"type": "input_image", "image_url": "https://e.org/a.png"},
    ]
    message = result_of({"type": "function_call_output", "call_id": "c", "output": output})
    form = SHIPPED.by_name["openai"].sendable(message, tools=True)
    assert [part["text"] for part in chat.chat_only(form)["content"]] == ["Found.", "[image]"]
    (item,) = input_items([form])
    assert item["output"][1]["type"] == "input_image"


def test_chats_own_fields_do_not_reach_responses():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    messages = [
        {"role": "user", "content": "Hello.", "name": "ana"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "c", "content": "42", "name": "f"},
        {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Good morning."}},
    ]
    forms = [SHIPPED.by_name["openai"].sendable(message, tools=True) for message in messages]
    assert input_items(forms) == [
        {"role": "user", "content": "Hello."},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
        {"role": "assistant", "content": "Good morning."},
    ]


def test_the_callers_own_chat_messages_are_not_touched():
    own = [
        {"role": "system", "content": "Be brief."},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "u"}], "items": [1]},
    ]
    back = {"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}
    made = chat.rebuilt({"messages": own}, [own[0], back, *own[1:]], dropped=0)["messages"]
    assert [m is o for m, o in zip([made[0], *made[2:]], own, strict=True)] == [True] * 3
    assert made[1]["content"] == [{"type": "text", "text": "[file]"}]
    fewer = chat.rebuilt({"messages": own}, [own[0], own[2]], dropped=1)["messages"]
    assert fewer[1] is own[2]


def test_a_response_that_was_cut_before_its_first_word_is_no_turn_to_put_back():
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "text", "text": "hm"}]}
    reply = responses.reply_of({"id": "r", "status": "incomplete", "output": [thought]})
    (message,) = reply.choices
    assert SHIPPED.by_name["openai"].sendable(message, tools=True) is None
    assert input_items([]) == []


# One item, one message, in tables.

CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'}
CUSTOM = {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"}
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CUSTOM_CALLED = {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}}


@pytest.mark.parametrize(
    ("item", "kind", "said"),
    [
        ({"role": "user", "content": "a"}, "message", False),
        ({"role": "assistant", "content": "a"}, "message", True),
        ({"type": None, "role": "assistant"}, "message", True),
        ({"type": "message", "role": "system"}, "message", False),
        (CALL, "function_call", True),
        ({"type": "function_call_output"}, "function_call_output", False),
        ({"type": "custom_tool_call_output"}, "custom_tool_call_output", False),
        ({"type": "reasoning"}, "reasoning", True),
        ({"type": "mcp_approval_request"}, "mcp_approval_request", True),
        ({"type": "mcp_approval_response"}, "mcp_approval_response", False),
    ],
)
def test_who_said_an_item(item, kind, said):
    assert (kind_of(item), is_said(item)) == (kind, said)


@pytest.mark.parametrize(
    ("item", "before", "anew"),
    [
        ({"role": "assistant", "content": "b"}, [{"role": "assistant", "content": "a"}], True),
        ({"role": "assistant", "content": "b"}, [CALL], False),
        ({"role": "assistant", "content": "b"}, [], False),
        (
            {"role": "assistant", "content": [{"type": "output_text"}]},
            [{"role": "assistant", "content": "a"}],
            False,
        ),
        (CALL, [{"role": "assistant", "content": "a"}], False),
    ],
)
def test_a_text_after_another_message_begins_another_turn(item, before, anew):
    assert begins_anew(item, before) == anew


IMAGE = {"type": "input_image", "image_url": "u", "detail": "low"}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        ({"type": "message", "role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, IMAGE]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
                ],
            },
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "auto"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f", "filename": "a.pdf"}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f", "filename": "a.pdf"}}]},
        ),
    ],
)
def test_items_that_chat_can_say_whole(item, message):
    assert message_of(item) == message


@pytest.mark.parametrize(
    ("content", "said", "kept"),
    [
        # Without a `detail`, which chat's form would come back with.
        (
            [{"type": "input_image", "image_url": "u"}],
            [{"type": "image_url", "image_url": {"url": "u"}}],
            True,
        ),
        ([{"type": "output_text", "text": "a"}], [{"type": "text", "text": "a"}], True),
        ([{"type": "input_text", "text": "a", "x": 1}], [{"type": "text", "text": "a"}], True),
        (None, None, True),
        # What chat has no word for stays in the content as it is.
        ([{"type": "input_image", "file_id": "f"}], [{"type": "input_image", "file_id": "f"}], False),
        ([{"type": "input_file", "file_url": "u"}], [{"type": "input_file", "file_url": "u"}], False),
        (["odd"], ["odd"], False),
    ],
)
def test_a_message_that_would_not_come_back_the_same_keeps_its_item(content, said, kept):
    item = {"role": "user", "content": content}
    assert message_of(item) == {"role": "user", "content": said, **({"items": [item]} if kept else {})}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"type": "function_call_output", "call_id": "c", "output": "42"},
            {"role": "tool", "tool_call_id": "c", "content": "42"},
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "42"},
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": "42",
                "items": [{"type": "custom_tool_call_output", "call_id": "c", "output": "42"}],
            },
        ),
        (
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "42"}],
            },
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "text", "text": "42"}],
                "items": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_text", "text": "42"}],
                    }
                ],
            },
        ),
        (
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "computer_screenshot"}],
                "items": [
                    {
                        "type": "computer_call_output",
                        "call_id": "c",
                        "output": {"type": "computer_screenshot"},
                    }
                ],
            },
        ),
        (
            {"type": "mcp_approval_response", "approve": True},
            {
                "role": "tool",
                "tool_call_id": None,
                "content": "",
                "items": [{"type": "mcp_approval_response", "approve": True}],
            },
        ),
    ],
)
def test_results_of_tools(item, message):
    assert result_of(item) == message


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"role": "assistant", "content": "a"}], {"role": "assistant", "content": "a"}),
        ([{"type": "message", "role": "assistant", "content": "a"}], {"role": "assistant", "content": "a"}),
        ([CALL], {"role": "assistant", "content": None, "tool_calls": [CALLED]}),
        ([CUSTOM, CALL], {"role": "assistant", "content": None, "tool_calls": [CUSTOM_CALLED, CALLED]}),
        (
            [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            {"role": "assistant", "content": None, "refusal": "no"},
        ),
        (
            [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "h"}, {"text": "m"}]},
                {"type": "reasoning", "summary": []},
                {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, "odd"]},
                {"role": "assistant", "content": [{"type": "output_text", "text": ""}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            ],
            {"role": "assistant", "content": "a\n\nb", "reasoning_content": "hm"},
        ),
    ],
)
def test_what_the_model_said_in_one_go_is_one_turn(items, message):
    made = assistant_of(items)
    assert {key: value for key, value in made.items() if key != "items"} == message
    assert made.get("items", items) == items
    assert assistant_of(items, verbatim=True) == {**message, "items": items}


def test_a_bare_text_keeps_no_item():
    assert "items" not in assistant_of([{"role": "assistant", "content": "a"}])
    assert "items" in assistant_of([{"role": "assistant", "content": "a", "id": "msg_1"}])


@pytest.mark.parametrize(
    ("messages", "items"),
    [
        ([], []),
        ([{"role": "user", "content": "a"}], [{"role": "user", "content": "a"}]),
        ([{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "a"}]),
        ([{"role": "assistant", "content": None, "refusal": "no"}], [{"role": "assistant", "content": "no"}]),
        ([{"role": "assistant", "content": None}], []),
        (
            [
                {"role": "assistant", "content": "a", "tool_calls": [CALLED, CUSTOM_CALLED]},
                {"role": "tool", "tool_call_id": "d", "content": "y"},
                {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "z"}]},
            ],
            [
                {"role": "assistant", "content": "a"},
                CALL,
                CUSTOM,
                {"type": "custom_tool_call_output", "call_id": "d", "output": "y"},
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_text", "text": "z"}],
                },
            ],
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}],
            [{"type": "function_call", "call_id": "c", "name": None, "arguments": ""}],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [
                        "odd",
                        {"type": "image_url", "image_url": {"url": "u"}},
                        {"type": "image_url", "image_url": "odd"},
                        {"type": "file", "file": {"file_id": "f"}},
                        {"type": "input_audio"},
                    ],
                }
            ],
            [
                {
                    "role": "user",
                    "content": [
                        "odd",
                        {"type": "input_image", "image_url": "u", "detail": "auto"},
                        {"type": "image_url", "image_url": "odd"},
                        {"type": "input_file", "file_id": "f"},
                        {"type": "input_audio"},
                    ],
                }
            ],
        ),
    ],
)
def test_turns_as_items(messages, items):
    assert input_items(messages) == items


WORDS = st.text(min_size=1, max_size=6)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda words: {"type": "input_text", "text": words}, WORDS),
        st.builds(
            lambda url, d: {"type": "input_image", "image_url": url, "detail": d},
            WORDS,
            st.sampled_from(["low", "auto"]),
        ),
        st.builds(lambda name: {"type": "input_file", "file_id": "f", "filename": name}, WORDS),
    ),
    max_size=3,
)


@given(st.one_of(WORDS, PARTS))
def test_what_chat_says_whole_comes_back_as_the_same_item(content):
    item = {"role": "user", "content": content}
    assert input_items([message_of(item)]) == [item]
