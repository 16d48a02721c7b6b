"""Dates are this machine's, by the rules that held at each time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convmem
from convmem.arguments.zone import LOCAL

pytestmark = pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone cannot be set on this platform")


@pytest.fixture(scope="module", autouse=True)
def berlin():
    """Summer time from the last Sunday in March to that of October."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@given(st.integers(-2_000_000_000, 4_000_000_000))
def test_every_second_has_its_wall_time_and_back(seconds):
    shown = datetime.fromtimestamp(seconds, LOCAL)
    assert shown.timestamp() == seconds
    assert shown.replace(tzinfo=None, fold=0) == datetime.fromtimestamp(seconds)  # noqa: DTZ006 (that is the point)


def test_the_hour_that_comes_twice():
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(LOCAL)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC).astimezone(LOCAL)
    assert (first.hour, first.fold, first.tzname()) == (2, 0, "CEST")
    assert (second.hour, second.fold, second.tzname()) == (2, 1, "CET")
    assert second.timestamp() - first.timestamp() == 3_600


@pytest.mark.parametrize("year", [1, 9999])
def test_times_beyond_all_clocks(year):
    assert datetime(year, 6, 15, 12, tzinfo=UTC).astimezone(LOCAL).day == 15
    edge = datetime.min.replace(tzinfo=LOCAL) if year == 1 else datetime.max.replace(tzinfo=LOCAL)
    assert edge.utcoffset() is not None


def test_a_summer_night_has_its_date_also_when_asked_for_in_winter():
    def winter() -> datetime:
        return datetime(2026, 1, 15, 12, tzinfo=UTC)

    with convmem.Memory(":memory:", embedder="none", clock=winter, deadline_ms=5_000) as memory:
        night = datetime(2025, 7, 1, 22, 30, tzinfo=UTC)
        told = [{"role": "user", "content": "The ferry to Porto leaves at nine"}]
        memory.record(told, user="a", session="x", at=night)
        asked = [{"role": "user", "content": "When does the ferry to Porto leave?"}]
        prepared = memory.prepare(asked, user="a", session="y")
        assert [recalled.date for recalled in prepared.receipt.recalled] == ["2025-07-02"]
