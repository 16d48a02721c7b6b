"""A question finds turns in the other language: the direction between the two is taken out."""

from __future__ import annotations

import numpy as np
import pytest

from convmem.recall.analyze import mostly_wide
from convmem.recall.vectors import Vectors


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("我们改到星期四", True),
        ("moved to Thursday", False),
        ("用 Python 写的那个脚本改好了", True),
        ("", False),
    ],
)
def test_which_texts_are_wide(text, wide):
    assert mostly_wide(text) is wide


def test_the_same_matter_in_the_other_language_wins_over_the_same_language():
    rng = np.random.default_rng(7)
    matters = rng.normal(size=(20, 32)).astype(np.float32)
    language = np.zeros(32, dtype=np.float32)
    language[0] = 12.0
    rows = np.concatenate((matters + language, matters - language))
    wide = np.arange(40) < 20
    vectors = Vectors.build(rows, 40)
    for matter in range(20):
        question = matters[matter] + language  # asked in the first language
        own = Vectors.build(np.delete(rows, matter, axis=0), 39)  # and said in the second only
        cosines = own.centred_cosines(question[None, :], np.delete(wide, matter))
        assert int(np.argmax(cosines)) == 19 + matter
        blind = Vectors.build(np.delete(rows, matter, axis=0), 39).centred_cosines(question[None, :])
        assert blind[19 + matter] < cosines[19 + matter]
    assert np.isfinite(vectors.centred_cosines(rows[:1], wide)).all()


def test_one_language_alone_changes_nothing():
    rows = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)
    plain = Vectors.build(rows, 30).centred_cosines(rows[:1])
    told = Vectors.build(rows, 30).centred_cosines(rows[:1], np.zeros(30, dtype=np.bool_))
    assert (plain == told).all()
