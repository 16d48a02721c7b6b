"""The direct API: recording the past, reading back, moving, opening and closing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convmem
from convmem.errors import ClosedError, InputError, ScopeError
from convmem.stores.sqlite import SQLiteStore
from convmem.testing.fakes import FakeEmbedder
from convmem.tokens.tiktoken import TABLES

ROUND = [{"role": "user", "content": "I moved to 泉州"}, {"role": "assistant", "content": "Noted."}]
NEXT = [{"role": "user", "content": "ok"}, {"role": "assistant", "content": "好的"}]


def texts(memory, **scope):
    return [turn.text for turn in memory.turns(**scope)]


# Recording.


def test_recording_gives_ids_and_the_same_list_again_the_same_ids(memory):
    ids = memory.record(ROUND, user="alice", session="s")
    assert len(set(ids)) == 2
    assert memory.record(ROUND, user="alice", session="s") == ids
    assert memory.record([*ROUND, *NEXT], user="alice", session="s")[:2] == ids
    assert texts(memory, user="alice", session="s") == ["I moved to 泉州", "Noted.", "ok", "好的"]


def test_recorded_rounds_follow_each_other(memory):
    memory.record(ROUND, user="alice", session="s")
    memory.record(NEXT, user="alice", session="s")
    memory.record(NEXT, user="alice", session="s", append=True)
    assert texts(memory, user="alice", session="s") == [
        "I moved to 泉州",
        "Noted.",
        "ok",
        "好的",
        "ok",
        "好的",
    ]
    assert all(turn.state == "answered" for turn in memory.turns(user="alice", session="s"))


def test_two_people_and_their_names(memory):
    chat = [
        {"role": "user", "name": "Ana", "content": "Dinner?"},
        {"role": "user", "name": "Bo", "content": "Yes, at eight"},
    ]
    memory.record(chat, user="alice", session="s")
    assert [turn.name for turn in memory.turns(user="alice", session="s")] == ["Ana", "Bo"]


def test_times_are_kept_with_their_zone(memory):
    there = timezone(timedelta(hours=8))
    times = [datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=there), datetime(2026, 3, 1, 1, 31, tzinfo=UTC)]
    memory.record(ROUND, user="alice", session="s", at=times)
    kept = [turn.at for turn in memory.turns(user="alice", session="s")]
    assert kept == times
    assert kept[0].utcoffset() == timedelta(hours=8)


def test_sdk_objects_and_generators_are_taken(memory):
    message = openai.types.chat.ChatCompletionMessage(role="assistant", content="hello")
    memory.record((m for m in [ROUND[0], message]), user="alice", session="s")
    assert texts(memory, user="alice", session="s") == ["I moved to 泉州", "hello"]


def test_a_wrapped_call_goes_on_from_what_was_recorded(memory, client, provider):
    memory.record([{"role": "system", "content": "Be kind."}, *ROUND], user="alice", session="s")
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "where do I live?"}])
    assert [m["content"] for m in provider.requests[-1].messages] == [
        "I moved to 泉州",
        "Noted.",
        "where do I live?",
    ]


@pytest.mark.parametrize(
    ("messages", "given", "says"),
    [
        ([], {}, "empty"),
        ("hi", {}, "list of messages"),
        ({"role": "user"}, {}, "list of messages"),
        ([1], {}, r"messages\[0\]"),
        ([{"content": "x"}], {}, "role"),
        ([ROUND[0], {"role": "user", "content": object()}], {}, r"messages\[1\]\.content"),
        ([{"role": "user", "content": b"x"}], {}, "bytes"),
        ([{1: "x", "role": "user"}], {}, "string keys"),
        (ROUND, {"at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 (the point)
        (ROUND, {"at": [datetime(2026, 1, 1, tzinfo=UTC)]}, "1 times for 2"),
        (ROUND, {"at": "yesterday"}, "datetime"),
    ],
)
def test_what_cannot_be_recorded_says_why_and_records_nothing(memory, messages, given, says):
    with pytest.raises(InputError, match=says):
        memory.record(messages, user="alice", session="s", **given)
    assert memory.stats().turns == 0


@pytest.mark.parametrize("content", ["\ud800 lone", "nul \x00 inside", "x" * 1_000_000, "", "👩‍👩‍👧"])
def test_odd_text_is_kept_verbatim(memory, content):
    memory.record([{"role": "user", "content": content}], user="alice", session="s")
    assert texts(memory, user="alice", session="s") == [content]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    extra=st.dictionaries(st.text(), JSON, max_size=4),
    content=st.none() | st.text() | st.lists(JSON, max_size=3),
)
def test_a_message_comes_back_as_it_was_given(extra, content):
    message = {**extra, "role": "user" if content is not None else "assistant", "content": content}
    with convmem.Memory(":memory:", embedder="none") as memory:
        memory.record([message], user="alice", session="s")
        (turn,) = memory.turns(user="alice", session="s")
        assert turn.payload == message
        assert list(turn.payload) == list(message)


# Reading back and moving.


def test_sessions_and_turns_by_user(memory):
    memory.record(ROUND, user="alice", session="a")
    memory.record(NEXT, user="alice", session="b")
    memory.record(NEXT, session="a")
    assert [(row.user, row.name, row.turns) for row in memory.sessions()] == [
        ("alice", "a", 2),
        ("alice", "b", 2),
        (None, "a", 2),
    ]
    assert [row.name for row in memory.sessions(user="alice")] == ["a", "b"]
    assert [row.name for row in memory.sessions(user=None)] == ["a"]
    assert texts(memory, user="alice") == ["I moved to 泉州", "Noted.", "ok", "好的"]
    assert texts(memory, user="nobody") == []
    assert memory.record(NEXT)[0] not in {turn.id for turn in memory.turns(user="alice")}


def test_a_journal_moves_whole_and_only_once(memory, client, provider, tmp_path):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Q" * 3_000}}
    memory.record(
        [{"role": "user", "content": [picture, {"type": "text", "text": "看"}]}, NEXT[1]],
        user="bob",
        session="s",
    )
    for text in ("one", "two"):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
    edited = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "echo: one"}]
    client.chat.completions.create(model="m", messages=[*edited, {"role": "user", "content": "not two"}])
    lines = list(memory.export())
    with convmem.Memory(tmp_path / "other.db", embedder="none") as other:
        assert other.import_(lines) == other.import_(lines) == len(lines) - 1

        def shape(store, **scope):
            turns = store.turns(branches=True, **scope)
            place = {turn.id: n for n, turn in enumerate(turns)}
            return [(place.get(t.parent), t.payload, t.state, t.at, t.choice) for t in turns]

        for scope in ({"user": "alice", "session": "s"}, {"user": "bob", "session": "s"}):
            assert shape(other, **scope) == shape(memory, **scope)
        assert texts(other, user="alice", session="s")[-2] == "not two"
        assert len(list(other.export(user="bob"))) == 3
        assert len(list(other.export(user="bob", session="s"))) == 3
        with pytest.raises(InputError, match="user="):
            list(other.export(session="s"))


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"x": 1}',
        '{"convmem": "journal", "version": 99}',
        json.dumps({"user": "a", "session": ""}),
    ],
)
def test_a_line_of_something_else_is_named(memory, line):
    with pytest.raises(InputError, match=r"line 2|session is empty"):
        memory.import_(['{"convmem": "journal", "version": 1}', line])


# Opening and closing.


@pytest.mark.parametrize("store", ["", "redis://x", 7, None, object()])
def test_what_is_no_store(store):
    with pytest.raises(InputError, match=r"path|Store"):
        convmem.Memory(store, embedder="none")


def test_a_store_by_url_path_and_object(tmp_path):
    for store in (f"sqlite:///{tmp_path}/u.db", tmp_path / "p.db", ":memory:"):
        with convmem.Memory(store, embedder="none") as memory:
            assert memory.record(ROUND)
    own = SQLiteStore(tmp_path / "p.db")
    with convmem.Memory(own, embedder="none") as memory:
        assert memory.stats().turns == 2
    assert own.stats().turns == 2, "whoever opened it closes it"
    own.close()


@pytest.mark.parametrize("given", [{"on_error": "explode"}, {"deadline_ms": 0}, {"durability": "some"}])
def test_options_that_cannot_be(tmp_path, given):
    with pytest.raises(InputError, match=next(iter(given))):
        convmem.Memory(tmp_path / "x.db", **given, embedder="none")


class Nameless:
    dim = 3

    def embed(self, texts, kind):
        raise AssertionError((texts, kind))


@pytest.mark.parametrize("embedder", [FakeEmbedder, Nameless()])
def test_what_is_no_embedder_is_wrong_input_and_makes_no_file(tmp_path, embedder):
    with pytest.raises(InputError, match=r"FakeEmbedder: pass an instance|lacks `fingerprint`"):
        convmem.Memory(tmp_path / "x.db", embedder=embedder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "message",
    [{"role": "user"}, {"role": "user", "content": None}, {"role": "system"}, {"role": "assistant"}],
)
def test_a_message_that_says_nothing_is_refused(memory, message):
    for door in (memory.record, memory.prepare):
        with pytest.raises(InputError, match=r"messages\[1\] has .*`content`"):
            door([ROUND[0], message], user="alice", session="s")
    assert memory.stats().turns == 0
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        ROUND[0],
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]
    assert len(memory.record(said, user="alice", session="s")) == 3


def test_turns_are_somebodys(memory):
    memory.record(ROUND, user="alice", session="s")
    memory.record(ROUND, session="s")
    with pytest.raises(InputError, match=r"say whose turns: user=.*export\(\)"):
        memory.turns()
    assert len(memory.turns(user="alice")) == 2
    assert memory.turns(user=None) == memory.turns(session="s") == memory.turns(user=None, session="s")
    assert len(memory.turns(session="s")) == 2


def test_the_first_call_has_nothing_left_to_load():
    script = """
