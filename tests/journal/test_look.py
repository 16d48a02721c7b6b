"""What of a message is compared: its words without what programs write around them, in tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.journal.look import core, is_block, look_of, normal_text, undecorated, without_thoughts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Yes.", "Yes."),
        ("<think>hm</think>Yes.", "Yes."),
        ("<THINK>a\nb</THINK>Yes.", "Yes."),
        ("[THINK]hm[/THINK]Yes.", "Yes."),
        ("◁think▷hm◁/think▷Yes.", "Yes."),
        ('<details type="reasoning" done="true">hm</details>Yes.', "Yes."),
        ("<details>more</details>Yes.", "<details>more</details>Yes."),
        ("Well. <thinking>hm</thinking>Yes.", "Well. Yes."),
        # Opened in the prompt, or never closed.
        ("hm</think>Yes.", "Yes."),
        ("<think>hm", ""),
        ("<thinker>hm</thinker>", "<thinker>hm</thinker>"),
    ],
)
def test_thoughts(text, left):
    assert without_thoughts(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("When?", "When?"),
        ("[2026-03-01 10:00] When?", "When?"),
        ("When? [2026-03-01 10:00]", "When?"),
        ("【2026年3月1日】几点？", "几点？"),
        ("(2026-03-01): When?", "When?"),
        ("(10:30) standup", "(10:30) standup"),
        ("Current time: 2026-03-01 10:00\nWhen?", "When?"),
        ("When?\nToday is 2026-03-01", "When?"),
        ("现在是 2026年3月1日\n几点？", "几点？"),
        ("<system-reminder>Two files.</system-reminder>When?", "When?"),
        ("a <reminder x='1'>b</reminder> c", "a \n c"),
        ("<system-reminder>never closed", "<system-reminder>never closed"),
        ("[2026-03-01] [10:00] When?", "When?"),
        # When nothing else is left, it is what was said.
        ("[2026-03-01 10:00]", "[2026-03-01 10:00]"),
        ("<reminder>b</reminder>", "<reminder>b</reminder>"),
    ],
)
def test_clocks_and_reminders(text, left):
    assert undecorated(text) == left
    assert undecorated(left) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Which wine?", "Which wine?"),
        ("Context:\nRioja is red.\n\nWhich wine?", "Which wine?"),
        ("Which wine?\n\nReminder: be brief.", "Which wine?"),
        ("<docs>\nRioja\n</docs>\n\nWhich wine?", "Which wine?"),
        ("Which wine?\n<docs>\nRioja\n</docs>", "Which wine?"),
        ("```\ncode\n```\nWhich line?", "Which line?"),
        ("Which line?\n```\ncode\n```", "Which line?"),
        ("Context: red\n\nUser question:\nWhich wine?", "Which wine?"),
        ("参考资料：\n雨前龙井。\n\n问题：喝什么茶？", "喝什么茶？"),
        ("[2026-03-01]\nContext: red\n\nWhich wine?", "Which wine?"),
        ("Context: red", "Context: red"),
        ("<docs>only</docs>", "<docs>only</docs>"),
        ("One.\n\nTwo.", "One.\n\nTwo."),
    ],
)
def test_the_core_of_a_question(text, left):
    assert core(text) == left
    assert core(left) == left


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("<a>b</a>", True),
        ("<a x='1'>b</a>", True),
        ("```py\nb\n```", True),
        ("<a>b</a> c", False),
        ("c <a>b</a>", False),
        ("<a>b", False),
        ("```\nb", False),
        ("", False),
        ("b", False),
    ],
)
def test_blocks(text, block):
    assert is_block(text) == block


@pytest.mark.parametrize(
    ("message", "more"),
    [
        ({"role": "user", "content": " a \n b "}, {"text": "a \n b", "said": "a b"}),
        ({"role": "user", "content": "a\r\nb"}, {"text": "a\nb", "said": "a b"}),
        ({"role": "user", "content": "cafe\u0301"}, {"text": "caf\u00e9", "said": "caf\u00e9"}),
        ({"role": "user", "content": "a", "name": "ana"}, {"text": "a", "said": "a", "name": "ana"}),
        (
            {"role": "user", "content": "<think>a</think>b"},
            {"text": "<think>a</think>b", "said": "<think>a</think>b"},
        ),
        ({"role": "assistant", "content": "<think>a</think>b"}, {"text": "<think>a</think>b", "said": "b"}),
        (
            {"role": "assistant", "content": "[2026-03-01] b"},
            {"text": "[2026-03-01] b", "said": "[2026-03-01] b"},
        ),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"text": "no", "said": "no"}),
        (
            {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "hi"}},
            {"text": "hi", "said": "hi", "audio": "a"},
        ),
        ({"role": "tool", "content": "a", "tool_call_id": "c"}, {"text": "a", "said": "a", "answers": "c"}),
        ({"role": "user", "content": ["a", {"text": "b"}]}, {"text": "a\nb", "said": "a b"}),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            {"calls": (("c", "f", {"a": 1}),)},
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "name": "g", "input": " x "}, "odd"]},
            {"calls": (("c", "g", "x"), ("", "", None))},
        ),
        ({"role": "assistant", "tool_calls": "odd"}, {}),
        ({"role": None, "content": 7}, {"role": "None"}),
    ],
)
def test_looks(message, more):
    look = look_of(message)
    assert look is not None
    expected = {
        "role": message["role"],
        "name": None,
        "text": "",
        "said": "",
        "media": (),
        "calls": (),
        "answers": None,
        "audio": None,
        "whole": True,
    }
    assert {name: getattr(look, name) for name in expected} == {**expected, **more}


def test_pictures_are_told_apart_by_what_they_are():
    def media(*urls):
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return look_of({"role": "user", "content": [{"type": "text", "text": "See."}, *parts]}).media

    assert media("a", "b") == (*media("a"), *media("b"))
    assert media("a") != media("b")
    assert media() == ()


def test_one_that_broke_off_and_one_too_long():
    assert not look_of({"role": "assistant", "content": "a"}, whole=False).whole
    assert look_of({"role": "user", "content": "x" * 250_000}) is not None
    assert look_of({"role": "user", "content": "x" * 250_001}) is None


PIECES = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "[2026-03-01 10:00]",
            "Context: ",
            "\n",
            "\n\n",
            "<docs>",
            "</docs>",
            "```\n",
            "\n```",
            "Question: ",
            "now is 10:00",
            "hi ",
            "<reminder>",
            "</reminder>",
            "(",
        ]
    )
).map("".join)


@given(PIECES)
def test_what_is_taken_off_is_taken_off_at_once(text):
    for taken in (core, undecorated):
        left = taken(text)
        assert taken(left) == left
        assert bool(normal_text(left)) == bool(normal_text(text)), "something always stays"
    assert without_thoughts(without_thoughts(text)) == without_thoughts(text)


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "<docs>",
        "<docs></docs>",
        "<p>a</p>\n",
        "<reminder></reminder>",
        "[",
        "[2026-03-01]",
        "```\n",
        "Context: a\n\n",
        "a\n\n",
        "now is 10:00\n",
        "question: a\n",
        "</think>",
    ],
)
def test_a_page_of_ten_thousand_pieces_is_looked_at_a_hundred_times_at_most(piece):
    """Where each piece cost a look at all the others, such a page took minutes."""
    text = (piece * 10_000)[:200_000]
    assert look_of({"role": "user", "content": text}).text == text.strip()
    assert without_thoughts(text) in {text, ""}
    assert core(text)


def test_what_a_hundred_passages_stand_before_is_still_the_question():
    passages = "".join(f"<doc id='{n}'>passage {n}</doc>\n" for n in range(100))
    assert core(f"{passages}Which wine?") == "Which wine?"
    assert core(f"<doc>one more</doc>{passages}Which wine?") == "<doc id='99'>passage 99</doc>\nWhich wine?"
