"""Whose rules the local provider follows, and how each vendor says no."""

from __future__ import annotations

import json

import openai
import pytest
from tests.local_provider.asking import (
    HI,
    IMAGE,
    TOOLS,
    USER,
    call,
    chat,
    connect,
    events,
    post,
    result,
    says,
    user,
)

from convmem.testing import LocalProvider, Reply, ToolCall
from convmem.testing.provider import DIALECTS, dialect_of, problems

# The model's name tells the dialect.


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("deepseek-flash", "deepseek"),
        ("deepseek/deepseek-v4-pro", "deepseek"),
        ("DeepSeek-V3.2", "deepseek-v3.2"),
        ("deepseek-r1-distill-qwen-32b", "deepseek-r1"),
        ("kimi-k3", "kimi"),
        ("moonshotai/kimi-k2.6", "kimi"),
        ("glm-5.3-flash", "glm"),
        ("MiniMax-M3", "minimax"),
        ("Qwen/Qwen3.8-27B", "qwen"),
        ("open-mistral-nemo", "mistral"),
        ("codestral-2508", "mistral"),
        ("claude-sonnet-5-5", "anthropic"),
        ("models/gemini-3.8-flash", "gemini"),
        ("grok-4.7", "xai"),
        ("doubao-seed-2-1-pro-260915", "doubao"),
        ("gpt-6-luna", "openai"),
        ("my-finetune", "openai"),
        (None, "openai"),
    ],
)
def test_the_name_of_a_model_tells_whose_rules_it_is_served_by(model, dialect):
    assert dialect_of(model) == dialect


def test_without_a_dialect_each_request_is_answered_by_the_rules_of_its_model(provider):
    thought = says(content="a", reasoning_content="b")
    for model, status in (("gpt-6-luna", 400), ("deepseek-flash", 200), ("kimi-k3", 200), ("grok-4.7", 400)):
        assert post(provider, body={**chat([USER, thought, USER]), "model": model})[0] == status, model
    deployed = "/openai/deployments/deepseek-flash/chat/completions"
    assert post(provider, deployed, {"messages": [USER, thought, USER]})[0] == 200
    assert provider.dialect is None


def test_a_dialect_that_is_given_stays_whatever_the_model():
    with LocalProvider(dialect="openai") as provider:
        body = {**chat([USER, says(content="a", reasoning_content="b"), USER]), "model": "deepseek-flash"}
        assert post(provider, body=body)[0] == 400


def test_errors_that_have_nothing_to_do_with_messages_are_the_models_too(provider):
    body = {**chat(), "model": "glm-5.3"}
    assert json.loads(post(provider, body=body, headers={})[2]) == {
        "error": {"code": "1000", "message": "You didn't provide an API key."}
    }
    assert "error" in json.loads(post(provider, "/nowhere", body)[2])


# Each rule: the messages, by what the provider must say. The words are those of users' reports.

CALL = says(tool_calls=[call("abc123def")])
EMPTY = [USER, says(content=""), USER]
ROUND = [result("abc123def"), says(content="x"), USER]
THINKING = {"reasoning_content": "hm"}

