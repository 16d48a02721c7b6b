"""Responses items and chat messages: what is said whole in the other's words, and what stays behind."""

from __future__ import annotations

import pytest

from convmem.providers.dialects import resolve_dialects
from convmem.wire import chat, responses
from convmem.wire.items import assistant_of, input_items, message_of, result_of

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
