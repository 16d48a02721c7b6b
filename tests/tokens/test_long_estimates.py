"""Tokens of very long texts: told from a sample, the same each time, and not below what all of it would
say."""

from __future__ import annotations

import random

import pytest

from convmem.tokens import estimate as estimating
from convmem.tokens.estimate import estimate, sample

KINDS = {
    "english": "The ferry to Brac leaves at half past nine, and the harbour office opens at eight. ",
    "chinese": "渡轮上午九点半开往布拉奇岛，港务办公室八点开门。",
    "json": '{"pier": 7, "open": true, "boats": ["Tijat", "Petar"], "depth": 3.25},\n',
    "spaces": " " * 40,
    "figures": "8841 1207 3390 5526 ",
}


def of_all(text: str) -> int:
    """Counted in pieces that the estimate looks at whole; each seam may add a word."""
    size = estimating._WHOLE
    return sum(estimate(text[start : start + size]) for start in range(0, len(text), size))


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_one_kind_is_told_to_a_hundredth(kind):
    text = KINDS[kind] * (3_000_000 // len(KINDS[kind]))
    assert of_all(text) * 0.995 <= estimate(text) <= of_all(text) * 1.01
    assert estimate(text) == estimate(text)


@pytest.mark.parametrize("seed", range(12))
def test_a_mixed_text_is_never_told_to_be_much_less_than_it_is(seed):
    chance = random.Random(seed)
    pieces: list[str] = []
    while sum(map(len, pieces)) < 3_000_000:
        kind = KINDS[chance.choice(list(KINDS))]
        pieces.append(kind * (chance.randint(100, 400_000) // len(kind)))
    text = "".join(pieces)
    assert of_all(text) * 0.99 <= estimate(text) <= of_all(text) * 1.25


@pytest.mark.parametrize("period", [1_600, 7_813, 15_625, 20_000, 31_250])
def test_a_text_that_repeats_itself_is_not_met_at_the_same_place(period):
    text = ("7" * (period // 2) + " " * (period - period // 2)) * (3_000_000 // period)
    assert of_all(text) * 0.97 <= estimate(text) <= of_all(text) * 1.3


def test_a_sample_has_a_piece_of_every_part():
    text = "".join(chr(0x4E00 + n // 1_000) for n in range(1_000_000))
    pieces = sample(text, 50, 300)
    assert [len(piece) for piece in pieces] == [300] * 50
    assert [(ord(piece[0]) - 0x4E00) // 20 for piece in pieces] == list(range(50))
