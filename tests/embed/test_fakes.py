"""The embedder for tests."""

from __future__ import annotations

import time

import pytest

from convmem.embed import EmbedderError
from convmem.testing.fakes import FakeEmbedder


def test_texts_sharing_words_are_close():
    fake = FakeEmbedder()
    query = fake.embed(["the hotel in Kyoto", "京都的酒店"], "query")
    near = fake.embed(["which hotel in Kyoto", "京都酒店订好了"], "passage")
    far = fake.embed(["my cat likes tuna", "我的猫喜欢吃鱼"], "passage")
    assert ((query * near).sum(axis=1) > (query * far).sum(axis=1) + 0.2).all()


def test_vectors_are_the_same_on_every_machine():
    row = FakeEmbedder().embed(["Kyoto"], "query")[0]
    assert row.nonzero()[0].tolist() == [0, 4, 6, 9, 11, 12, 13, 21, 31, 37, 44, 50, 52, 62]


def test_it_fails_and_dawdles_as_told():
    fake = FakeEmbedder(delay_s=0.05)
    started = time.monotonic()
    fake.embed(["a"], "query")
    assert time.monotonic() - started >= 0.05
    fake.fail = True
    with pytest.raises(EmbedderError):
        fake.embed(["a", "b"], "passage")
    assert fake.calls == [("query", 1), ("passage", 2)]
