"""The table of dialects, and what holds of whatever is put back in all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convmem
from convmem.providers.dialects import resolve_dialects
from convmem.wire.chat import ReplyStream
from convmem.wire.message import text_of
from convmem.wire.usage import cached_tokens

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SHIPPED = resolve_dialects(None)
ALL = sorted(SHIPPED.by_name)


@pytest.mark.parametrize(
    ("host", "model", "on", "name"),
    [
        ("api.openai.com", "gpt-6-luna", "2026-11-26", "openai"),
        ("mine.openai.azure.com", "deepseek-r1", "2026-11-26", "openai"),
        ("api.deepseek.com", "deepseek-flash", "2026-11-26", "deepseek"),
        ("API.DeepSeek.com", "a-new-name", "2026-11-26", "deepseek"),
        ("api.deepseek.com", "deepseek-reasoner", "2025-11-30", "deepseek-r1"),
        ("api.deepseek.com", "deepseek-reasoner", "2025-12-01", "deepseek"),
        ("api.deepseek.com", "deepseek-chat", "2025-11-30", "deepseek-v3"),
        ("gateway.example", "vendor/DeepSeek-V4-Pro", "2026-11-26", "deepseek-pro"),
        ("gateway.example", "deepseek-ai/DeepSeek-R1", "2026-11-26", "deepseek-r1"),
        ("generativelanguage.googleapis.com", "models/gemini-3.8-flash", "2026-11-26", "gemini"),
        ("integrate.api.nvidia.com", "deepseek-ai/deepseek-v4-pro", "2026-11-26", "nvidia"),
        ("ollama.com", "gemma4:31b", "2026-11-26", "ollama"),
        ("localhost", "llama3", "2026-11-26", "safe"),
        ("api.deepseek.com.example", "nobody-knows", "2026-11-26", "safe"),
        (None, None, "2026-11-26", "safe"),
    ],
)
def test_the_dialect_of_a_call(host, model, on, name):
    assert SHIPPED.of(host, model, datetime.fromisoformat(f"{on}T12:00:00+00:00")).name == name


def test_dates_are_meant_in_utc():
    late = datetime.fromisoformat("2025-12-01T07:00:00+08:00")  # 30 November, 23:00 in UTC
    assert SHIPPED.of("api.deepseek.com", "deepseek-reasoner", late).name == "deepseek-r1"


def test_a_table_of_ones_own_comes_first(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[dialect.mine]\nreasoning = "keep"\n'
        '[[match]]\nhost = "*.DeepSeek.com"\nmodel = "deepseek-v4*"\nfrom = 2026-12-01\ndialect = "mine"\n'
        '[[match]]\nhost = "gpu-box"\ndialect = "vllm"\n'
    )
    own = resolve_dialects(path)
    assert own.of("gpu-box", "deepseek-flash", NOW).name == "vllm"
    assert own.of("api.deepseek.com", "deepseek-v4-pro", NOW).name == "deepseek-pro"
    assert own.of("api.deepseek.com", "deepseek-v4-pro", datetime(2026, 12, 1, tzinfo=UTC)).name == "mine"
    assert SHIPPED.of("gpu-box", "x", NOW).name == "safe", "the one that ships is as it was"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[match]", "not TOML"),
        ("[policy]", "unknown key 'policy'"),
        ("[dialect.x]\ncolour = 1", r"\[dialect.x\]: unknown key 'colour'"),
        ('[dialect.x]\nreasoning = "sometimes"', "reasoning is one of 'drop', 'with-tools', 'keep'"),
        ("[dialect.x]\nsignatures = 1", "signatures is one of False, True"),
        ('[[match]]\nhost = "x"', "dialect is one of 'safe', 'openai'"),
        ('[[match]]\ndialect = "esperanto"', "not 'esperanto'"),
        ('[[match]]\nhost = 7\ndialect = "vllm"', "host is a pattern in quotes"),
        ('[[match]]\nuntil = "soon"\ndialect = "vllm"', "dates such as 2026-07-01"),
        ('[[match]]\ncolour = 1\ndialect = "vllm"', "unknown key 'colour'"),
        ('match = "x"', "match is a list of rows"),
        ('dialect = "x"', "dialect is a table"),
        ('[dialect]\nx = "y"', "is a table"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_place(tmp_path, text, told):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(convmem.InputError, match=told):
        convmem.Memory(tmp_path / "a.db", dialects=path)
    assert not (tmp_path / "a.db").exists()


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(convmem.InputError, match=r"no dialects could be read from '.*none.toml'"):
        convmem.Memory(tmp_path / "a.db", dialects=tmp_path / "none.toml")


# Messages.

TEXTS = st.text("a 茶\n", max_size=4)
CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
    "index": 0,
    "extra_content": {"google": {"thought_signature": "s"}},
}
MESSAGES = st.one_of(
    st.builds(lambda text: {"role": "user", "content": text}, TEXTS),
    st.builds(
        lambda text: {"role": "user", "content": [{"type": "text", "text": text}], "name": "Ana"}, TEXTS
    ),
    st.builds(lambda text: {"role": "assistant", "content": text, "reasoning_content": "hm"}, TEXTS),
    st.builds(
        lambda text: {"role": "assistant", "content": text, "prefix": True, "audio": {"id": "x"}}, TEXTS
    ),
    st.builds(lambda text: {"role": "assistant", "content": [{"type": "text", "text": text}]}, TEXTS),
    st.just({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    st.just({"role": "tool", "content": "x", "tool_call_id": "c"}),
    st.builds(lambda role: {"role": role, "content": "late"}, st.sampled_from(["system", "developer"])),
)


def said_or(message, text):
    """The message's content when it says something."""
    return message["content"] if text_of(message).strip() else text


