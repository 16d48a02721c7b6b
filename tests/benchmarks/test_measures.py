"""The arithmetic of the figures, against values worked out by hand, and the picture."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from benchmarks.comparing.picture import draw

from convmem.bench import measures, scoring


def test_intervals_are_over_conversations():
    values, conversations = [1.0, 1.0, 0.0, 0.0] * 25, ["a", "a", "b", "b"] * 25
    assert measures.half_width(values, conversations, 1) == pytest.approx(0.5)
    assert measures.half_width(values, ["a"] * 100, 1) == pytest.approx(0.1, abs=0.03)
    assert measures.interval(values, ["a"] * 100, 1) == measures.interval(values, ["a"] * 100, 1)


def test_whole_turns_and_parts_of_turns():
    found = measures.judge({"x": 9, "y": 200, "z": 90}, {"y": 0.4, "z": 1.7}, {"x"})
    assert (found.strict, found.kept, found.any, found.all) == pytest.approx((1 / 3, 2.4 / 3, 1, 0))
    assert found.touched == pytest.approx(2 / 3), "80 characters of y say nothing"
    everything = measures.judge({"x": 9}, {}, {"x", "y"})
    assert (everything.any, everything.all) == (1, 1)
    nothing = measures.judge({"x": 100}, {"x": 0.9}, set())
    assert (nothing.strict, nothing.touched, nothing.any) == (0, 1, 0)


def test_orders():
    order = ["a", "b", "c", "d"]
    assert measures.recall_at(order, ["a", "d", "e"], 2) == pytest.approx(1 / 3)
    assert measures.recall_at(order, ["a", "d", "e"], 4) == pytest.approx(2 / 3)
    assert measures.ndcg(order, ["b"], 10) == pytest.approx(1 / math.log2(3))
    assert measures.ndcg(order, ["a", "b"], 10) == pytest.approx(1.0)
    assert measures.ndcg(order, ["d"], 3) == 0.0


def test_telling_two_groups_apart():
    assert measures.auroc([3, 4], [1, 2]) == 1.0
    assert measures.auroc([1, 2], [3, 4]) == 0.0
    assert measures.auroc([1, 2, 3], [2]) == pytest.approx(0.5)
    assert measures.auroc([1.0], []) is None


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("The Quillfeather.", "quillfeather", 1, 1),
        ("a red boat", "The boat, red", 0, 1),
        ("in May 2023", "May", 0, 0.5),
        ("四月三日。", "４月3日", 0, 0.5),
        ("去年四月", "四月", 0, 2 / 3),
        ("北京", "北京", 1, 1),
        ("K-204 号", "K204号", 1, 1),
        ("", "something", 0, 0),
        ("the", "a", 1, 1),
    ],
)
def test_answers_are_compared_by_words_and_by_chinese_characters(answer, gold, exact, f1):
    assert scoring.exact(answer, gold) == exact
    assert scoring.f1(answer, gold) == pytest.approx(f1)


SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_has_a_line_a_name_and_a_point_for_each_budget():
    lines = {"convmem": [(1000, 0.9), (500, 0.7)], "a<b": [(1000, 0.2), (500, 0.1)], "full": [(19_000, 1.0)]}
    root = ET.fromstring(draw("a & b", "below", lines))  # noqa: S314 (our own)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"convmem", "a<b", "full", "a & b", "below"} <= set(texts)
    assert len(root.findall(f"{SVG}circle")) == 5
    paths = [line.get("points", "") for line in root.findall(f"{SVG}polyline")]
    assert len(paths) == 2
    (left, low), (right, high) = ([float(n) for n in point.split(",")] for point in paths[0].split())
    assert left < right
    assert low > high, "more found stands higher"


def test_names_in_the_picture_do_not_overlap():
    lines = {f"system {n}": [(500, 0.5), (1000, 0.5 + n / 1_000)] for n in range(8)}
    root = ET.fromstring(draw("t", "s", lines))  # noqa: S314
    heights = sorted(
        float(text.get("y", "")) for text in root.iter(f"{SVG}text") if (text.text or "").startswith("system")
    )
    assert min(b - a for a, b in pairwise(heights)) >= 14
    assert draw("t", "s", {"nothing": [(0, 0.0)]}) == ""
