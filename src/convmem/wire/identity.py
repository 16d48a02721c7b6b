"""Makes the keyed digests by which turns are known: one of a message's meaning, one of its position too."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from convmem.wire.message import meaning_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DIGEST_BYTES", "ROOT", "chain", "identity", "meaning_digest"]

DIGEST_BYTES = 16
"""Bytes of every digest: 128 bits, so that among 10¹² turns two alike are out of the question. Digests are
stored, so another size would be another store."""
ROOT = bytes(DIGEST_BYTES)
"""The identity that stands before the first turn of a conversation."""


def meaning_digest(key: bytes, message: Mapping[str, Any]) -> bytes:
    """Return the HMAC-SHA256 of a message's meaning under the store's key, cut to 16 bytes.

    The key keeps a stolen digest from being tested against guessed words (RFC 2104; truncation as in its §5).
    """
    pieces = meaning_pieces(message)
    first, second = b"meaning\0" + next(pieces), next(pieces, None)
    if second is None:  # most messages are one piece, and this way is quicker
        return hmac.digest(key, first, "sha256")[:DIGEST_BYTES]
    made = hmac.new(key, first + second, "sha256")
    for piece in pieces:
        made.update(piece)
    return made.digest()[:DIGEST_BYTES]


# An app that sends its whole history needs the same identities with every call. 32,768 of them take some
# 10 MB and cover thirty conversations of a thousand turns; a smaller cache works those out again each time.
@lru_cache(maxsize=32_768)
def identity(key: bytes, parent: bytes, meaning: bytes) -> bytes:
    """Return the identity of a turn: its meaning digest bound to the identity of the turn before it."""
    return hmac.digest(key, b"turn\0" + parent + meaning, "sha256")[:DIGEST_BYTES]


def chain(key: bytes, parent: bytes, meanings: Iterable[bytes]) -> list[bytes]:
    """Return the identities of turns said one after the other, the first of them after the turn `parent`."""
    identities: list[bytes] = []
    for meaning in meanings:
        parent = identity(key, parent, meaning)
        identities.append(parent)
    return identities
