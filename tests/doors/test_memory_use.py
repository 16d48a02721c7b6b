"""A long stream takes the room of its reply, and no list of what it was made of."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from convmem.wire import chat, responses

MEGABYTES = 10
PIECE = "a hundred characters" * 5


def chunk(text):
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def delta(text):
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}


BEGINNINGS = {
    "chat": [chunk("")],
    "responses": [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "role": "assistant", "content": []},
        },
    ],
}


@pytest.mark.parametrize(("shape", "event"), [(chat, chunk), (responses, delta)], ids=["chat", "responses"])
def test_ten_megabytes_in_pieces(shape, event, request):
    stream = shape.stream_reply()
    for first in BEGINNINGS[request.node.callspec.id]:
        stream.add(first)
    data = json.dumps(event(PIECE))
    n = MEGABYTES * 1_000_000 // len(PIECE)
    tracemalloc.start()
    try:
        for _ in range(n):
            stream.add(json.loads(data))
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = n * len(PIECE)
    assert held < 1.1 * size
    assert most < 1.2 * size
    (message,) = stream.reply(complete=False).choices
    assert message["content"] == PIECE * n
