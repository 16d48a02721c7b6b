"""Generated conversations: what apps send, in every shape the chat API knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai.types.chat as chat_types

if TYPE_CHECKING:
    import random

WORDS = [
    "Kyoto",
    "京都",
    "好的",
    "ok",
    "ticket",
    "14:05",
    "🍵",
    "résumé",
    "第二天",
    "thanks",
    "\u0000",
    "a\nb",
]
TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}},
]


def text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))


def user_content(rng: random.Random) -> object:
    kind = rng.random()
    if kind < 0.6:
        return text(rng)
    parts = [{"type": "text", "text": text(rng)}]
    if kind > 0.8:
        parts.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2_000}})
    return parts if rng.random() < 0.7 else tuple(parts)


def tool_round(rng: random.Random, n: int) -> list[object]:
    ids = [f"call_{n}_{i}" for i in range(rng.randint(1, 3))]
    calls = [
        {"id": i, "type": "function", "function": {"name": "look_up", "arguments": '{"q": "京都"}'}}
        for i in ids
    ]
    asking: object = {"role": "assistant", "content": None, "tool_calls": calls}
    if rng.random() < 0.4:  # as an SDK object, the way samples append it
        asking = chat_types.ChatCompletionMessage.model_validate(asking)
    results = [{"role": "tool", "tool_call_id": i, "content": text(rng)} for i in ids]
    return [asking, *results]


def messages(rng: random.Random) -> list[object]:
    """A legal conversation that ends in a user message or in tool results."""
    made: list[object] = []
    if rng.random() < 0.6:
        made.append({"role": rng.choice(["system", "developer"]), "content": text(rng)})
    for n in range(rng.randint(0, 6)):
        made.append({"role": "user", "content": user_content(rng)})
        if rng.random() < 0.3:
            made += tool_round(rng, n)
        reply: dict[str, object] = {"role": "assistant", "content": text(rng)}
        if rng.random() < 0.2:
            reply["name"] = "Helper"
        made.append(reply)
    last: dict[str, object] = {"role": "user", "content": user_content(rng)}
    if rng.random() < 0.2:
        last["name"] = "Alice"
    made.append(last)
    if rng.random() < 0.2:
        made += tool_round(rng, 99)
    return made


def arguments(rng: random.Random) -> dict[str, object]:
    """What else a call may say."""
    model = rng.choice(["deepseek-flash", "gpt-4o", "nobody-knows"])
    optional = (
        ("temperature", 0.3),
        ("max_tokens", 64),
        ("tools", TOOLS),
        ("stop", ["\n\n"]),
        ("user", "u-1"),
        ("extra_body", {"metadata": {"k": "值"}}),
        ("response_format", {"type": "text"}),
        ("extra_headers", {"X-Trace": "7"}),
        ("timeout", 30.0),
    )
    return {"model": model} | {name: value for name, value in optional if rng.random() < 0.3}
