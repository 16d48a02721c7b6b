"""Which paths memory understands."""

from __future__ import annotations

import pytest

from convmem.wire import chat, responses
from convmem.wire.shape import retrieved_id, shape_of


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/chat/completions", chat),
        ("/responses", responses),
        ("/chat/completions/", None),
        ("/responses/resp_1", None),
        ("/completions", None),
        ("/embeddings", None),
        ("", None),
    ],
)
def test_shapes_by_path(path, shape):
    assert shape_of(path) is shape


@pytest.mark.parametrize(
    ("path", "response"),
    [
        ("/responses/resp_1", "resp_1"),
        ("/responses/resp_1/cancel", "resp_1"),
        ("/responses/resp_1/input_items", None),
        ("/responses/", None),
        ("/responses", None),
        ("/v1/responses/resp_1", None),
        ("/chat/completions/c1", None),
    ],
)
def test_the_response_that_is_asked_for_at_a_path(path, response):
    assert retrieved_id(path) == response