def put_back(dialect, messages, *, tools=True):
    forms = (dialect.sendable(message, tools=tools) for message in messages)
    return [(form, False) for form in forms if form is not None]


@given(st.sampled_from(ALL), st.lists(MESSAGES, max_size=8), st.lists(MESSAGES, min_size=1, max_size=3))
def test_what_is_put_back_is_arranged_and_the_callers_own_left_alone(name, earlier, own):
    dialect = SHIPPED.by_name[name]
    copies = [dict(message) for message in (*earlier, *own)]
    sent = dialect.arranged([*put_back(dialect, earlier), *((message, True) for message in own)])
    assert copies == [*earlier, *own], "nothing given is changed"
    assert [m is o for m, o in zip(sent[-len(own) + 1 :], own[1:], strict=False)] == [True] * (len(own) - 1)
    first = sent[-len(own)]
    assert first is own[0] or (first["role"] == "user" and earlier), (
        "only a user's text may follow older text"
    )
    restored = sent[: -len(own)]
    assert not any("prefix" in m or "audio" in m for m in restored)
    if dialect.late_system == "user":
        assert not {m["role"] for m in restored} & {"system", "developer"}
    if dialect.same_role == "merge":
        pairs = pairwise(restored)
        assert not any(a["role"] == b["role"] == "user" for a, b in pairs)
    reasoning = [m.get("reasoning_content") for m in restored if m["role"] == "assistant"]
    if dialect.reasoning == "drop":
        assert set(reasoning) <= {None}
    if dialect.reasoning == "with-tools":
        assert all(isinstance(said, str) for said in reasoning)


@given(st.sampled_from(ALL), st.lists(MESSAGES, max_size=8), MESSAGES, MESSAGES)
def test_what_was_sent_stays_the_beginning_of_what_is_sent_next(name, earlier, newest, reply):
    """Today's own user message is put back tomorrow, and nothing before it changes."""
    dialect = SHIPPED.by_name[name]
    newest = {"role": "user", "content": said_or(newest, "x")}
    today = dialect.arranged([*put_back(dialect, earlier), (newest, True)])
    reply = {"role": "assistant", "content": said_or(reply, "y")}
    again = {"role": "user", "content": "again"}
    tomorrow = dialect.arranged([*put_back(dialect, [*earlier, newest, reply]), (again, True)])
    assert tomorrow[: len(today)] == today


def test_calls_carry_what_their_provider_takes():
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    for name in ALL:
        (call,) = SHIPPED.by_name[name].sendable(message, tools=True)["tool_calls"]
        assert "index" not in call
        assert ("extra_content" in call) is (name == "gemini")
        assert call["function"] == CALL["function"]


# Streams and usage.


def test_parallel_calls_under_one_index_are_told_apart_by_their_ids():
    stream = ReplyStream()
    parts = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 0, "id": "b", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "id": "b", "function": {"arguments": "{}"}},
    ]
    for part in parts:
        stream.add({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]})
    calls = stream.reply(complete=True).choices[0]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("a", '{"x":1}'), ("b", "{}")]


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 7}, None),
        ({"prompt_tokens_details": None}, None),
        ({"prompt_tokens_details": {"cached_tokens": None}}, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 64}, "prompt_cache_hit_tokens": 64}, 64),
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 3}, 64),
        ({"input_tokens_details": {"cached_tokens": 5}}, 5),
        ({"cached_tokens": 12}, 12),
        ({"cached_tokens": True}, None),
        ({"prompt_tokens_details": "many"}, None),
    ],
)
def test_cached_tokens_under_one_name(usage, cached):
    assert cached_tokens(usage) == cached
