"""Responses bodies of any kind: the call behaves as the bare client's does, and memory raises nothing."""

from __future__ import annotations

import random
import re

import openai

import convmem
from convmem.testing import LocalProvider

ODD = [None, 0, -1, 1.5, True, "", "x", "\ud800", "\0", [], {}, [1], {"a": [{}]}, "y" * 3_000, 10**20, "京都"]
KINDS = [
    *["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"],
    *["reasoning", "web_search_call", "computer_call", "computer_call_output", "item_reference", "odd", None],
]
FIELDS = [
    "instructions",
    "previous_response_id",
    "conversation",
    "tools",
    "text",
    "max_output_tokens",
    "stream",
]


def part(rng):
    return rng.choice([
        {"type": "input_text", "text": rng.choice(["hi", rng.choice(ODD)])},
        {"type": "input_image", "image_url": rng.choice(["data:,", rng.choice(ODD)])},
        {"type": "output_text", "text": "x"},
        {"type": "refusal", "refusal": "no"},
        rng.choice(ODD),
    ])  # fmt: skip


def item(rng):
    kind = rng.random()
    content = rng.choice(["hi", [part(rng) for _ in range(rng.randint(0, 3))], rng.choice(ODD)])
    role = rng.choice(["user", "assistant", "system", rng.choice(ODD)])
    if kind < 0.4:
        return {"role": role, "content": content}
    if kind > 0.9:
        return rng.choice(ODD)
    return {
        "type": rng.choice(KINDS),
        "role": role,
        "content": content,
        "call_id": rng.choice(["a", rng.choice(ODD)]),
        "name": rng.choice(["f", rng.choice(ODD)]),
        "arguments": rng.choice(["{}", rng.choice(ODD)]),
        "output": rng.choice(["42", [part(rng)], {"type": "computer_screenshot"}, rng.choice(ODD)]),
    }


def body(rng):
    items = [item(rng) for _ in range(rng.randint(0, 6))]
    made = {
        "model": rng.choice(["m", rng.choice(ODD)]),
        "input": rng.choice(["hi", items, items, rng.choice(ODD)]),
    }
    return made | {name: rng.choice([*ODD, {"id": "c"}]) for name in FIELDS if rng.random() < 0.12}


def outcome(client, provider, given):
    before = len(provider.requests)
    try:
        seen = client.post("/responses", body=given, cast_to=openai.types.responses.Response).status
    except Exception as error:  # noqa: BLE001 (whatever it is, it is to be the same)
        seen = (type(error), re.sub(r"\d+", "N", str(error)))
    return seen, [request.body for request in provider.requests[before:]]


def test_any_body_does_what_it_does_without_memory():
    rng, events = random.Random(3), []
    with (
        LocalProvider(strict=False) as provider,
        convmem.Memory(":memory:", embedder="none", deadline_ms=60_000, hooks=[events.append]) as memory,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        for n in range(300):
            given = body(rng)
            expected = outcome(bare, provider, given)
            assert outcome(memory.wrap(bare, user=f"u{n}", session="s"), provider, given) == expected, given
        memory.flush()
        assert memory.stats().turns > 100
    troubles = {event.detail for event in events if event.kind == "degraded"}
    assert {
        trouble for trouble in troubles if "straight through" not in trouble and "not known" not in trouble
    } == set()
