"""What is read of an error: each vendor's words, in the bodies in which they come."""

from __future__ import annotations

import json
import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.providers.refusal import Refusal, read_refusal

TOO_LONG = [
    (
        (
            "This model's maximum context length is 65536 tokens. However, you requested 65600 tokens "
            "(61504 in the messages, 4096 in the completion). Please reduce the length of the messages."
        ),
        65_536,
    ),
    (
        (
            "This model's maximum context length is 16,385 tokens. However, your messages resulted in 20011 "
            "tokens. Please reduce the length of the messages."
        ),
        16_385,
    ),
    (
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300123 tokens.",
        272_000,
    ),
    ("Your input exceeds the context window of this model. Please adjust your input and try again.", None),
    ("Requested token count exceeds the model's maximum context length of 32768 tokens", 32_768),
    ("The prompt is too long: 150000, model maximum context length: 131071", 131_071),
    ("prompt is too long: 201000 tokens > 200000 maximum", 200_000),
    ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease either", 200_000),
    ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1_048_576),
    ("Your input context is too long.", None),
    ("This model's maximum prompt length is 256000 but the request contains 300000 tokens.", 256_000),
    ("prompt tokens (250000) exceed model maximum (200000)", 200_000),
    ("Input is too long for requested model.", None),
    ("Range of input length should be [1, 129024]", 129_024),
    ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1,30720]", 30_720),
    ("Invalid request: Your request exceeded model token limit: 8192 (requested: 9001)", 8_192),
    ("Your request exceeded model token limit : 131072", 131_072),
    ("Input token length too long", None),
    ("Prompt exceeds max length", None),
    ("Prompt 超长，请检查。", None),
    ("Input length 40000 exceeds the maximum length 32768.", 32_768),
    ("Input length (9000 tokens) exceeds the maximum allowed length (8187 tokens).", 8_187),
    ("invalid params, context window exceeds limit (2013)", None),
    ("length of prompt_tokens (70000) must be less than max_seq_len (65536).", 65_536),
    ("max_total_tokens (33000) must be less than or equal to max_seq_len (32768)", 32_768),
    ("Prompt tokens too long", None),
    ("the max input characters is 20000", None),
    ("The input (40001 tokens) is longer than the model's context length (32768 tokens).", 32_768),
    (
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context "
            "length"
        ),
        32_768,
    ),
    ("Please reduce the length of the messages or completion.", None),
    (
        "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
        8_192,
    ),
    ("too many tokens: size limit exceeded by 1234 tokens. Try using shorter or fewer inputs", None),
    ("the request exceeds the available context size (4096 tokens), try increasing it", 4_096),
    ("the request exceeds the available context size. try increasing the context size", None),
    (
        (
            "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded "
            "with context length of only 4096 tokens, which is not enough."
        ),
        4_096,
    ),
    ("Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)", 4_096),
    ("Context size has been exceeded.", None),
    ("prompt too long; exceeded max context length by 12 tokens", None),
    ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 4_096),
    (
        (
            "You passed 4097 input tokens and requested 0 output tokens. However, the model's context length "
            "is only 4096 tokens, resulting in a maximum input length of 4096 tokens."
        ),
        4_096,
    ),
    ("prompt token count of 140000 exceeds the limit of 128000", 128_000),
    ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens", 4_096),
    ("The conversation does not fit the context window of 16384 tokens", 16_384),
]


