"""Sentences: where they end in English and Chinese, and where they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.compress.sentences import LONGEST, sentences


@pytest.mark.parametrize(
    "text",
    [
        "The fee is 3.50 a day, 1,204.75 in all",
        "Version 2.10.3 runs on port 8443, see docs.example.org/a.b?c=d!e for more",
        "Write to nora.k@example.org or read https://example.org/v1.2/x?y=z!now",
        "Dr. Weber and Mrs. J. Keller come at 5 p.m. on Friday",
        "The U.S. team takes room No. 5, approx. 30 m², e.g. for the launch",
        "So... we wait",
        "他说「明天八点走。别迟到」就挂了电话",
        "她回我“不去了。太累”我也没再问",
        "版本是3.12，地址是example.org，价格39.5元",
        "会议（改到周四。三点半）照旧",
        "open config.toml and main.py now",
    ],
)
def test_what_is_one_sentence(text):
    for end in ("", "。" if not text.isascii() else "."):
        assert sentences(text + end) == [text + end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We met. It rained! Did it? Yes.", ["We met.", "It rained!", "Did it?", "Yes."]),
        ("今天改到周四。你来吗？来！好；行", ["今天改到周四。", "你来吗？", "来！", "好；", "行"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("他说：“好。”\n然后走了。", ["他说：“好。”", "然后走了。"]),
        ("她回我“不去了。太累。”我也没再问", ["她回我“不去了。太累。”", "我也没再问"]),
        ("好的!我们明天去 Kyoto. 你呢?", ["好的!", "我们明天去 Kyoto.", "你呢?"]),
        (
            "# Plan\n\n- **Monday**: stew\n1. Heat it.\n2) Serve\n---\n|---|---|",
            ["Plan", "Monday: stew", "Heat it.", "Serve"],
        ),
        ("一、买米\n（2）买油", ["一、买米", "买油"]),
        ("-5 degrees\n- 5 eggs", ["5 degrees", "5 eggs"]),
        ("Run this:\n```sh\nrm x. Then y.\n```\nDone. Bye.", ["Run this:", "Done.", "Bye."]),
        ("it is 3.5. That is enough.", ["it is 3.5.", "That is enough."]),
        ("one\r\ntwo\u2028three\x85four", ["one", "two", "three", "four"]),
        ("", []),
        (" \n\t。", ["。"]),
    ],
)
def test_where_sentences_end(text, expected):
    assert sentences(text) == expected


def test_long_sentences_are_cut_at_commas_and_spaces():
    text = "we counted the jars, the lids and the labels, " * 20
    pieces = sentences(text)
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert all(piece.endswith((",", "labels")) for piece in pieces)
    assert sorted(" ".join(pieces).split()) == sorted(text.split())
    assert len(sentences("x" * 1_000)) == 5


@given(st.text())
def test_any_text_has_sentences_of_one_line(text):
    for sentence in sentences(text):
        assert sentence == " ".join(sentence.split()) != ""
        assert len(sentence) <= LONGEST


@pytest.mark.parametrize("text", [".", "。", "“", "(", "```\n", "a. ", "1. ", "- ", "#", "\n", "a", "「。"])
def test_much_of_anything_is_split_and_nothing_is_doubled(text):
    found = sentences(text * 30_000)
    assert sum(map(len, found)) <= 30_000 * len(text)
    assert all(0 < len(sentence) <= LONGEST for sentence in found)
