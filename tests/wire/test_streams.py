"""Streamed replies put together: whatever its pieces look like, the message is the one given whole."""

from __future__ import annotations

from convmem.wire.chat import ReplyStream


def put_together(*deltas):
    stream = ReplyStream()
    for delta in deltas:
        stream.add({"choices": [{"index": 0, "delta": delta}]})
    (message,) = stream.reply(complete=True).choices
    return message


def thinking(text):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def test_thoughts_in_parts_and_the_text_after_them_are_two_parts():
    message = put_together(
        {"role": "assistant", "content": ""},
        {"content": [thinking("I ")]},
        {"content": [thinking("weigh.")]},
        {"content": "Go"},
        {"content": "od."},
    )
    assert message["content"] == [thinking("I weigh."), {"type": "text", "text": "Good."}]


def test_a_text_before_parts_is_not_lost():
    message = put_together(
        {"content": "Well, "}, {"content": [thinking("hm")]}, {"content": ""}, {"content": "yes."}
    )
    assert message["content"] == [
        {"type": "text", "text": "Well, "},
        thinking("hm"),
        {"type": "text", "text": "yes."},
    ]


def test_details_of_reasoning_keep_their_format():
    piece = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    message = put_together(
        {"reasoning_details": [{**piece, "text": "I "}]},
        {"reasoning_details": [{**piece, "text": "weigh."}]},
        {"reasoning_details": [{**piece, "signature": "abc"}]},
        {"content": "Good."},
    )
    (detail,) = message["reasoning_details"]
    assert detail == {
        "type": "reasoning.text",
        "format": "anthropic-claude-v1",
        "text": "I weigh.",
        "signature": "abc",
    }


def test_a_spoken_reply_has_its_words():
    message = put_together(
        {"audio": {"id": "audio_1"}},
        {"audio": {"transcript": "Good "}},
        {"audio": {"transcript": "morning."}},
        {"audio": {"data": "QUJD"}},
    )
    assert message["audio"] == {"id": "audio_1", "transcript": "Good morning.", "data": "QUJD"}
