from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.recall.dates import intervals

NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)  # a Wednesday


def days(text: str, now: datetime = NOW) -> list[tuple[str, str]]:
    zone = now.tzinfo
    return [
        (
            datetime.fromtimestamp(i.start, zone).date().isoformat(),
            (datetime.fromtimestamp(i.end, zone).date() - timedelta(days=1)).isoformat(),
        )
        for i in intervals(text, now)
    ]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("What did I buy in May 2023?", "2023-05-01", "2023-05-31"),
        ("what happened on 2023-02-07", "2023-02-07", "2023-02-07"),
        ("the invoice of 2023-02", "2023-02-01", "2023-02-28"),
        ("Where was I on 3 February 2024?", "2024-02-03", "2024-02-03"),
        ("Where was I on February 3rd, 2024?", "2024-02-03", "2024-02-03"),
        ("who came last March?", "2024-03-01", "2024-03-31"),
        ("what did we plan last week", "2024-05-06", "2024-05-12"),
        ("last month's rent", "2024-04-01", "2024-04-30"),
        ("in 2022 I moved", "2022-01-01", "2022-12-31"),
        ("the party last year", "2023-01-01", "2023-12-31"),
        ("three weeks ago", "2024-04-21", "2024-04-27"),
        ("two days ago", "2024-05-13", "2024-05-13"),
        ("in summer 2023", "2023-06-01", "2023-08-31"),
        ("去年三月我买了什么", "2023-03-01", "2023-03-31"),
        ("2023年5月3号的会议", "2023-05-03", "2023-05-03"),
        ("２０２３年５月的账单", "2023-05-01", "2023-05-31"),
        ("上周五吃了什么", "2024-05-10", "2024-05-10"),
        ("上个月的房租", "2024-04-01", "2024-04-30"),
        ("去年夏天去了哪里", "2023-06-01", "2023-08-31"),
        ("三天前说的", "2024-05-12", "2024-05-12"),
        ("上周末", "2024-05-11", "2024-05-12"),
        ("前年的旅行", "2022-01-01", "2022-12-31"),
        ("去年的旅行", "2023-01-01", "2023-12-31"),
    ],
)
def test_one_time_is_understood(text, first, last):
    assert days(text) == [(first, last)]


def test_a_month_without_a_year_is_one_of_the_latest():
    assert days("what did we do in April?")[-1] == ("2024-04-01", "2024-04-30")
    assert days("十二月的聚会")[-1] == ("2023-12-01", "2023-12-31")
    assert days("5月3号的聚餐")[-1] == ("2024-05-03", "2024-05-03")


@pytest.mark.parametrize(
    "text", ["I may march on", "you may, of course", "version 2.5.1", "3个月大的猫", "sit down"]
)
def test_what_is_no_time_is_left_out(text):
    assert days(text) == []


def test_days_are_those_of_the_zone():
    tokyo = timezone(timedelta(hours=9))
    now = datetime(2024, 5, 15, 1, tzinfo=tokyo)
    (found,) = intervals("on 2024-05-03", now)
    assert datetime.fromtimestamp(found.start, tokyo) == datetime(2024, 5, 3, tzinfo=tokyo)


@given(
    st.text(
        st.sampled_from(
            "last this in of may march 2024 13 31 0 -/.年月日号周上去一二十三五ago days 天前\ud800"
        )
    ),
    st.dates(date(1000, 1, 1)),
)
def test_never_raises(text, today):
    for found in intervals(text, datetime(today.year, today.month, today.day, tzinfo=UTC)):
        assert found.start < found.end