REFUSED = [
    ("deepseek", [USER, {**CALL, **THINKING}, *ROUND], 400, "messages[1]: missing field `content`"),
    (
        "deepseek",
        [USER, {**CALL, **THINKING, "content": None}, *ROUND],
        400,
        "invalid type: null, expected a string",
    ),
    (
        "deepseek",
        [USER, says(content=[{"type": "text", "text": "a"}]), USER],
        400,
        "messages[1]: invalid type: sequence, expected a string",
    ),
    ("deepseek", EMPTY, 400, "Invalid assistant message: content or tool_calls must be set"),
    ("deepseek", [USER, says(content="", **THINKING), USER], 400, "content or tool_calls must be set"),
    ("deepseek", [USER, {"role": "human", "content": "x"}], 400, "unknown variant `human`"),
    ("deepseek", [result("a"), USER], 400, "must be a response to a preceding message with 'tool_calls'"),
    ("deepseek", [USER, {**CALL, "content": ""}, USER], 400, "insufficient tool messages following"),
    (
        "deepseek-r1",
        [USER, USER],
        400,
        "does not support successive user or assistant messages (messages[0] and messages[1]",
    ),
    (
        "deepseek-r1",
        [says(content="a"), USER],
        400,
        "must be a user message, but an assistant message detected",
    ),
    (
        "deepseek-r1",
        [USER, says(content="a")],
        400,
        "must be a user message, or an assistant message with prefix",
    ),
    ("kimi", EMPTY, 400, "the message at position 1 with role 'assistant' must not be empty"),
    ("kimi", [user("")], 400, "the message at position 0 with role 'user' must not be empty"),
    ("kimi", [user([{"type": "text", "text": ""}])], 400, "text content is empty"),
    (
        "kimi",
        [USER, {**CALL, "content": ""}, *ROUND],
        400,
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ),
    ("kimi", [USER, {**CALL, "reasoning_content": ""}, *ROUND], 400, "reasoning_content is missing"),
    ("glm", EMPTY, 400, "The messages parameter is illegal. Please check the documentation."),
    (
        "minimax",
        [result("a"), USER],
        400,
        "invalid params, tool call result does not follow tool call (2013)",
    ),
    (
        "minimax",
        [USER, {**CALL, "content": ""}, result("other"), USER],
        400,
        "tool result's tool id(other) not found (2013)",
    ),
    (
        "minimax",
        [
            USER,
            says(content="", tool_calls=[{**call("a"), "function": {"name": "f", "arguments": "{oh"}}]),
            result("a"),
        ],
        400,
        "invalid function arguments json string, tool_call_id: a (2013)",
    ),
    ("qwen", [result("a"), USER], 400, "must be a response to a preceeding message"),
    ("mistral", [USER, CALL, result("abc123def"), USER], 400, "Unexpected role 'user' after role 'tool'"),
    (
        "mistral",
        [USER, {"role": "system", "content": "x"}],
        400,
        "Unexpected role 'system' after role 'user'",
    ),
    (
        "mistral",
        [USER, says(content="a")],
        400,
        "Expected last role User or Tool (or Assistant with prefix True)",
    ),
    ("mistral", [USER, says(tool_calls=[call("call_1")]), result("call_1")], 400, "with a length of 9"),
    ("mistral", [user("a", name="Ana")], 422, "Extra inputs are not permitted"),
    ("mistral", [USER, says(content="a", **THINKING), USER], 422, "extra_forbidden"),
    ("anthropic", EMPTY, 400, "all messages must have non-empty content"),
    ("anthropic", [USER, {**CALL, "content": ""}, *ROUND], 400, "text content blocks must be non-empty"),
    ("anthropic", [user(" \n")], 400, "text content blocks must contain non-whitespace text"),
    ("anthropic", [says(content="a"), USER], 400, 'first message must use the "user" role'),
    ("anthropic", [USER, says(content="a")], 400, "does not support assistant message prefill"),
    ("anthropic", [USER, USER], 400, "roles must alternate"),
    ("groq", [USER, says(content="a", **THINKING), USER], 400, "property 'reasoning_content' is unsupported"),
    ("groq", [USER, says(content="a", annotations=[]), USER], 400, "property 'annotations' is unsupported"),
    ("xai", [{"role": "system", "name": "x", "content": "a"}, USER], 400, "messages[0].name"),
    ("doubao", [USER, CALL, *ROUND], 400, "missing `messages.content` parameter"),
    (
        "ollama",
        [USER, says(tool_calls=[{**call("a"), "function": {"name": "f", "arguments": ""}}]), result("a")],
        400,
        "invalid tool call arguments",
    ),
    ("openai", [user("hi", status="completed")], 400, "Unknown parameter: 'messages[0].status'."),
    ("openai", [{"role": "human", "content": "x"}], 400, "Invalid value: 'human'."),
    ("openai", [USER, says(tool_calls=[call("x" * 41)]), result("x" * 41)], 400, "maximum length 40"),
    ("openai", [user([{"type": "text", "text": "a", "cache_control": {}}])], 400, "cache_control"),
    ("openai", [USER, says(content="a")] * 1_024 + [USER], 400, "array with length 2049"),
    ("gemini", [USER, CALL, result("abc123def")], 400, "missing a thought_signature"),
]


@pytest.fixture(scope="module")
def vendors():
    """One local provider for each dialect that is asked here."""
    running = {name: LocalProvider(dialect=name).start() for name in DIALECTS}
    yield running
    for provider in running.values():
        provider.close()


@pytest.mark.parametrize(
    ("dialect", "messages", "status", "words"),
    REFUSED,
    ids=[f"{dialect}-{number}" for number, (dialect, *_) in enumerate(REFUSED)],
)
def test_a_vendor_refuses_in_its_own_words(vendors, dialect, messages, status, words):
    options = {"tools": TOOLS} if any(message.get("tool_calls") for message in messages) else {}
    answered, _, raw = post(vendors[dialect], body=chat(messages, **options))
    text = json.dumps(json.loads(raw), ensure_ascii=False)
    assert answered == status
    assert words in text.replace('\\"', '"')


