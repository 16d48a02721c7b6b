"""Embeddings from an endpoint, against a real local server and the real SDK."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from convmem.embed import EmbedderError, OpenAIEmbedder
from convmem.errors import InputError, MissingExtraError
from convmem.testing import EmbeddingReply, Fault, LocalProvider

openai = pytest.importorskip("openai")


@pytest.fixture
def provider():
    with LocalProvider(embedding_dim=8) as provider:
        yield provider


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.base_url, api_key="any", max_retries=0) as client:
        yield client


def bodies(provider):
    return [json.loads(request.body) for request in provider.requests]


class Stub:
    """A client whose endpoint gives whatever a test wants."""

    def __init__(self, answer):
        self.embeddings = SimpleNamespace(create=lambda **body: answer(body["input"]))


def items(*pairs):
    return SimpleNamespace(data=[SimpleNamespace(index=index, embedding=vector) for index, vector in pairs])


def test_a_base_url_is_enough(provider):
    embedder = OpenAIEmbedder(provider.base_url, "m", api_key="any")
    assert embedder.embed(["京都"], "query").shape == (1, 8)


def test_the_given_client_is_used(client, provider):
    OpenAIEmbedder(client, "m").embed(["a", "b"], "passage")
    assert bodies(provider) == [{"model": "m", "input": ["a", "b"], "encoding_format": "float"}]


def test_nothing_is_sent_at_construction_nor_for_blank_texts(client, provider):
    embedder = OpenAIEmbedder(client, "m", dim=8)
    assert not embedder.embed(["", "  \n", "\0"], "query").any()
    assert embedder.embed([], "query").shape == (0, 8)
    assert embedder.dim == 8
    assert provider.requests == ()


def test_the_dimension_is_learned_from_the_first_reply(client, provider):
    embedder = OpenAIEmbedder(client, "m")
    embedder.embed(["a"], "query")
    assert embedder.dim == 8
    assert len(provider.requests) == 1


def test_the_dimension_is_asked_for_when_it_must_be_known(client, provider):
    assert OpenAIEmbedder(client, "m").dim == 8
    assert bodies(provider)[0]["input"] == ["dimension"]


def test_a_dimension_is_sent_and_checked(client, provider):
    embedder = OpenAIEmbedder(client, "m", dim=4)
    assert embedder.embed(["a"], "query").shape == (1, 4)
    assert bodies(provider)[0]["dimensions"] == 4
    provider.script_embeddings(EmbeddingReply(vectors=[[1.0] * 8]))
    with pytest.raises(EmbedderError, match="leave dim=4 out"):
        embedder.embed(["a"], "query")


def test_batches_by_count_and_by_characters(client, provider):
    embedder = OpenAIEmbedder(client, "m", batch_size=3, batch_chars=10)
    texts = ["aaaa", "bbbb", "cccc", "d", "e", "f", "g", "", "h" * 30]
    rows = embedder.embed(texts, "passage")
    assert [body["input"] for body in bodies(provider)] == [
        ["aaaa", "bbbb"],
        ["cccc", "d", "e"],
        ["f", "g"],
        ["h" * 30],
    ]
    for place in (0, 3, 6, 8):
        assert np.allclose(rows[place], embedder.embed([texts[place]], "passage")[0])


def test_long_texts_are_cut_and_prefixes_added(client, provider):
    embedder = OpenAIEmbedder(client, "m", query_prefix="query: ", passage_prefix="passage: ", max_chars=5)
    embedder.embed(["123456789"], "query")
    embedder.embed(["123456789"], "passage")
    assert [body["input"] for body in bodies(provider)] == [["query: 12345"], ["passage: 12345"]]


def test_order_is_restored_by_index():
    embedder = OpenAIEmbedder(Stub(lambda _: items((1, [0, 2.0]), (0, [3.0, 0]))), "m")
    assert embedder.embed(["a", "b"], "query").tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "reply",
    [
        items((0, [1.0])),
        items((0, [1.0]), (0, [1.0])),
        items((0, [1.0]), (2, [1.0])),
        items((0, [1.0]), (1, [1.0]), (2, [1.0])),
        items((0, [1.0]), (1, [1.0, 2.0])),
        items((0, []), (1, [])),
        items((0, [1.0]), (1, [float("nan")])),
        items((0, [1.0]), (1, ["x"])),
        SimpleNamespace(data=None),
        "<html>",
    ],
)
def test_a_reply_that_does_not_fit_is_an_error(reply):
    with pytest.raises(EmbedderError, match=r"^m "):
        OpenAIEmbedder(Stub(lambda _: reply), "m").embed(["a", "b"], "query")


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.not_json(), Fault.empty_body(), Fault.cut_json()])
def test_failures_are_embedder_errors_with_their_cause(client, provider, fault):
    provider.script_embeddings(fault)
    with pytest.raises(EmbedderError) as caught:
        OpenAIEmbedder(client, "m").embed(["a"], "query")
    assert caught.value.__cause__ is not None


def test_retries_are_the_clients(provider):
    provider.script_embeddings(Fault.status(503))
    with openai.OpenAI(base_url=provider.base_url, api_key="any", max_retries=1) as client:
        assert OpenAIEmbedder(client, "m").embed(["a"], "query").any()
    assert len(provider.requests) == 2


def test_a_timeout_is_kept(client, provider):
    provider.script_embeddings(Fault.stall(seconds=5))
    with pytest.raises(EmbedderError, match=r"[Tt]imed out"):
        OpenAIEmbedder(client, "m", timeout=0.2).embed(["a"], "query")


def test_fingerprints_tell_apart_what_must_not_be_mixed(client):
    made = [
        OpenAIEmbedder(client, "m"),
        OpenAIEmbedder(client, "n"),
        OpenAIEmbedder(client, "m", 4),
        OpenAIEmbedder(client, "m", revision="2"),
        OpenAIEmbedder(client, "m", query_prefix="query: "),
    ]
    assert len({embedder.fingerprint for embedder in made}) == len(made)


@pytest.mark.parametrize("wrong", [object(), openai, openai.AsyncOpenAI(api_key="any"), None])
def test_what_is_no_synchronous_client_is_refused(wrong):
    with pytest.raises(InputError, match="synchronous"):
        OpenAIEmbedder(wrong, "m")


def test_a_missing_sdk_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match="pip install openai"):
        OpenAIEmbedder("http://localhost:1", "m", api_key="any")
