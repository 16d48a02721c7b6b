"""Parsed JSON as types: the two narrowings and the one encoder that the rest of the package needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

__all__ = [
    "JsonObject",
    "encode",
    "is_array",
    "is_integer",
    "is_number",
    "is_object",
    "lone_surrogate",
    "pieces",
]

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object that nobody changes."""


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a parsed JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    """Whether a parsed JSON value is an array."""
    return isinstance(value, list)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a parsed JSON value is an integer; Python's booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a parsed JSON value is a number; Python's booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8, not ASCII, because that is what providers send.

    A lone surrogate has no UTF-8 form; text that holds one is sent as ASCII with escapes.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def lone_surrogate(value: object) -> bool:
    """Whether some text in a JSON value has half of a surrogate pair, which UTF-8 cannot encode."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    except RecursionError:  # deeper than can be written; what it holds is refused, or not looked at
        return False
    return False


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut a text into pieces of `size` characters."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
