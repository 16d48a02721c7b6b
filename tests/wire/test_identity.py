"""Which turn a turn is: keyed digests, the same on every machine and in every release."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.wire.identity import DIGEST_BYTES, ROOT, chain, identity, meaning_digest

KEY = b"k" * 32
MEANINGS = st.lists(st.binary(min_size=16, max_size=16), max_size=6)


def digest(*parts):
    return hmac.new(KEY, b"".join(parts), hashlib.sha256).digest()[:16]


def test_a_meaning_is_an_hmac_of_the_bytes_that_are_meant():
    meant = b'["user","Where?"]'
    assert meaning_digest(KEY, {"role": "user", "content": " Where?\n"}) == digest(b"meaning\0", meant)
    assert meaning_digest(b"other" * 8, {"role": "user", "content": "Where?"}) != digest(b"meaning\0", meant)


def test_what_is_on_disk_is_found_again():
    """These digests stand in stores that were written long ago: they never change."""
    meaning = meaning_digest(KEY, {"role": "user", "content": "渡轮几点开？"})
    assert meaning.hex() == "b425677760e81ab49b1b4224aa4026e0"
    assert identity(KEY, ROOT, meaning).hex() == "3569a490a5fd028578f48821a69b7ec4"


def test_a_turn_is_bound_to_the_one_before_it():
    one, two = b"a" * 16, b"b" * 16
    assert identity(KEY, ROOT, one) == digest(b"turn\0", ROOT, one)
    assert identity(KEY, one, two) != identity(KEY, ROOT, two)
    assert (len(ROOT), len(identity(KEY, ROOT, one))) == (DIGEST_BYTES, DIGEST_BYTES)


@given(MEANINGS, MEANINGS)
def test_a_chain_goes_on_where_it_ended(first, then):
    begun = chain(KEY, ROOT, first)
    whole = chain(KEY, ROOT, [*first, *then])
    assert whole == begun + chain(KEY, begun[-1] if begun else ROOT, then)
    assert len(set(whole)) == len(first) + len(then)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_chain_binds_each_turn_to_the_one_before(n):
    parent = ROOT
    for made in chain(KEY, ROOT, [b"m" * 16] * n):
        assert made == identity(KEY, parent, b"m" * 16)
        parent = made
