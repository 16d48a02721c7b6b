"""Reading mem0's memories, in the shape in which mem0 2.2 gave them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import convmem
from convmem.importers import Imported, mem0, read

# What `Memory.get_all` of mem0ai 2.2.1 returned for three memories, but for ids and hashes.
GIVEN = {
    "results": [
        {
            "id": "59babb55",
            "memory": "我住在泉州。",
            "hash": "4928fcef",
            "metadata": None,
            "created_at": "2026-11-26T01:19:23+00:00",
            "updated_at": "2026-11-26T01:19:23+00:00",
            "user_id": "alice",
            "role": "user",
        },
        {
            "id": "09ee48df",
            "memory": "I am vegetarian and allergic to nuts.",
            "hash": "e749f72f",
            "metadata": {"category": "food"},
            "created_at": "2026-11-26T01:19:22+00:00",
            "updated_at": "2026-11-26T01:19:22+00:00",
            "user_id": "alice",
            "run_id": "r1",
            "role": "user",
        },
    ]
}
AT = datetime(2026, 11, 26, 1, 19, 22, tzinfo=UTC)


def test_memories_become_turns_in_the_order_in_which_they_were_made():
    assert mem0.parse(json.dumps(GIVEN)) == [
        Imported("r1", AT, {"role": "user", "content": "I am vegetarian and allergic to nuts."}, "alice"),
        Imported("mem0", AT.replace(second=23), {"role": "user", "content": "我住在泉州。"}, "alice"),
    ]


@pytest.mark.parametrize("shape", [GIVEN["results"], {"memories": GIVEN["results"]}, {"count": 2, **GIVEN}])
def test_every_shape_is_recognized(tmp_path, shape):
    file = tmp_path / "memories.json"
    file.write_text(json.dumps(shape), encoding="utf-8")
    assert read(file) == mem0.parse(json.dumps(GIVEN))
    assert read(file, format="mem0") == read(file)


def test_a_bare_fact_is_enough():
    assert mem0.parse('[{"memory": "Likes tea"}]') == [
        Imported("mem0", None, {"role": "user", "content": "Likes tea"})
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"full_name": "Dev"}, "no list of memories"),
        (["x"], "memory 1 is no JSON object"),
        ([{"memory": "a"}, {"id": "1"}], "memory 2 has no text"),
        ([{"memory": "a", "created_at": "soon"}], "memory 1: created_at is no time"),
    ],
)
def test_a_broken_memory_is_named(value, why):
    with pytest.raises(convmem.InputError, match=why):
        mem0.parse(json.dumps(value))
