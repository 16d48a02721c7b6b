"""Vectors from hashes: a text has one vector on every machine, others are nearly orthogonal to it."""

from __future__ import annotations

import base64
import hashlib
import math
import struct

__all__ = ["as_base64", "unit_vector"]

_WORD_BYTES = 4
_HALF_RANGE = 2.0**31


def unit_vector(text: str, dim: int, seed: int = 0) -> list[float]:
    """Derive a vector of length 1 from a text, in values that float32 holds exactly.

    A shorter vector of the same text is the start of a longer one, brought to length 1 again, as OpenAI's
    `dimensions` has it.
    """
    state = hashlib.shake_256(f"{seed}\0".encode() + text.encode("utf-8", "surrogatepass"))
    words = struct.unpack(f"<{dim}i", state.digest(dim * _WORD_BYTES))
    raw = [(word + 0.5) / _HALF_RANGE for word in words]
    norm = math.sqrt(math.fsum(value * value for value in raw))
    return list(struct.unpack(f"<{dim}f", struct.pack(f"<{dim}f", *(value / norm for value in raw))))


def as_base64(vector: list[float]) -> str:
    """Pack a vector as little-endian float32 in base64, the form the openai SDK asks for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
