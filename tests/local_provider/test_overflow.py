"""Requests that are longer than a model's context."""

from __future__ import annotations

import json

import openai
import pytest
from tests.local_provider.asking import HI, IMAGE, chat, post, user
from tests.tiktoken_tables import unpack

from convmem.testing import LocalProvider
from convmem.testing.provider import DIALECTS
from convmem.testing.provider.overflow import ceiling_tokens, request_tokens

LONG = [user("The ferry leaves the pier at nine. " * 400)]
COUNT = request_tokens(chat(LONG))

# What is said, by dialect: the numbers it names are the limit and how long the request is.
SAID = {
    "anthropic": f"prompt is too long: {COUNT} tokens > 1000 maximum",
    "deepseek": (
        f"This model's maximum context length is 1000 tokens. However, you requested {COUNT} tokens "
        f"({COUNT} in the messages, 0 in the completion). Please reduce the length"
    ),
    "doubao": f"Input length {COUNT} exceeds the maximum length 1000.",
    "gemini": f"The input token count ({COUNT}) exceeds the maximum number of tokens allowed (1000).",
    "glm": "Prompt exceeds max length",
    "groq": "Please reduce the length of the messages or completion.",
    "kimi": f"Your request exceeded model token limit: 1000 (requested: {COUNT})",
    "llama.cpp": "the request exceeds the available context size",
    "minimax": "invalid params, context window exceeds limit (2013)",
    "mistral": f"Prompt contains {COUNT} tokens and 0 draft tokens, too large for model with 1000 maximum",
    "ollama": f"prompt too long; exceeded max context length by {COUNT - 1000} tokens",
    "openai": f"maximum context length is 1000 tokens. However, your messages resulted in {COUNT} tokens",
    "openrouter": f"maximum context length is 1000 tokens. However, you requested about {COUNT} tokens",
    "qwen": "Range of input length should be [1, 1000]",
    "siliconflow": f"length of prompt_tokens ({COUNT}) must be less than max_seq_len (1000).",
    "together": f"The input ({COUNT} tokens) is longer than the model's context length (1000 tokens).",
    "vllm": f"However, your request has {COUNT} input tokens.",
    "xai": f"This model's maximum prompt length is 1000 but the request contains {COUNT} tokens.",
}


@pytest.mark.parametrize(("dialect", "words"), SAID.items(), ids=[*SAID])
def test_what_is_too_long_is_refused_in_the_words_of_the_vendor(dialect, words):
    with LocalProvider(dialect=dialect, context_limit=1_000) as provider:
        assert post(provider, body=chat())[0] == 200
        status, _, raw = post(provider, body=chat(LONG))
    assert status == 400
    assert words in raw.decode()


def test_every_dialect_can_say_it():
    for dialect in DIALECTS:
        with LocalProvider(dialect=dialect, context_limit=1_000) as provider:
            assert post(provider, body=chat(LONG))[0] == 400, dialect


def test_what_vendors_add_to_the_words():
    bodies = {}
    for dialect in ("llama.cpp", "glm", "mistral", "siliconflow", "groq"):
        with LocalProvider(dialect=dialect, context_limit=1_000) as provider:
            bodies[dialect] = json.loads(post(provider, body=chat(LONG))[2])
    error = bodies["llama.cpp"]["error"]
    assert (error["type"], error["n_ctx"], error["n_prompt_tokens"]) == (
        "exceed_context_size_error",
        1_000,
        COUNT,
    )
    assert bodies["glm"]["error"]["code"] == "1261"
    assert bodies["mistral"]["code"] == "3051"
    assert bodies["siliconflow"]["code"] == 20015
    assert (bodies["groq"]["error"]["code"], bodies["groq"]["error"]["param"]) == (
        "context_length_exceeded",
        "messages",
    )


def test_openai_has_three_ways_to_say_it():
    with (
        LocalProvider(context_limit=1_000) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
    ):
        for model, words in (
            ("gpt-4o", "maximum context length is 1000 tokens"),
            ("gpt-6-luna", "Input tokens exceed the configured limit of 1000 tokens"),
        ):
            with pytest.raises(openai.BadRequestError, match=words) as caught:
                client.chat.completions.create(model=model, messages=LONG)
            assert caught.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError, match="exceeds the context window of this model"):
            client.responses.create(model="gpt-6-luna", input=LONG)


def test_what_the_provider_has_kept_counts_too():
    with (
        LocalProvider(context_limit=1_000) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as client,
    ):
        words = "The ferry leaves the pier at nine. " * 40
        first = client.responses.create(model="m", input=words)
        second = client.responses.create(model="m", input="and?", previous_response_id=first.id)
        with pytest.raises(openai.BadRequestError, match="context window"):
            client.responses.create(model="m", input=words, previous_response_id=second.id)


def test_the_wanted_output_counts_and_a_refused_request_takes_nothing_from_the_script():
    with LocalProvider(dialect="deepseek", context_limit=1_000) as provider:
        assert post(provider, body=chat(max_tokens=900))[0] == 200
        status, _, raw = post(provider, body=chat(max_tokens=1_000))
        assert (status, b"1000 in the completion" in raw) == (400, True)
    with pytest.raises(ValueError, match="context_limit"):
        LocalProvider(context_limit=0)


def test_a_picture_and_tools_count():
    assert request_tokens(chat([user([IMAGE])])) > 1_000
    tool = {"type": "function", "function": {"name": "f", "description": "word " * 100, "parameters": {}}}
    assert request_tokens(chat(HI, tools=[tool])) > request_tokens(chat(HI)) + 100


TEXTS = {
    "English": "The harbour master rang the bell twice, and nobody came down to the boats that evening. "
    * 20,
    "Chinese": "港务长敲了两次钟，那天晚上谁也没有到船上来。第二天早上，三号码头空了。" * 20,
    "both": "Alma 停在 pier 3，船长说 the mast is of ash. " * 20,
    "code": "def haul(rope: Rope, *, by: int = 1) -> None:\n    for each in range(by):\n        pull(each)\n"
    * 20,
    "figures": "1024 3.14159 2026-11-29 18:45:07 +86 138 0000 1234 " * 20,
    "JSON": '{"name": "Alma", "berth": 3, "tags": ["ash", "两桅"], "at": null}' * 20,
    "capitals": "GALE WARNING FOR ALL VESSELS NORTH OF THE SKERRY " * 20,
}


def test_tokens_are_counted_at_least_as_high_as_a_real_tokenizer_does(tmp_path, monkeypatch):
    tiktoken = pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(unpack(tmp_path)))
    real = tiktoken.get_encoding("o200k_base")
    for name, text in TEXTS.items():
        assert len(real.encode(text)) <= ceiling_tokens(text) < 3 * len(real.encode(text)), name
