"""PLACEHOLDER until the real one lands."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CompressRequest:
    turns: tuple
    previous: str
    tokens: int
    count: Any


Compressor = Any
