"""The extractive compressor: what it keeps, what it drops, and that it stays within its budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convmem.compress.extractive import Extractive
from convmem.compress.protocol import Compressor, CompressRequest
from convmem.testing.compressor import CompressorConformance, turns
from convmem.tokens.estimate import estimate


class TestExtractive(CompressorConformance):
    @pytest.fixture
    def compressor(self):
        return Extractive()


def compress(*said, previous="", tokens=1_000, count=estimate, **when):
    pairs = tuple(("user", line) if isinstance(line, str) else line for line in said)
    return Extractive().compress(CompressRequest(turns(pairs, **when), previous, tokens, count))


def lines(summary):
    return [line for line in summary.splitlines() if not re.fullmatch(r"\d{4}-\d\d-\d\d:", line)]


CHATTER = [
    "The weather has been grey all week and the tram was late again.",
    "There was a long queue at the counter, people chatted about football.",
    "今天天气阴沉，电车又晚点了，车上的人都在聊球赛。",
    "那家店里人很多，大家慢慢地排队，音乐放得有点大。",
    "I walked home slowly because the evening air was pleasant.",
]


def test_it_is_a_compressor():
    assert isinstance(Extractive(), Compressor)


def test_days_stand_above_their_lines_in_order():
    said = [
        ("user", "I live in Ghent with my sister."),
        ("assistant", "The rent there is 900 euros on average."),
    ]
    summary = compress(*said, hours=24)
    assert summary == (
        "2026-03-03:\nuser: I live in Ghent with my sister.\n"
        "2026-03-04:\nassistant: The rent there is 900 euros on average."
    )


def test_speakers_go_by_their_names():
    (turn,) = turns([("user", "I booked the boat for 4 June.")])
    named = type(turn)(
        **{field: getattr(turn, field) for field in turn.__slots__ if field != "payload"},
        payload={"role": "user", "name": "Lan:\n Wei", "content": turn.text},
    )
    summary = Extractive().compress(CompressRequest((named,), "", 100, estimate))
    assert summary.endswith("Lan Wei: I booked the boat for 4 June.")


@pytest.mark.parametrize(
    "fact",
    [
        "The gate code is 4471#.",
        "We decided to go with the green tiles for the kitchen.",
        "My daughter Ines starts school on 7 September.",
        "From now on please answer in short paragraphs.",
        "I'm allergic to shellfish.",
        "The invoice goes to billing@northwind.example.",
        "Let's meet at 17:45 at Harbour Street.",
        "我们决定把发布会定在五月八号。",
        "我对花生过敏，请记住。",
        "以后都用中文回答我。",
        "密码是 KX-4471，别告诉别人。",
        "我女儿叫林小满，九月七号开学。",
        "就选《海边的屋子》那套图纸吧。",
    ],
)
def test_facts_are_kept_before_chatter(fact):
    summary = compress(*CHATTER, fact, *CHATTER[::-1], tokens=60)
    assert fact in summary


def test_small_talk_and_boilerplate_go_first():
    said = [
        ("user", "hi there!"),
        ("assistant", "Sure! Let me know if you need anything else."),
        ("user", "哈哈好的，谢谢"),
        ("assistant", "好的，如果需要随时告诉我。"),
        ("user", "The boiler was serviced on 3 March by Ilse."),
        ("assistant", "Is there anything else you would like me to remember?"),
    ]
    assert lines(compress(*said, tokens=45)) == ["user: The boiler was serviced on 3 March by Ilse."]
    assert "hi there" not in compress(*said, tokens=2_000)
    assert "谢谢" not in compress(*said, tokens=2_000)


def test_the_users_words_go_before_the_replys():
    said = [
        ("assistant", "The clinic at Park Road 12 opens at 8:00 on weekdays."),
        ("user", "The clinic at Hill Lane 30 opens at 9:00 on Saturdays."),
    ]
    assert "Hill Lane" in compress(*said, tokens=32)
    assert "Park Road" not in compress(*said, tokens=32)


def test_statements_go_before_questions():
    assert "吗" not in compress("我们六点在北门见面吗？", "那就六点半在北门见面。", tokens=26)


@pytest.mark.parametrize(
    ("earlier", "later", "old", "new"),
    [
        (
            "The dentist appointment is on 12 May at 10:00.",
            "Actually the dentist appointment was moved to 19 May.",
            "12 May",
            "19 May",
        ),
        ("我们说好周三下午在图书馆开会。", "图书馆的会改到周五下午了。", "周三", "周五"),
        (
            "The budget for the garden wall is 4,000 euros.",
            "The budget for the garden wall is 5,200 euros.",
            "4,000",
            "5,200",
        ),
        ("搬家公司的报价是1800元。", "搬家公司的报价是2100元。", "1800", "2100"),
    ],
)
def test_a_correction_takes_the_place_of_what_it_corrects(earlier, later, old, new):
    for said in ([earlier, *CHATTER, later], [earlier, later, *CHATTER]):
        summary = compress(*said, tokens=50)
        assert new in summary
        assert old not in summary
    first = compress(earlier, *CHATTER)
    summary = compress(later, previous=first, tokens=50)
    assert new in summary
    assert old not in summary


def test_nothing_is_said_twice():
    said = "We ordered 40 chairs for the hall on 2 May."
    again = "So we ordered 40 chairs for the hall, on 2 May."
    summary = compress(said, ("assistant", "You ordered 40 chairs for the hall on 2 May."), again, said)
    assert summary.count("40 chairs") == 1


def test_the_summary_before_fades_but_rules_do_not():
    summary = compress("Please always write dates the long way.", "The spare key number is 7719.")
    for week in range(30):
        said = [
            f"Delivery {week * 37 + 11} came with {week * 13 + 5} boxes of item {chr(65 + week % 26)}{week}x."
        ]
        summary = compress(
            *said, previous=summary, tokens=160, start=datetime(2026, 4, 1, tzinfo=UTC) + timedelta(week)
        )
    assert "dates the long way" in summary
    assert "1084" in summary
    assert "Delivery 11 " not in summary


def test_without_anything_new_the_summary_before_stays_as_it_is():
    for previous in ("", "Any text. At all.", compress(*CHATTER, "The code is 8.")):
        assert compress(previous=previous) == previous
        assert compress("thanks!", "好的", previous=previous) == previous


def test_lines_of_the_summary_before_keep_their_days():
    first = compress("I moved to Oslo on 1 March.")
    second = compress(
        "I started at Fjordbank on 9 March.", previous=first, start=datetime(2026, 3, 9, tzinfo=UTC)
    )
    assert second == f"{first}\n2026-03-09:\nuser: I started at Fjordbank on 9 March."


def test_a_sentence_cannot_pass_for_a_heading_or_a_speaker():
    summary = compress("2020-01-01:\nassistant: I owe you 500 euros.")
    assert lines(summary)
    assert all(line.startswith("user: ") for line in lines(summary))
    assert "2020-01-01:" not in summary.splitlines()
    assert compress(previous=summary, tokens=2_000) == summary


def test_tools_and_settings_are_not_quoted():
    assert compress(("tool", "secret 4471"), ("system", "You decided on 8 May.")) == ""


texts = st.text(max_size=60) | st.sampled_from(
    [
        "We decided on 4 May.",
        "我们决定五月四号走。",
        "Actually it is 7:30.",
        "ok",
        "其实改到周五了。",
        "2026-03-02:",
        "x" * 500,
    ]
)
said = st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), texts), max_size=8)


@settings(deadline=None)
@given(
    said,
    st.text(max_size=200),
    st.integers(-5, 200),
    st.sampled_from([estimate, len, lambda text: len(text.split())]),
)
def test_the_budget_holds_for_any_text(pairs, previous, tokens, count):
    request = CompressRequest(turns(pairs), previous, tokens, count)
    summary = Extractive().compress(request)
    assert count(summary) <= max(tokens, 0)
    assert Extractive().compress(request) == summary
    again = Extractive().compress(CompressRequest((), summary, tokens, count))
    assert again == summary


def test_the_same_in_every_process():
    code = (
        "from convmem.testing.compressor import turns; from convmem.compress.extractive import Extractive\n"
        "from convmem.compress.protocol import CompressRequest\n"
        "said = [('user', f'The {w} for {n} chairs is due on {n} May. 我们订了{n}把椅子。')"
        " for n, w in enumerate('oven tiles fence lamp desk'.split() * 8)]\n"
        "print(ascii(Extractive().compress(CompressRequest(turns(said), '', 900, len))))"
    )
    first, second = (
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second != b""


def test_importing_it_loads_no_numpy():
    code = "import convmem.compress.extractive, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
