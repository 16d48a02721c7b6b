"""Other memories plug in by three methods, and are told from the turns what they embed."""

from __future__ import annotations

import json

import pytest
from benchmarks.comparing import peers
from benchmarks.comparing.peers import Embedding, embedded, maker

from convmem.errors import MissingExtraError
from convmem.testing.fakes import FakeEmbedder


class Plain:
    """Cosines over the turns as told."""

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding
        self.rows: list[tuple[str, list[float]]] = []
        self.closed = False

    def of(self, text):
        return text

    def add(self, ids, texts):
        self.rows += zip(ids, self.embedding.passages([self.of(text) for text in texts]), strict=True)

    def search(self, question, k):
        asked = self.embedding.query(question)
        by_score = sorted(self.rows, key=lambda row: -sum(a * b for a, b in zip(asked, row[1], strict=True)))
        return [id_ for id_, _ in by_score[:k]]

    def close(self):
        self.closed = True


class Json(Plain):
    def of(self, text):
        return json.dumps({"text": text})

    def search(self, question, k):
        self.embedding.passages([question])
        return super().search(question, k)


class Deaf(Plain):
    def add(self, ids, texts):
        super().add(ids[:1], texts[:1])


def test_what_is_embedded_is_told():
    assert embedded(Plain) == "the turns as told"
    assert embedded(Deaf) == "not all of the turns"
    told = embedded(Json)
    assert told.startswith("""not the turns but '{"text": "Ana: I moved to Porto in May."}'""")
    assert told.endswith("questions as if they were passages")


def test_a_peer_is_asked_the_same_over_the_same_turns(bench, monkeypatch, tmp_path):
    made: list[Plain] = []

    def make(embedding):
        made.append(Plain(embedding))
        return made[-1]

    monkeypatch.setattr(peers, "maker", lambda _: make)
    monkeypatch.setattr(peers, "releases", lambda _: {"plain": "1"})
    found = bench("--peers", "chroma", embedder=FakeEmbedder())
    assert all(peer.closed for peer in made)
    for qid in ("boat", "member"):
        assert found[qid]["ranked"]["chroma"]["turns"] == found[qid]["ranked"]["dense"]["turns"], qid
        assert found[qid]["found"]["chroma"]["400"]["tokens"] <= 400
    assert found["running"]["ranked"]["chroma"]["turns"][0] != "D3:4", "the running session is left out"
    about = json.loads((tmp_path / "out" / "tiny.json").read_text("utf-8"))["peers"]["chroma"]
    assert about == {"releases": {"plain": "1"}, "embeds": "the turns as told"}


@pytest.mark.parametrize("name", peers.NAMES)
def test_each_says_what_to_install(name, monkeypatch):
    monkeypatch.setattr(peers, "_version", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"{name} needs a package: pip install \w"):
        maker(name)