SENT = {
    "deepseek": {**CALL, **THINKING, "content": ""},
    "kimi": {**CALL, **THINKING, "content": ""},
    "glm": {**CALL, **THINKING, "content": ""},
    "minimax": {**CALL, **THINKING, "content": ""},
    "qwen": {**CALL, "content": None},
    "mistral": CALL,
    "anthropic": CALL,
    "openrouter": {**CALL, "content": "", "reasoning": "hm", "reasoning_details": []},
    "groq": {**CALL, "reasoning": "hm"},
    "xai": {**CALL, "content": ""},
    "doubao": {**CALL, "content": ""},
    "siliconflow": {**CALL, **THINKING, "content": ""},
    "together": {**CALL, "content": "", "reasoning": "hm"},
}


@pytest.mark.parametrize(("dialect", "turn"), SENT.items(), ids=[*SENT])
def test_what_a_vendor_takes_back_is_taken(dialect, turn):
    said = {"reasoning_content": ""} if dialect == "deepseek" else {}
    after = [ROUND[0], {**ROUND[1], **said}, USER]
    assert problems(chat([USER, turn, *after], tools=TOOLS), dialect) == []


def test_thinking_of_some_kimi_models_cannot_be_switched_off():
    body = chat([USER, {**CALL, "content": ""}, *ROUND], tools=TOOLS, thinking={"type": "disabled"})
    assert problems({**body, "model": "kimi-k2.6"}, "kimi") == []
    assert problems({**body, "model": "kimi-k3"}, "kimi")


@pytest.mark.parametrize(
    ("dialect", "options", "place"),
    [
        ("kimi", {"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ("kimi", {"temperature": 0.3}, "temperature"),
        ("deepseek", {"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        ("minimax", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0]"),
        ("xai", {"stop": "x"}, "stop"),
        ("qwen", {"response_format": {"type": "json_object"}}, "messages"),
    ],
)
def test_parameters_that_one_vendor_refuses(dialect, options, place):
    assert problems(chat(**options), dialect)[0].startswith(place)
    assert problems(chat(**options), "openai" if "json_object" not in str(options) else "vllm") == []


def test_pictures_go_to_models_that_see(vendors):
    seen = chat([user([IMAGE])])
    assert post(vendors["deepseek"], body={**seen, "model": "deepseek-flash"})[0] == 200
    status, _, raw = post(vendors["deepseek"], body={**seen, "model": "deepseek-v4-pro"})
    assert status == 400
    assert b"unknown variant `image_url`, expected `text`" in raw


def test_half_a_surrogate_pair_is_refused(provider):
    body = b'{"model": "m", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    assert post(provider, body=body)[0] == 400
    assert post(provider, body=body.replace(b"\\ud83d", b"\\ud83d\\ude00"))[0] == 200
    given = b'{"model": "m", "input": "\\ud83d"}'
    assert post(provider, "/v1/responses", given)[0] == 400


SHAPES = {
    "kimi": ["error"],
    "glm": ["error"],
    "minimax": ["error", "request_id", "type"],
    "qwen": ["error", "request_id"],
    "mistral": ["code", "message", "object", "param", "type"],
    "openrouter": ["error", "user_id"],
    "xai": ["code", "error"],
    "siliconflow": ["code", "data", "message"],
    "together": ["error", "id"],
}


@pytest.mark.parametrize(("dialect", "keys"), SHAPES.items(), ids=[*SHAPES])
def test_the_bodies_of_errors(vendors, dialect, keys):
    assert sorted(json.loads(post(vendors[dialect], body=chat([]))[2])) == keys


# Replies carry reasoning, and stand for no content, as the vendor's do.


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("deepseek", {"content": "so", "reasoning_content": "hm"}),
        ("openrouter", {"content": "so", "reasoning": "hm"}),
        ("groq", {"content": "so", "reasoning": "hm"}),
        ("minimax", {"content": "<think>\nhm\n</think>\n\nso"}),
        (
            "mistral",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "so"},
                ]
            },
        ),
    ],
)
def test_where_reasoning_stands_in_replies(vendors, dialect, expected):
    vendors[dialect].script(Reply("so", reasoning_content="hm"))
    message = json.loads(post(vendors[dialect], body=chat())[2])["choices"][0]["message"]
    assert {key: message[key] for key in expected} == expected


def test_minimax_sets_reasoning_apart_when_it_is_asked_to(vendors):
    provider = vendors["minimax"]
    provider.script(*[Reply("so", reasoning_content="hm")] * 2)
    split = json.loads(post(provider, body=chat(reasoning_split=True))[2])["choices"][0]["message"]
    assert (split["content"], split["reasoning_details"][0]["text"]) == ("so", "hm")
    newer = json.loads(post(provider, body={**chat(), "model": "MiniMax-M3.1-Flash"})[2])
    assert newer["choices"][0]["message"]["reasoning_content"] == "hm"


