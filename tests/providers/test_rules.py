"""Tables about calls by host, model and date: which row fits, and what is wrong with one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.errors import InputError
from convmem.providers.rules import Match, check_keys, listed, match_of, read, rows, table, toml

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "host", "model", "fits"),
    [
        ({}, "api.openai.com", "gpt-6", True),
        ({}, None, None, True),
        ({"host": "api.openai.com"}, "api.openai.com", None, True),
        ({"host": "API.OpenAI.com"}, "api.openai.COM", None, True),
        ({"host": "api.openai.com"}, "eu.api.openai.com", None, False),
        ({"host": "*.openai.com"}, "eu.api.openai.com", None, True),
        ({"host": "api.openai.com"}, None, None, False),
        ({"host": ""}, None, None, True),
        ({"model": "gpt-*"}, None, "gpt-6", True),
        ({"model": "GPT-*"}, None, "openai/GPT-6", True),
        ({"model": "openai/gpt-*"}, None, "openai/gpt-6", False),
        ({"model": "gpt-*"}, None, "my-gpt-6", False),
        ({"model": "gpt-[56]"}, None, "gpt-6", True),
        ({"model": "gpt-*"}, None, None, False),
        ({"host": "a", "model": "m"}, "a", "n", False),
    ],
)
def test_patterns_on_host_and_model(row, host, model, fits):
    assert match_of(row, "row").fits(host, model, NOON) == fits


@pytest.mark.parametrize(
    ("row", "at", "fits"),
    [
        ({"from": date(2026, 7, 1)}, "2026-07-01T00:00:00+00:00", True),
        ({"from": date(2026, 7, 1)}, "2026-06-30T23:59:59+00:00", False),
        ({"until": date(2026, 7, 1)}, "2026-06-30T23:59:59+00:00", True),
        ({"until": date(2026, 7, 1)}, "2026-07-01T00:00:00+00:00", False),
        # Days are those of UTC, wherever the call was made.
        ({"from": date(2026, 7, 1)}, "2026-07-01T07:59:59+08:00", False),
        ({"from": date(2026, 7, 1)}, "2026-07-01T08:00:00+08:00", True),
        ({"from": date(2026, 7, 1), "until": date(2026, 7, 2)}, "2026-07-01T23:59:59+00:00", True),
        ({"from": date(2026, 7, 2), "until": date(2026, 7, 1)}, "2026-07-01T12:00:00+00:00", False),
    ],
)
def test_days(row, at, fits):
    assert match_of(row, "row").fits("h", "m", datetime.fromisoformat(at)) == fits


@given(st.dates(), st.dates(), st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))])))
def test_a_day_on_which_prices_change_belongs_to_one_row(day, other, at):
    try:
        at.astimezone(UTC)
    except OverflowError:
        return
    before, after = Match(until=day), Match(since=day)
    if at.astimezone(UTC).date() != date.max:  # `until` is the day after the last one, and there is none
        assert before.fits(None, None, at) != after.fits(None, None, at)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"host": 7}, "row 1: host is a pattern in quotes, not 7"),
        ({"model": ["m"]}, "row 1: model is a pattern in quotes, not ['m']"),
        ({"from": "2026-07-01"}, "row 1: from and until are dates such as 2026-07-01, not '2026-07-01'"),
        (
            {"until": NOON},
            (
                "row 1: from and until are dates such as 2026-07-01, not datetime.datetime(2026, 7, 1, 12, 0,"
                " tzinfo=datetime.timezone.utc)"
            ),
        ),
    ],
)
def test_patterns_and_dates_that_are_none(row, said):
    with pytest.raises(InputError) as refused:
        match_of(row, "row 1")
    assert str(refused.value) == said


# Files of a user's own.


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path, monkeypatch):
    file = tmp_path / "prices.toml"
    for text in ("a = '渡轮'", "\ufeffa = '渡轮'"):
        file.write_text(text, encoding="utf-8")
        assert read(file, "price table") == read(str(file), "price table") == "a = '渡轮'"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("~/prices.toml", "price table") == "a = '渡轮'"


def test_what_cannot_be_read_says_why_and_not_its_whole_name(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for path, why in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "latin", "can't decode byte 0xe9"),
        ("a\0b", "null"),
        ("~nobody-of-that-name/x", "home"),
        ("x" * 100_000, "File name too long"),
    ):
        with pytest.raises(InputError, match="no price table could be read from '") as refused:
            read(path, "price table")
        assert why in str(refused.value)
        assert len(str(refused.value)) < 400
    with pytest.raises(InputError, match="price table is int; give the path of a TOML file"):
        read(7, "price table")


def test_what_is_no_toml_is_named():
    assert toml("a = 1", "p.toml") == {"a": 1}
    with pytest.raises(InputError, match=r"p\.toml is not TOML: "):
        toml("a = ", "p.toml")


def test_tables_and_rows():
    assert table({"a": 1}, "p") == {"a": 1}
    assert rows([{"a": 1}, {}], "p: price") == [({"a": 1}, "p: price 1"), ({}, "p: price 2")]
    with pytest.raises(InputError, match="p is a table, not 7"):
        table(7, "p")
    with pytest.raises(InputError, match="p: price 2 is a table, not 'x'"):
        rows([{}, "x"], "p: price")
    with pytest.raises(InputError, match=r"p: price is a list of rows, as in \[\[…\]\]"):
        rows({"a": 1}, "p: price")


def test_a_key_that_says_nothing_is_refused():
    check_keys({"host": "h"}, {"host", "model"}, "row 1")
    with pytest.raises(InputError, match="row 1: unknown key 'hots'"):
        check_keys({"host": "h", "hots": "h"}, {"host", "model"}, "row 1")
    assert listed(["a", 1]) == "'a', 1"
