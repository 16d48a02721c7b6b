"""What providers' usage fields say, each in its own words."""

from __future__ import annotations

import pytest

from convmem.wire.usage import cached_tokens, counted

CHAT = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
RESPONSES = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        (None, None),
        ({}, None),
        (CHAT, None),
        ({"prompt_tokens_details": {"cached_tokens": 64}}, 64),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 7}, 0),
        ({"prompt_tokens_details": {"cached_tokens": None}, "cached_tokens": 7}, 7),
        ({"input_tokens_details": {"cached_tokens": 64}}, 64),
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, 64),
        ({"cached_tokens": 64}, 64),
        ({"prompt_tokens_details": None}, None),
        ({"prompt_tokens_details": 64}, None),
        ({"cached_tokens": True}, None),
        ({"cached_tokens": -1}, None),
        ({"cached_tokens": 1.5}, None),
    ],
)
def test_tokens_from_the_cache(usage, cached):
    assert cached_tokens(usage) == cached


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (CHAT, (100, 0, 20, None)),
        (RESPONSES, (100, 0, 20, None)),
        (
            {**CHAT, "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 10}},
            (100, 64, 20, 10),
        ),
        (
            {**RESPONSES, "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0}},
            (100, 64, 20, 0),
        ),
        # More from the cache than there was is no count.
        ({**CHAT, "cached_tokens": 500}, (100, 100, 20, None)),
        # Gemini's reasoning is in the total alone.
        ({**CHAT, "total_tokens": 170}, (100, 0, 70, None)),
        ({**CHAT, "total_tokens": 110}, (100, 0, 20, None)),
        ({**CHAT, "total_tokens": None}, (100, 0, 20, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, 0, None)),
        ({"prompt_tokens": 100}, None),
        ({"completion_tokens": 20}, None),
        ({}, None),
        ({"prompt_tokens": "100", "completion_tokens": "20"}, None),
    ],
)
def test_tokens_of_a_call(usage, tokens):
    assert counted(usage) == tokens