@pytest.mark.parametrize(("text", "limit"), TOO_LONG, ids=[text[:40] for text, _ in TOO_LONG])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda text: text,
        lambda text: {"error": {"message": text, "type": "invalid_request_error", "param": None}},
        lambda text: {"message": text, "type": "BadRequestError", "param": None, "code": 400},
        lambda text: [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}],
        lambda text: {"error": text},
        lambda text: {"code": 20015, "message": text, "data": None},
        lambda text: {"object": "error", "message": text, "type": "invalid", "code": None},
        lambda text: json.dumps({"error": {"message": text}}).encode(),
        lambda text: {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps({"error": {"message": text}}), "provider_name": "X"},
            }
        },
    ],
    ids=["text", "openai", "unwrapped", "gemini", "nvidia", "siliconflow", "mistral", "bytes", "openrouter"],
)
def test_too_long_in_each_vendors_words_and_bodies(text, limit, wrapped):
    refusal = read_refusal(400, wrapped(text))
    assert refusal is not None
    assert (refusal.overflow, refusal.limit) == (True, limit)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"error": {"message": "Error", "code": "context_length_exceeded", "param": "messages"}}, None),
        ({"error": {"code": "1261", "message": "…"}}, None),
        ({"error": {"code": 1261, "message": "…"}}, None),
        ({"object": "error", "message": "too much", "code": "3051"}, None),
        ({"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 14_429, "n_ctx": 8_192}}, 8_192),
        ({"error_code": 336_007, "error_msg": "the max input characters is 20000"}, None),
        ({"error": {"code": "tokens_too_long", "message": "Prompt tokens too long"}}, None),
    ],
)
def test_too_long_by_a_code_or_a_field(body, limit):
    refusal = read_refusal(400, body)
    assert refusal is not None
    assert (refusal.overflow, refusal.limit) == (True, limit)


@pytest.mark.parametrize(
    "text",
    [
        "Range of max_tokens should be [1, 8192]",
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Invalid 'user': string too long. Expected a string with maximum length 64, but got 70.",
        "Invalid 'messages': array too long. Expected an array with maximum length 2048, got length 2049.",
        "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "Invalid value: 'narrator'. Supported values are: 'system', 'assistant' and 'user'.",
        "temperature must be between 0 and 2",
    ],
)
def test_other_refusals_are_not_too_long(text):
    refusal = read_refusal(400, {"error": {"message": text}})
    assert refusal is not None
    assert (refusal.overflow, refusal.limit) == (False, None)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "ThrottlingException: Too many tokens, please wait before trying again."),
        (400, "Your credit balance is too low to access the API."),
        (400, "Access denied, please make sure your account is in good standing. Arrearage"),
        (400, "API key not valid. API_KEY_INVALID"),
        (413, "Request too large on tokens per minute (TPM): Limit 6000, Requested 9000 rate_limit_exceeded"),
        (401, "prompt is too long: 201000 tokens > 200000 maximum"),
        (402, "Insufficient Balance"),
        (403, "Access denied."),
        (404, "No such model."),
        (408, "Timed out."),
        (409, "Conflict."),
        (429, "This model's maximum context length is 4096 tokens."),
        (500, "The server had an error while processing your request."),
        (502, "Bad gateway"),
        (503, "The engine is currently overloaded, please try again later"),
    ],
)
def test_what_is_not_about_the_request_is_none(status, text):
    assert read_refusal(status, {"error": {"message": text}}) is None


@pytest.mark.parametrize(
    ("status", "text", "overflow"),
    [
        (403, "The input (5000 tokens) is longer than the model's context length (4096 tokens).", True),
        (413, "<html><title>413 Request Entity Too Large</title></html>", True),
        (422, "Input should be a valid string", False),
        (500, "the request exceeds the available context size (4096 tokens), try increasing it", True),
        (500, "Your input context is too long.", True),
        (500, "Conversation roles must alternate user/assistant/user/assistant/...", False),
        (500, "the conversation cannot be rendered: a system message may only stand at the start", False),
        (503, "prompt is too long: 201000 tokens > 200000 maximum", True),
    ],
)
def test_statuses_that_are_about_the_request(status, text, overflow):
    refusal = read_refusal(status, {"error": {"message": text}})
    assert refusal is not None
    assert refusal.overflow is overflow


