"""Bodies that no app means to send: what goes wrong in all kinds of places, and what is merely odd."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["VALUES", "body"]


class Colour(enum.StrEnum):
    """A string of a subclass."""

    RED = "red"


class Unreadable:
    """Raises when somebody looks."""

    def __iter__(self):
        raise RuntimeError("not to be read")


class Undumpable:
    """Raises when an SDK would have it written."""

    def model_dump(self, **_: Any):
        raise RuntimeError("not to be written")


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def cyclic() -> Any:
    value: dict[str, Any] = {"type": "text", "text": "x"}
    value["more"] = [value]
    return value


VALUES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "empty": lambda: "",
    "blank": lambda: " \n ",
    "number": lambda: 7,
    "zero": lambda: -0.0,
    "NaN": lambda: float("nan"),
    "infinite": lambda: float("-inf"),
    "true": lambda: True,
    "large": lambda: 10**100,
    "huge": lambda: 10**5_000,
    "text": lambda: "hello 你好",
    "surrogate": lambda: "lone \ud800",
    "NUL": lambda: "a\x00b",
    "long": lambda: "long " * 20_000,
    "bytes": lambda: b"bytes",
    "set": lambda: {1, 2},
    "generator": lambda: (part for part in [{"type": "text", "text": "once"}]),
    "object": object,
    "unreadable": Unreadable,
    "undumpable": Undumpable,
    "subclass": lambda: Colour.RED,
    "list": list,
    "mapping": dict,
    "parts": lambda: [{"type": "text", "text": "a part"}],
    "odd parts": lambda: [None, 3, {"type": 5}, {"text": ["x"]}, "x", {"type": "text", "text": "\udfff"}],
    "picture": lambda: [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "Q" * 2_000}}],
    "odd keys": lambda: {1: 2},
    "nested": lambda: nested(60),
    "deep": lambda: nested(5_000),
    "cyclic": cyclic,
    "calls": lambda: [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}],
}


def _value(rng: random.Random) -> Any:
    return VALUES[rng.choice(list(VALUES))]()


def _message(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.1:
        return _value(rng)
    role: Any = rng.choice(["user", "assistant", "system", "tool", "user"])
    content: Any = f"words {rng.randint(0, 99)} 京都"
    if kind < 0.2:
        role = _value(rng)
    elif kind < 0.45:
        content = _value(rng)
    message = {"role": role, "content": content}
    if rng.random() < 0.2:
        message[rng.choice(["name", "tool_calls", "tool_call_id", "refusal", "x"])] = _value(rng)
    if rng.random() < 0.05:
        del message[rng.choice(list(message))]
    return message


def body(rng: random.Random) -> dict[str, Any]:
    """A chat body; the same for a generator in the same state."""
    made: dict[str, Any] = {
        "model": "m",
        "messages": [_message(rng) for _ in range(rng.choice([0, 1, 1, 2, 3, 5]))],
    }
    kind = rng.random()
    if kind < 0.05:
        made["messages"] = _value(rng)
    elif kind < 0.1:
        made["model"] = _value(rng)
    if rng.random() < 0.15:
        made[rng.choice(["max_tokens", "tools", "temperature", "response_format", "n", "stop"])] = _value(rng)
    if rng.random() < 0.2:
        made["stream"] = True
    return made