import sys
import convmem
with convmem.Memory(":memory:", embedder="none") as memory:
    opened = set(sys.modules)
    memory.record([{"role": "user", "content": "the boiler code is 4471"}], user="u", session="a")
    memory.prepare([{"role": "user", "content": "boiler 漢字?"}], user="u", session="b")
    assert {"numpy", "snowballstemmer.english_stemmer"} <= opened
    print([n for n in set(sys.modules) - opened if n.startswith(("convmem", "snow", "opencc", "numpy"))])
"""
    done = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_tables_of_tokens_begin_to_load_with_the_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(TABLES, "counter", lambda encoding, **_: asked.append(encoding))
    with convmem.Memory(":memory:", embedder="none"):
        assert asked == ["o200k_base"]


def test_closed_is_closed(memory):
    memory.close()
    with pytest.raises(ClosedError):
        memory.record(ROUND)


def test_scope_rules_hold_for_the_direct_api(memory):
    for bad in ({"user": ""}, {"session": " "}, {"user": 3}):
        with pytest.raises(ScopeError):
            memory.record(ROUND, **bad)


def test_the_async_api_is_the_same(tmp_path):
    async def go() -> None:
        async with convmem.AsyncMemory(tmp_path / "x.db", embedder="none") as memory:
            ids = await memory.record(ROUND, user="alice", session="s")
            assert [turn.id for turn in await memory.turns(user="alice", session="s")] == ids
            assert [row.name for row in await memory.sessions(user="alice")] == ["s"]
            lines = [line async for line in memory.export()]
            assert await memory.import_(lines) == 2
            await memory.flush()
            assert (await memory.stats()).turns == 2
            with memory.scope(user="bob"):
                assert memory.last_receipt() is None
            shared = convmem.AsyncMemory.of(memory.memory)
            assert len(await shared.turns(user="alice")) == 2

    asyncio.run(go())


def test_a_printed_receipt_has_a_reason_for_every_quoted_turn():
    said = [
        {"role": "user", "content": "My locker is number 7719."},
        {"role": "assistant", "content": "Noted."},
    ]
    with convmem.Memory(":memory:", embedder="none") as memory:
        memory.record(said, user="alice", session="pool")
        asked = [{"role": "user", "content": "Which locker is mine?"}]
        receipt = memory.prepare(asked, user="alice", session="today").receipt
    lines = [line for line in str(receipt).splitlines() if line.startswith("  recalled")]
    assert [quoted.why for quoted in receipt.recalled][1:] == [()]
    assert "lexical" in lines[0]
    assert "there was room" in lines[1]


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, convmem;"
        "heavy = {'numpy', 'faiss', 'openai', 'sqlite_utils', 'tiktoken'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)  # noqa: S603 (our own words)


def test_the_public_names_are_unique_and_documented():
    assert sorted(convmem.__all__) == sorted(set(convmem.__all__))
    for name in convmem.__all__:
        thing = getattr(convmem, name)
        assert thing.__doc__ if isinstance(thing, type) else thing is not None
