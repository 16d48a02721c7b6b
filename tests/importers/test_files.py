"""Telling by its content who wrote a file."""

from __future__ import annotations

import json

import pytest

import convmem
from convmem.importers import is_own_export, read

MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("value", "session"),
    [
        (MESSAGES, "chat"),
        ([{"messages": MESSAGES}], "chat-1"),
        ({"messages": MESSAGES}, "chat-1"),
        ({"id": "monday", "messages": MESSAGES}, "monday"),
    ],
)
def test_openai_messages_may_stand_in_one_document(tmp_path, value, session):
    file = tmp_path / "chat.json"
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        file.write_text(text)
        assert [(row.session, row.message) for row in read(file)] == [(session, m) for m in MESSAGES]


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        ("[{", {}, r"chat\.json: this is not JSON"),
        ('[{"role": "user"}]', {}, r"chat\.json: item 1 has no content"),
        ('["x"]', {}, "item 1 is no JSON object"),
        ("7", {}, "line 1 is no JSON object"),
        (json.dumps(MESSAGES), {"format": "claude"}, "conversation 1 has no chat_messages"),
        (json.dumps(MESSAGES), {"format": "gemini"}, "format is auto, openai, chatgpt, claude or mem0"),
    ],
)
def test_what_is_none_of_them_is_named(tmp_path, text, options, why):
    file = tmp_path / "chat.json"
    file.write_text(text)
    with pytest.raises(convmem.InputError, match=why):
        read(file, **options)


def test_an_export_of_our_own_is_told_apart(tmp_path):
    file = tmp_path / "journal.jsonl"
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        memory.record(MESSAGES, user="alice", session="s")
        file.write_text("\n".join(memory.export()))
    assert is_own_export(file)
    file.write_text(json.dumps(MESSAGES))
    assert not is_own_export(file)
    with pytest.raises(convmem.InputError, match="cannot be read"):
        is_own_export(tmp_path)