@pytest.mark.parametrize("dialect", ["deepseek", "minimax", "mistral", "openrouter"])
def test_a_stream_says_what_the_whole_reply_says(vendors, dialect):
    provider = vendors[dialect]
    provider.script(*[Reply("京都 it is", reasoning_content="where, then", chunk_size=3)] * 2)
    whole = json.loads(post(provider, body=chat())[2])["choices"][0]["message"]
    chunks, _ = events(post(provider, body=chat(stream=True))[2])
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert _said(deltas) == _said([whole])


def _said(messages) -> dict[str, str]:
    said = {"text": "", "thought": ""}
    for message in messages:
        content = message.get("content") or ""
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            said["text"] += part.get("text", "")
            said["thought"] += "".join(each["text"] for each in part.get("thinking", ()))
        said["thought"] += message.get("reasoning_content") or message.get("reasoning") or ""
    return said


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_what_a_provider_says_beside_calls_it_takes_back(vendors, dialect):
    provider = vendors[dialect]
    provider.script(Reply(tool_calls=[ToolCall("f"), ToolCall("f")], reasoning_content="hm"))
    options = {"tools": TOOLS}
    message = json.loads(post(provider, body=chat(**options))[2])["choices"][0]["message"]
    if DIALECTS[dialect].reasoning == "refuse":
        message.pop(DIALECTS[dialect].reasoning_field, None)
    message = {key: value for key, value in message.items() if key != "refusal"}
    results = [result(each["id"]) for each in message["tool_calls"]]
    status, _, raw = post(provider, body=chat([USER, message, *results], **options))
    assert status == 200, raw


# Replies that say nothing, or say it aloud.


def test_a_reply_that_is_cut_while_the_model_thinks(provider, client):
    provider.script(*[Reply.cut_while_thinking("first, and then")] * 2)
    choice = client.chat.completions.create(model="m", messages=HI).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("length", "")
    assert choice.message.reasoning_content == "first, and then"
    response = client.responses.create(model="m", input="hi")
    assert (response.status, [item.type for item in response.output]) == ("incomplete", ["reasoning"])


def test_an_empty_reply_ends_by_itself(provider, client):
    provider.script(Reply.empty())
    choice = client.chat.completions.create(model="m", messages=HI).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("stop", "")


def test_a_spoken_reply_has_its_words_in_the_transcript(provider):
    provider.script(*[Reply.spoken("Hello from the quay.")] * 2)
    with connect(provider) as client:
        message = client.chat.completions.create(model="m", messages=HI).choices[0].message
        assert (message.content, message.audio.transcript) == (None, "Hello from the quay.")
        heard = ""
        for chunk in client.chat.completions.create(model="m", messages=HI, stream=True):
            heard += chunk.choices[0].delta.to_dict().get("audio", {}).get("transcript", "")
    assert heard == "Hello from the quay."


# The Responses API.


def test_reasoning_and_what_it_led_to_go_together(provider, client):
    provider.script(Reply("so", reasoning_content="hm"))
    thought, said = client.responses.create(model="m", input="hi").output
    opening, more = {"role": "user", "content": "hi"}, {"role": "user", "content": "and?"}
    thought, said = thought.model_dump(exclude_none=True), said.model_dump(exclude_none=True)

    def given(*items):
        return client.responses.create(model="m", input=[opening, *items, more])

    assert given(thought, said).status == "completed"
    with pytest.raises(openai.BadRequestError, match="without its required following item"):
        given(thought)
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        given(said)
    bare = {key: value for key, value in said.items() if key != "id"}
    assert given(bare).status == "completed"
    with pytest.raises(openai.NotFoundError, match="not found"):
        given({"type": "reasoning", "id": "rs_elsewhere", "summary": []}, bare)
    carried = {"type": "reasoning", "id": "rs_elsewhere", "summary": [], "encrypted_content": "x"}
    assert given(carried, bare).status == "completed"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"role": "user", "content": "x", "tool_calls": []}, "Unknown parameter: 'input[0].tool_calls'."),
        ({"role": "assistant", "content": "x", "reasoning_content": "y"}, "input[0].reasoning_content"),
        ({"role": "human", "content": "x"}, "input[0].role"),
        ({"type": "reasoning", "id": "rs_1"}, "input[0].summary"),
        ({"role": "assistant", "id": "chatcmpl-1", "content": "x"}, "begins with 'msg'"),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "x", "annotations": []}]},
            "annotations",
        ),
    ],
)
def test_items_with_fields_of_another_api_are_refused(client, item, words):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input=[item])
    assert words in str(caught.value)
