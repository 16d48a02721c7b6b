"""What makes a turn this turn: keyed digests of meaning and position."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from convmem.wire.message import meaning_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DIGEST_BYTES", "ROOT", "chain", "identity", "meaning_digest"]

DIGEST_BYTES = 16
ROOT = bytes(DIGEST_BYTES)
"""The identity that stands before the first turn of a conversation."""


def meaning_digest(key: bytes, message: Mapping[str, Any]) -> bytes:
    """HMAC-SHA256 of a message's meaning under the store's key, cut to 16 bytes.

    The key keeps a stolen digest from being tested against guessed words (RFC 2104; truncation as in its §5).
    """
    pieces = meaning_pieces(message)
    first, second = b"meaning\0" + next(pieces), next(pieces, None)
    if second is None:  # by far the most messages, and quicker
        return hmac.digest(key, first, "sha256")[:DIGEST_BYTES]
    made = hmac.new(key, first + second, "sha256")
    for piece in pieces:
        made.update(piece)
    return made.digest()[:DIGEST_BYTES]


@lru_cache(maxsize=32_768)  # an app that sends its whole history has the same chain with every call
def identity(key: bytes, parent: bytes, meaning: bytes) -> bytes:
    """The identity of a turn: its meaning digest bound to the identity of the turn before it."""
    return hmac.digest(key, b"turn\0" + parent + meaning, "sha256")[:DIGEST_BYTES]


def chain(key: bytes, parent: bytes, meanings: Iterable[bytes]) -> list[bytes]:
    """The identities of turns said one after the other, the first of them after `parent`."""
    identities: list[bytes] = []
    for meaning in meanings:
        parent = identity(key, parent, meaning)
        identities.append(parent)
    return identities
