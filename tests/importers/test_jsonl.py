"""Reading OpenAI-style JSON Lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

import convmem
from convmem.importers import Imported, by_session, jsonl, read

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def lines(*values):
    return "\n".join(json.dumps(value, ensure_ascii=False) for value in values)


def test_one_message_per_line():
    text = lines(
        {"role": "user", "content": "你好", "session": "monday", "at": "2026-03-02T17:00:00+08:00"},
        {"role": "assistant", "content": "Hello", "conversation_id": 7, "created_at": NINE.timestamp()},
        {"role": "user", "content": "Hi", "name": "Ana", "timestamp": NINE.timestamp() * 1_000},
    )
    assert jsonl.parse(text, session="chat") == [
        Imported(
            "monday", NINE.astimezone(timezone(timedelta(hours=8))), {"role": "user", "content": "你好"}
        ),
        Imported("7", NINE, {"role": "assistant", "content": "Hello"}),
        Imported("chat", NINE, {"role": "user", "content": "Hi", "name": "Ana"}),
    ]


def test_one_conversation_per_line():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "at": "2026-03-02T09:01Z"},
    ]
    text = lines(
        {"messages": messages, "created_at": "2026-03-02T09:00Z"}, {"id": "second", "messages": messages[:1]}
    )
    found = jsonl.parse(text, session="file")
    assert [(row.session, row.at) for row in found] == [
        ("file-1", NINE),
        ("file-1", NINE + timedelta(minutes=1)),
        ("second", None),
    ]


def test_a_message_stays_as_it_was_but_for_its_place():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call], "weight": 1}
    assert jsonl.parse(lines({**message, "session": "s"}))[0].message == message


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path):
    file = tmp_path / "chat.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"role": "user", "content": "a"}\r\n\r\n{"role": "user", "content": "b"}\r\n'
    )
    assert [row.message["content"] for row in read(file)] == ["a", "b"]
    assert {row.session for row in read(file)} == {"chat"}


def test_a_time_without_a_zone_is_meant_in_the_zone_given():
    zone = timezone(timedelta(hours=-5))
    row = jsonl.parse(lines({"role": "user", "content": "a", "at": "2026-03-02 09:00"}), tz=zone)[0]
    assert row.at == datetime(2026, 3, 2, 9, 0, tzinfo=zone)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"role": "user", "content": "a"', "line 2 is not JSON"),
        ('["user", "a"]', "line 2 is no JSON object"),
        ('{"content": "a"}', "line 2 has no role"),
        ('{"role": "user"}', "line 2 has no content"),
        ('{"role": "user", "content": 7}', "line 2: content is int"),
        ('{"role": "user", "content": "a", "at": "yesterday"}', "line 2: at is no time: 'yesterday'"),
        ('{"role": "user", "content": "a", "timestamp": 1e300}', "line 2: timestamp is no time"),
        ('{"role": "user", "content": "a", "timestamp": true}', "line 2: timestamp is no time"),
        ('{"role": "user", "content": "a", "session": ["x"]}', "line 2: session is"),
        ('{"messages": "a"}', "line 2: messages is no array"),
        ('{"messages": ["a"]}', r"line 2, messages\[0\] is no JSON object"),
        ('{"messages": [{"role": "user", "content": "a"}, {}]}', r"line 2, messages\[1\] has no role"),
    ],
)
def test_a_broken_line_is_named(line, said):
    with pytest.raises(convmem.InputError, match=said):
        jsonl.parse('{"role": "user", "content": "fine"}\n' + line)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no messages"),
        (b"\n \n", "holds no messages"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'{"role": "user"}', r"chat\.jsonl: line 1 has no content"),
    ],
)
def test_a_broken_file_is_named(tmp_path, data, said):
    file = tmp_path / "chat.jsonl"
    file.write_bytes(data)
    with pytest.raises(convmem.InputError, match=said):
        read(file)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(convmem.InputError, match=r"none\.jsonl cannot be read"):
        read(tmp_path / "none.jsonl")


def test_by_session_gives_what_record_takes(tmp_path):
    later = NINE + timedelta(hours=1)
    rows = [
        Imported("a", None, {"role": "user", "content": "1"}),
        Imported("b", None, {"role": "user", "content": "2"}),
        Imported("a", later, {"role": "assistant", "content": "3"}),
        Imported("a", None, {"role": "user", "content": "4"}),
    ]
    sessions = by_session(rows)
    assert sessions["a"][1] == [later, later, later]
    assert sessions["b"][1] is None
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        for name, (messages, times) in sessions.items():
            memory.record(messages, user="u", session=name, at=times)
        assert [turn.text for turn in memory.turns(user="u", session="a")] == ["1", "3", "4"]
