"""What the local provider refuses, and what it must not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.local_provider.asking import CALLS, HI, IMAGE, TOOLS, USER, call, chat, post, result, says, user

from convmem.testing import LocalProvider
from convmem.testing.provider import DIALECTS, problems
from convmem.testing.provider.legality import chat_problems
from convmem.testing.provider.wording import refusal_of

# Legality.


ILLEGAL = [
    ("openai", {"colour": 1}, "colour"),
    ("openai", {"thinking": {"type": "disabled"}}, "thinking"),
    ("openai", {"messages": []}, "messages"),
    ("openai", {"messages": "hi"}, "messages"),
    ("openai", {"model": ""}, "model"),
    ("openai", {"n": "2"}, "n"),
    ("openai", {"n": True}, "n"),
    ("openai", {"n": 0}, "n"),
    ("openai", {"stream": "yes"}, "stream"),
    ("openai", {"temperature": "hot"}, "temperature"),
    ("openai", {"temperature": 2.5}, "temperature"),
    ("openai", {"stop": ["a"] * 5}, "stop"),
    ("openai", {"stop": [1]}, "stop"),
    ("openai", {"stream_options": {"include_usage": True}}, "stream_options"),
    ("openai", {"stream": True, "stream_options": {"x": True}}, "stream_options.x"),
    ("openai", {"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ("openai", {"tools": []}, "tools"),
    ("openai", {"tools": None}, "tools"),
    ("openai", {"tools": [{"type": "function"}]}, "tools[0]"),
    ("openai", {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ("openai", {"tool_choice": "auto"}, "tool_choice"),
    ("openai", {"tools": TOOLS, "tool_choice": "often"}, "tool_choice"),
    ("openai", {"response_format": {"type": "xml"}}, "response_format.type"),
    ("openai", {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ("openai", {"response_format": {"type": "json_object"}}, "messages"),
]
ILLEGAL_MESSAGES = [
    ("openai", ["hi"], "messages[0]"),
    ("openai", [USER, {"role": "boss", "content": "hi"}], "messages[1].role"),
    ("openai", [USER, {"content": "hi"}], "messages[1].role"),
    ("openai", [user("hi", mood="good")], "messages[0].mood"),
    ("openai", [user("hi", tool_call_id="a")], "messages[0].tool_call_id"),
    ("openai", [user("hi", name="two words")], "messages[0].name"),
    ("openai", [{"role": "user"}], "messages[0].content"),
    ("openai", [USER, user(None)], "messages[1].content"),
    ("openai", [user(7)], "messages[0].content"),
    ("openai", [user([])], "messages[0].content"),
    ("openai", [user([{"type": "smell"}])], "messages[0].content[0].type"),
    ("openai", [user([{"type": "image_url"}])], "messages[0].content[0].image_url"),
    ("openai", [user([IMAGE]), {"role": "system", "content": [IMAGE]}], "messages[1].content[0].type"),
    ("openai", [USER, {"role": "function", "content": "x"}], "messages[1].name"),
    ("openai", [USER, {"role": "function", "name": "f", "content": 1}], "messages[1].content"),
    ("openai", [USER, says()], "messages[1]"),
    ("openai", [USER, says(content=None)], "messages[1]"),
    ("openai", [USER, says(content="a", reasoning_content="b")], "messages[1].reasoning_content"),
    ("openai", [USER, says(content="a", refusal=1)], "messages[1].refusal"),
    ("openai", [USER, says(content="a", tool_calls=[])], "messages[1].tool_calls"),
    ("openai", [USER, says(content="a", tool_calls=None)], "messages[1].tool_calls"),
    ("openai", [USER, says(tool_calls=[{}])], "messages[1].tool_calls[0].id"),
    ("openai", [USER, says(function_call={"name": "f"})], "messages[1].function_call.arguments"),
    ("openai", [USER, says(tool_calls=[call("a"), call("a")]), result("a")], "messages[1].tool_calls"),
    ("openai", [USER, result("a")], "messages[1]"),
    ("openai", [USER, CALLS], "messages[1]"),
    ("openai", [USER, CALLS, result("a")], "messages[1]"),
    ("openai", [USER, CALLS, result("a"), USER, result("b")], "messages[1]"),
    ("openai", [USER, CALLS, result("a"), result("b"), result("c")], "messages[4].tool_call_id"),
    ("openai", [USER, CALLS, result("a"), result("b"), result("b")], "messages[4].tool_call_id"),
    ("openai", [USER, CALLS, result("a"), result("b"), result(None)], "messages[4].tool_call_id"),
    ("deepseek", [USER, {"role": "system", "content": "x"}], "messages[1]"),
    ("deepseek", [{"role": "developer", "content": "x"}, USER], "messages[0].role"),
    ("deepseek", [says(content="x", prefix=True), USER], "messages[0].prefix"),
    ("deepseek", [USER, says(content="x", prefix=1)], "messages[1].prefix"),
    ("deepseek", [user("hi", prefix=True)], "messages[0].prefix"),
]


@pytest.fixture(scope="module")
def strict():
    with LocalProvider() as one, LocalProvider(dialect="deepseek") as other:
        yield {"openai": one, "deepseek": other}


@pytest.mark.parametrize(
    ("dialect", "change", "place"),
    [*ILLEGAL, *((dialect, {"messages": messages}, place) for dialect, messages, place in ILLEGAL_MESSAGES)],
)
def test_illegal_requests_are_told_where_they_are_wrong(strict, dialect, change, place):
    body = {**chat(), **change}
    status, _, raw = post(strict[dialect], body=body)
    error = json.loads(raw)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == (place if dialect == "openai" else None), "DeepSeek tells no place"
    assert problems(body, dialect)[0].startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "could not parse the JSON body"),
        (b'{"n": NaN}', "NaN is not JSON"),
        (b'{"model": "\xff"}', "not valid UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"[" * 100_000, "could not parse the JSON body"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_bodies_that_cannot_be_read(provider, body, message, path):
    status, _, raw = post(provider, path, body)
    assert status == 400
    assert message in json.loads(raw)["error"]["message"]


LEGAL_MESSAGES = [
    ("openai", [USER, {"role": "system", "content": "late"}, user("hi", name="Bo")]),
    ("openai", [{"role": "developer", "content": [{"type": "text", "text": "x"}]}, user([IMAGE])]),
    ("openai", [USER, CALLS, result("b"), {**result("a"), "name": "f"}, says(content="")]),
    ("openai", [USER, says(content=None, refusal="no", annotations=[]), USER]),
    ("openai", [USER, says(function_call={"name": "f", "arguments": ""})]),
    ("openai", [USER, says(content=[{"type": "refusal", "refusal": "no"}])]),
    ("deepseek", [USER, says(content="x", tool_calls=None, reasoning_content=None), USER]),
    ("deepseek", [{"role": "system", "content": "x"}, USER, says(content="x", prefix=True)]),
]


@pytest.mark.parametrize(("dialect", "messages"), LEGAL_MESSAGES)
def test_legal_messages(dialect, messages):
    assert problems(chat(messages), dialect) == []


def test_legal_parameters():
    body = chat(
        tools=TOOLS, tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False,
        n=2, stream=True, stream_options={"include_usage": True}, temperature=0, top_p=None, stop="x",
        seed=-1, response_format={"type": "text"}, metadata={"a": "b"}, prompt_cache_key="k",
    )  # fmt: skip
    assert problems(body) == []
    assert problems({**body, "thinking": {"type": "disabled"}, "user_id": "u"}, "deepseek") == []


def test_three_rules_for_reasoning_sent_back():
    said = says(content="a")
    bare = chat([USER, said, USER], tools=TOOLS)
    full = chat([USER, {**said, "reasoning_content": ""}, USER], tools=TOOLS)
    assert problems(full, "deepseek", reasoning="accept") == problems(bare, reasoning="accept") == []
    assert problems(full, reasoning="accept") == []
    assert problems(full, "deepseek", reasoning="refuse")[0].startswith("messages[1].reasoning_content")
    assert problems(bare, "deepseek")[0].startswith("messages[1].reasoning_content")
    assert problems(full, "deepseek", reasoning="require") == []
    assert problems({**bare, "thinking": {"type": "disabled"}}, "deepseek", reasoning="require") == []
    with LocalProvider(dialect="deepseek", reasoning="require") as provider:
        assert post(provider, body=bare)[0] == 400
        assert post(provider, body=full)[0] == 200


def test_a_lenient_provider_answers_anything_that_is_an_object():
    with LocalProvider(strict=False) as provider:
        for body in (
            {},
            {"messages": [None]},
            {"messages": HI, "n": "x", "colour": 1},
            {"messages": {"a": 1}},
        ):
            assert post(provider, body=body)[0] == 200
        assert post(provider, "/v1/embeddings", {})[0] == 200
        assert post(provider, body=[])[0] == 400


# Properties.


TEXTS = st.text("a 茶\n😀", max_size=5)
CONTENTS = TEXTS | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS), min_size=1, max_size=2
)


@st.composite
def rounds(draw):
    turns = [user(draw(CONTENTS))]
    for group in range(draw(st.integers(0, 2))):
        ids = [f"call_{group}_{index}" for index in range(draw(st.integers(1, 3)))]
        # What every provider of the two takes beside calls: a string.
        turns.append(says(content=draw(TEXTS), tool_calls=[call(each) for each in ids]))
        turns.extend(result(each) for each in draw(st.permutations(ids)))
    return [*turns, says(content=draw(st.text("a 茶\n😀", min_size=1, max_size=5)))]


@st.composite
def conversations(draw):
    system = draw(st.lists(st.just({"role": "system", "content": "be kind"}), max_size=2))
    messages = [turn for each in draw(st.lists(rounds(), min_size=1, max_size=3)) for turn in each]
    return [*system, *messages, USER]


def without(message, field):
    return {name: value for name, value in message.items() if name != field}


# Each turns one message of the given role into the messages that make the conversation illegal.
MUTATIONS = {
    "unknown field": ("user", lambda old: [{**old, "mood": 1}]),
    "bad role": ("user", lambda old: [{**old, "role": "boss"}]),
    "no content": ("user", lambda old: [without(old, "content")]),
    "content of wrong type": ("assistant", lambda old: [{**old, "content": 7}]),
    "empty assistant": ("assistant", lambda _: [says()]),
    "orphan result": ("user", lambda old: [result("lost"), old]),
    "result lost": ("tool", lambda _: []),
    "result twice": ("tool", lambda old: [old, old]),
    "result without id": ("tool", lambda old: [without(old, "tool_call_id")]),
    "interrupted results": ("tool", lambda old: [USER, old]),
    "not an object": ("user", lambda _: [None]),
}


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "text", "user", "assistant"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "id"]), inner)
    ),
    max_leaves=4,
)
FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name", "prefix", "reasoning_content", "refusal")
ODD = st.lists(ANYTHING | st.dictionaries(st.sampled_from(FIELDS), ANYTHING), min_size=1, max_size=3)


@given(ODD, st.fixed_dictionaries({}, optional={"tools": ANYTHING, "response_format": ANYTHING}))
def test_whatever_json_is_sent_is_judged_and_told(messages, options):
    for dialect in DIALECTS.values():
        found = chat_problems(chat(messages, **options), dialect, dialect.reasoning)
        if found:
            assert refusal_of(found, dialect).status in {400, 422, 500}


@settings(deadline=None)
@given(conversations(), st.sampled_from(["openai", "deepseek"]))
def test_legal_conversations_have_no_problems(messages, dialect):
    assert problems(chat(messages), dialect) == []


@given(
    conversations(), st.sampled_from(["openai", "deepseek"]), st.sampled_from(sorted(MUTATIONS)), st.data()
)
def test_one_illegal_change_is_found(messages, dialect, mutation, data):
    role, change = MUTATIONS[mutation]
    candidates = [index for index, message in enumerate(messages) if message["role"] == role]
    if not candidates:
        return
    at = data.draw(st.sampled_from(candidates))
    changed = [*messages[:at], *change(messages[at]), *messages[at + 1 :]]
    found = problems(chat(changed), dialect)
    assert found
    assert all(re.match(r"messages\[\d+\]", problem) for problem in found)
