"""Reading Claude's export."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime

import pytest

import convmem
from convmem.importers import claude, read

ROOT = "00000000-0000-4000-8000-000000000000"
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def block(text, kind="text"):
    key = {"thinking": "thinking"}.get(kind, "text")
    times = {"start_timestamp": "2026-03-02T09:00:01Z", "stop_timestamp": None, "flags": None}
    return {**times, "type": kind, key: text, "citations": []}


def message(uuid, parent, sender, *blocks, at="2026-03-02T09:00:00.189767Z", **more):
    return {
        "uuid": uuid,
        "text": "This block is not supported on your current device yet.",
        "content": list(blocks),
        "sender": sender,
        "created_at": at,
        "updated_at": at,
        "attachments": [],
        "files": [],
        "parent_message_uuid": parent,
    } | more


def conversation(*messages, **changes):
    return {
        "uuid": "c-1",
        "name": "Gate",
        "summary": "They looked for a gate.",
        "created_at": "2026-03-02T09:00:00Z",
        "updated_at": "2026-03-02T09:05:00Z",
        "account": {"uuid": "a-1"},
        "chat_messages": list(messages),
    } | changes


ASKED = message("u1", ROOT, "human", block("Where is my gate?"))
ANSWERED = message(
    "a1",
    "u1",
    "assistant",
    block("Hm.", "thinking"),
    {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "gate"}, "message": "search"},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "221"}]},
    block("Gate 221,"),
    block("在二楼。"),
)


def said(rows):
    return [(row.message["role"], row.message["content"]) for row in rows]


def test_what_was_said_is_read_and_nothing_else():
    rows = claude.parse(json.dumps([conversation(ASKED, ANSWERED)]))
    assert said(rows) == [("user", "Where is my gate?"), ("assistant", "Gate 221,\n在二楼。")]
    assert {row.session for row in rows} == {"c-1"}
    assert rows[0].at == NINE.replace(microsecond=189767)


def test_of_an_edited_conversation_the_branch_written_last_is_read():
    again = message("u2", ROOT, "human", block("Which gate for MU5101?"))
    reply = message("a2", "u2", "assistant", block("B12."))
    edited = conversation(ASKED, ANSWERED, again, reply)
    assert said(claude.parse(json.dumps([edited]))) == [
        ("user", "Which gate for MU5101?"),
        ("assistant", "B12."),
    ]
    chosen = edited | {"current_leaf_message_uuid": "a1"}
    assert said(claude.parse(json.dumps([chosen])))[0] == ("user", "Where is my gate?")


def test_an_older_export_has_texts_and_no_parents():
    old = [
        {"uuid": "1", "text": "Hi", "sender": "human", "created_at": "2024-03-02T09:00:00.000000+00:00"},
        {"uuid": "2", "text": "Hello!", "sender": "assistant", "created_at": None},
        {"uuid": "3", "text": " ", "sender": "human"},
    ]
    rows = claude.parse(json.dumps([conversation(*old)]))
    assert said(rows) == [("user", "Hi"), ("assistant", "Hello!")]
    assert rows[1].at == NINE


def test_a_pasted_text_is_kept_and_a_file_named():
    pasted = {"file_name": "", "file_type": "txt", "file_size": 9, "extracted_content": "long text"}
    table = {"file_name": "costs.csv", "extracted_content": "rent,900"}
    asked = message(
        "u", ROOT, "human", block("Look:"), attachments=[pasted, table], files=[{"file_name": "cat.png"}]
    )
    content = claude.parse(json.dumps([conversation(asked)]))[0].message["content"]
    assert content == "Look:\nlong text\n[costs.csv]\nrent,900\n[cat.png]"


def test_conversations_come_in_the_order_of_their_beginning():
    later = conversation(ASKED, uuid=None, created_at="2026-04-01T00:00:00Z")
    assert [row.session for row in claude.parse(json.dumps([later, conversation(ASKED, uuid=None)]))] == [
        "Gate #2",
        "Gate",
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"chat_messages": []}, "no list of conversations"),
        ([{"name": "x"}], "conversation 1 has no chat_messages"),
        ([conversation(ASKED), conversation("x")], r"conversation 2 \(Gate\): chat_messages\[0\] is no"),
        ([conversation(ASKED | {"created_at": "soon"})], r"conversation 1 \(Gate\): created_at is no time"),
        (
            [conversation(message("u1", "u1", "human", block("x")))],
            r"conversation 1 \(Gate\): message 'u1' is among its own parents",
        ),
    ],
)
def test_a_broken_conversation_is_named(value, why):
    with pytest.raises(convmem.InputError, match=why):
        claude.parse(json.dumps(value))


def test_it_is_recognized_as_a_file_in_its_archive_and_as_one_conversation(tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("users.json", "[]")
        made.writestr("conversations.json", json.dumps([conversation(ASKED, ANSWERED)]))
    assert len(read(archive)) == 2
    single = tmp_path / "gate.json"
    single.write_text(json.dumps(conversation(ASKED, ANSWERED), indent=1))
    assert len(read(single)) == 2