@pytest.mark.parametrize(
    ("text", "message", "fields"),
    [
        ("Unknown parameter: 'messages[3].annotations'.", 3, {"annotations"}),
        ("messages[2].tool_calls[0].function.arguments: expected a string", 2, {"tool_calls", "arguments"}),
        (
            (
                "Failed to deserialize the JSON body into the target type: messages.[4].content: invalid "
                "type: sequence, expected a string at line 1 column 210"
            ),
            4,
            {"content"},
        ),
        ("messages[1]: missing field `content`", 1, {"content"}),
        ("messages[0].role: unknown variant `developer`, expected one of `system`, `user`", 0, {"role"}),
        ("messages.5: all messages must have non-empty content except for the last", 5, {"content"}),
        ("Invalid '$.messages[7].name': string does not match the pattern", 7, {"name"}),
        ("Missing required parameter: 'input[6].call_id'.", 6, set()),
        (
            "Invalid request: the message at position 2 with role 'assistant' must not be empty",
            2,
            {"content"},
        ),
        (
            "thinking is enabled but reasoning_content is missing in assistant tool call message at index 9",
            9,
            {"reasoning_content"},
        ),
        (
            (
                "'messages.8' : for 'role:assistant' the following must be satisfied[('messages.8' : "
                "property 'reasoning' is unsupported)]"
            ),
            8,
            {"reasoning"},
        ),
        ("[{'loc': ('body', 'messages', 4, 'content'), 'msg': 'Field required'}]", 4, {"content"}),
        ("The `reasoning_content` in the thinking mode must be passed back.", None, {"reasoning_content"}),
        ("invalid params, tool call result does not follow tool call (2013)", None, {"tool_calls"}),
        ("invalid function arguments json string, tool_call_id: c1 (2013)", None, {"arguments"}),
        ("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.", None, {"tool_call_id"}),
        ("Unexpected role 'user' after role 'tool'", None, {"role"}),
        ("Invalid assistant message at 6: content or tool_calls must be set", 6, {"tool_calls"}),
        ("第 4 条消息的内容为空", 3, set()),
        (
            (
                "Function call is missing a thought_signature in functionCall parts, function call "
                "`default_api:f` , position 2."
            ),
            None,
            {"extra_content"},
        ),
        ("No endpoints found that support image input", None, {"image_url"}),
        ("Expecting value: line 1 column 3 at position 120", None, set()),
    ],
)
def test_the_message_and_the_fields_that_are_named(text, message, fields):
    refusal = read_refusal(400, {"error": {"message": text}})
    assert refusal is not None
    assert refusal.message == message
    assert fields <= refusal.fields


def test_a_validators_place_is_read():
    detail = [
        {"type": "extra_forbidden", "loc": ["body", "messages", 3, "assistant", "name"], "msg": "Extra"}
    ]
    refusal = read_refusal(422, {"object": "error", "message": {"detail": detail}, "type": "invalid"})
    assert refusal == Refusal(message=3, fields=frozenset({"name"}))


def test_words_of_the_conversation_that_an_error_repeats_are_not_the_providers():
    said = "my notes say: maximum context length is 4096 tokens"
    detail = [{"loc": ["body", "messages", 0, "content"], "msg": "Input should be a string", "input": said}]
    for body in ({"detail": detail}, {"error": {"message": str(detail)}}):
        refusal = read_refusal(400, body)
        assert refusal is not None
        assert (refusal.overflow, refusal.limit, refusal.message) == (False, None, 0)


@pytest.mark.parametrize("body", [None, "", {}, [], {"error": None}, {"error": {"message": 7}}, b"\xff", 3.5])
def test_bodies_that_say_nothing(body):
    assert read_refusal(400, body) == Refusal()
    assert read_refusal(500, body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.integers(100, 599), JSON)
def test_any_body_is_read(status, body):
    refusal = read_refusal(status, body)
    assert refusal is None or isinstance(refusal, Refusal)


def test_every_row_says_who_and_where():
    text = resources.files("convmem.providers").joinpath("refusals.toml").read_text(encoding="utf-8")
    for rows in tomllib.loads(text).values():
        for row in rows:
            assert row["pattern"]
            assert row["who"]
            assert "20" in row["seen"], "a year"
