"""The embeddings of the local provider."""

from __future__ import annotations

import base64
import json
import math
import struct

import openai
import pytest
from tests.local_provider.asking import post

from convmem.testing import EmbeddingReply, Fault, LocalProvider


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone(provider, client):
    made = client.embeddings.create(model="e", input=["tea", "京都", "tea"])
    vectors = [item.embedding for item in made.data]
    assert made.usage.prompt_tokens == 4
    assert vectors[0] == vectors[2] != vectors[1]
    assert [len(vector) for vector in vectors] == [64] * 3
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-6) for vector in vectors)
    assert (
        client.embeddings.create(model="e", input="tea", encoding_format="float").data[0].embedding
        == vectors[0]
    )
    raw = post(provider, "/v1/embeddings", {"model": "e", "input": "tea", "encoding_format": "base64"})[2]
    packed = base64.b64decode(json.loads(raw)["data"][0]["embedding"])
    assert list(struct.unpack("<64f", packed)) == vectors[0]
    short = client.embeddings.create(model="e", input="tea", dimensions=8).data[0].embedding
    scale = math.hypot(*vectors[0][:8])
    assert short == pytest.approx([value / scale for value in vectors[0][:8]], abs=1e-6)
    assert len(client.embeddings.create(model="e", input=[[1, 2], [3]]).data) == 2
    assert len(client.embeddings.create(model="e", input=[1, 2]).data) == 1


def test_the_seed_and_the_dimension_of_vectors():
    with LocalProvider(seed=1, embedding_dim=5) as one, LocalProvider(seed=2, embedding_dim=5) as two:
        body = {"model": "e", "input": "tea"}
        first, second = (json.loads(post(p, "/v1/embeddings", body)[2])["data"][0] for p in (one, two))
    assert len(first["embedding"]) == 5
    assert first != second


def test_the_embeddings_script(provider, client):
    provider.script_embeddings(
        EmbeddingReply(vectors=[[3.0, 4.0]]), Fault.status(503), Fault.cut_json(), Fault.empty_body()
    )
    assert client.embeddings.create(model="e", input="a").data[0].embedding == [3.0, 4.0]
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="e", input="a")
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model="e", input="a")
    assert post(provider, "/v1/embeddings", {"model": "e", "input": "a"})[2] == b""
    assert len(client.embeddings.create(model="e", input="a").data) == 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"model": None}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"colour": 1}, "colour"),
    ],
)
def test_illegal_embeddings_requests(provider, change, place):
    status, _, raw = post(provider, "/v1/embeddings", {"model": "e", "input": "a", **change})
    assert (status, json.loads(raw)["error"]["param"]) == (400, place)
