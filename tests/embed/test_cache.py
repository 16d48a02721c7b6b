"""Queries embedded once."""

from __future__ import annotations

import numpy as np
import pytest

from convmem.embed import CachedEmbedder, EmbedderError
from convmem.testing.fakes import FakeEmbedder


@pytest.fixture
def fake():
    return FakeEmbedder()


def test_a_query_is_embedded_once(fake):
    cached = CachedEmbedder(fake)
    first = cached.embed(["kyoto", "京都"], "query")
    again = cached.embed(["京都", "kyoto", "kyoto"], "query")
    assert fake.calls == [("query", 2)]
    assert np.array_equal(again, first[[1, 0, 0]])


def test_only_what_is_not_known_is_asked_for_and_once(fake):
    cached = CachedEmbedder(fake)
    cached.embed(["a"], "query")
    rows = cached.embed(["b", "a", "b", "\ud800"], "query")
    assert fake.calls == [("query", 1), ("query", 2)]
    assert np.array_equal(rows, FakeEmbedder().embed(["b", "a", "b", "\ud800"], "query"))


def test_passages_pass_through(fake):
    cached = CachedEmbedder(fake)
    for _ in range(2):
        cached.embed(["a"], "passage")
    cached.embed(["a"], "query")
    assert fake.calls == [("passage", 1), ("passage", 1), ("query", 1)]


def test_the_longest_unused_goes_first(fake):
    cached = CachedEmbedder(fake, size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        cached.embed([text], "query")
    assert fake.calls == [("query", 1)] * 4  # a, b, c, and b again


def test_more_queries_at_once_than_fit(fake):
    cached = CachedEmbedder(fake, size=2)
    texts = [f"query {number}" for number in range(10)]
    assert np.array_equal(cached.embed(texts, "query"), fake.embed(texts, "query"))


def test_clear_forgets(fake):
    cached = CachedEmbedder(fake)
    for _ in range(2):
        cached.embed(["a"], "query")
        cached.clear()
    assert len(fake.calls) == 2


def test_a_failure_is_passed_on_and_not_remembered(fake):
    cached = CachedEmbedder(fake)
    fake.fail = True
    with pytest.raises(EmbedderError):
        cached.embed(["a"], "query")
    fake.fail = False
    assert cached.embed(["a"], "query").any()


def test_it_has_the_fingerprint_of_its_embedder(fake):
    cached = CachedEmbedder(fake)
    assert (cached.fingerprint, cached.dim) == (fake.fingerprint, fake.dim)


def test_the_text_itself_is_not_kept(fake):
    cached = CachedEmbedder(fake)
    cached.embed(["my secret"], "query")
    assert "secret" not in repr(vars(cached))
