"""The map of what was used last."""

from __future__ import annotations

from convmem.threads.recent import Recent


def test_what_was_used_longest_ago_leaves_first():
    kept = Recent(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)
    assert len(kept) == 2
    assert "b" not in kept


def test_a_weight_is_kept_to_but_for_the_newest_value():
    kept = Recent(10, weigh=len, most_weight=5)
    kept.put("a", "12")
    kept.put("b", "123")
    assert kept.get_many(["a", "b", "z"]) == {"a": "12", "b": "123"}
    kept.put("c", "1234567")
    assert kept.get_many(["a", "b", "c"]) == {"c": "1234567"}


def test_a_value_put_again_weighs_once():
    kept = Recent(10, weigh=len, most_weight=5)
    assert kept.put("a", "123") is None
    assert kept.put("a", "12345") == "123"
    kept.put_many({"b": ""})
    assert kept.get_many(["a", "b"]) == {"a": "12345", "b": ""}
    assert kept.pop("a") == "12345"
    assert kept.pop("a") is None
    kept.put("c", "12345")
    assert kept.get("c") == "12345"
    kept.clear()
    assert len(kept) == 0
