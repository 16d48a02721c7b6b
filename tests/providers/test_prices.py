"""Costs worked out by hand, and what has none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import openai
import pytest

import convmem
from convmem.providers.prices import resolve_prices
from convmem.testing import Fault, LocalProvider, Reply

SHIPPED = resolve_prices(None)
FLASH = {"host": "api.deepseek.com", "model": "deepseek-flash"}
QUIET = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)  # a Thursday, outside of both peaks
USAGE = {
    "prompt_tokens": 10_000,
    "completion_tokens": 1_000,
    "total_tokens": 11_000,
    "prompt_cache_hit_tokens": 8_000,
    "prompt_cache_miss_tokens": 2_000,
}


def dollars(cost):
    return pytest.approx((cost.uncached, cost.cached, cost.output), rel=1e-12)


def test_deepseek_by_hand():
    """2,000 at .15, 8,000 at .003 and 1,000 at .60 dollars a million."""
    cost = SHIPPED.cost(USAGE, **FLASH, at=QUIET)
    assert dollars(cost) == (0.0003, 0.000024, 0.0006)
    assert cost.total == pytest.approx(0.000924)


@pytest.mark.parametrize(
    ("at", "factor"),
    [
        ("2026-11-26T00:59:59+00:00", 1),
        ("2026-11-26T01:00:00+00:00", 2),
        ("2026-11-26T03:59:59+00:00", 2),
        ("2026-11-26T04:00:00+00:00", 1),
        ("2026-11-26T06:00:00+00:00", 2),
        ("2026-11-26T10:00:00+00:00", 1),
        ("2026-11-26T09:30:00+08:00", 2),  # 01:30 in UTC
        ("2026-11-28T02:00:00+00:00", 1),  # a Saturday
        ("2026-11-30T02:00:00+00:00", 2),  # a Monday
        ("2026-12-25T02:00:00+00:00", 2),  # no calendar is known: peak, as on any Friday
    ],
)
def test_peak_and_off_peak(at, factor):
    cost = SHIPPED.cost(USAGE, **FLASH, at=datetime.fromisoformat(at))
    assert (factor * 0.0003, factor * 0.000024, factor * 0.0006) == dollars(cost)


def test_holidays_one_knows_are_off_peak(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[price]]\nhost = "api.deepseek.com"\nmodel = "deepseek-flash"\ninput = 1\ncached = 1\noutput = 1\n'
        'peak = ["Mon-Fri 01:00-04:00"]\npeak_factor = 2\noff_peak = [2026-10-01]\n'
    )
    own = resolve_prices(path)
    for day, expected in (("2026-10-01", 0.011), ("2026-10-02", 0.022)):
        cost = own.cost(USAGE, **FLASH, at=datetime.fromisoformat(f"{day}T02:00:00+00:00"))
        assert cost.total == pytest.approx(expected)


LUNA = {"host": "api.openai.com", "model": "gpt-6-luna"}


@pytest.mark.parametrize(
    ("prompt", "details", "uncached", "cached", "output"),
    [
        # Below the cache's minimum nothing is written: 1,000 at .10.
        (1_000, {}, 0.0001, 0, 0.0005),
        # 3,000 of 4,000 written as far as anybody knows: 3,000 at .125, 1,000 at .01.
        (4_000, {"cached_tokens": 1_000}, 0.000375, 0.00001, 0.0005),
        # The provider says 500 were: 500 at .125, 2,500 at .10.
        (4_000, {"cached_tokens": 1_000, "cache_write_tokens": 500}, 0.0003125, 0.00001, 0.0005),
        # Exactly at the limit, and above it: 272,001 at .25 and the reply at .75.
        (272_000, {}, 0.034, 0, 0.0005),
        (272_001, {}, 0.06800025, 0, 0.00075),
    ],
)
def test_openai_by_hand(prompt, details, uncached, cached, output):
    usage = {"prompt_tokens": prompt, "completion_tokens": 1_000, "prompt_tokens_details": details}
    assert (uncached, cached, output) == dollars(SHIPPED.cost(usage, **LUNA, at=QUIET))


def test_gemini_counts_thoughts_in_the_total_only_and_rises_in_2027():
    usage = {"prompt_tokens": 1_000, "completion_tokens": 700, "total_tokens": 2_000}
    who = {"host": "generativelanguage.googleapis.com", "model": "models/gemini-3.8-flash"}
    last = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert dollars(SHIPPED.cost(usage, **who, at=last)) == (0.00075, 0, 0.00375)
    assert dollars(SHIPPED.cost(usage, **who, at=last + timedelta(minutes=1))) == (0.0015, 0, 0.0075)
    here = last.astimezone(timezone(timedelta(hours=8)))  # already 2027 there
    assert SHIPPED.cost(usage, **who, at=here) == SHIPPED.cost(usage, **who, at=last)


def test_responses_call_their_tokens_otherwise():
    usage = {
        "input_tokens": 4_000,
        "output_tokens": 1_000,
        "total_tokens": 5_000,
        "input_tokens_details": {"cached_tokens": 1_000},
    }
    assert dollars(SHIPPED.cost(usage, **LUNA, at=QUIET)) == (0.000375, 0.00001, 0.0005)


@pytest.mark.parametrize(
    ("usage", "call"),
    [
        (USAGE, {**FLASH, "host": "gateway.example"}),
        (USAGE, {**FLASH, "host": None}),
        (USAGE, {**FLASH, "model": "deepseek-flash-2"}),
        (USAGE, {**FLASH, "model": None}),
        (USAGE, {**FLASH, "at": datetime(2026, 10, 31, tzinfo=UTC)}),
        (None, FLASH),
        ({}, FLASH),
        ({"prompt_tokens": 7}, FLASH),
        ({"prompt_tokens": "7", "completion_tokens": 7}, FLASH),
        ({"prompt_tokens": -7, "completion_tokens": 7}, FLASH),
    ],
)
def test_what_is_not_known_costs_none(usage, call):
    assert SHIPPED.cost(usage, **{"at": QUIET, **call}) is None


PRICE = "[[price]]\ninput = 1\ncached = 1\noutput = 1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price]", "not TOML"),
        ("[dialect]", "unknown key 'dialect'"),
        ("[price]", "price is a list of rows"),
        ("[[price]]\ninput = 1\noutput = 1", "cached is missing"),
        (PRICE + "colour = 1", "price 1: unknown key 'colour'"),
        (PRICE.replace("input = 1", "input = -1"), "input is a number of 0 or more"),
        (PRICE.replace("input = 1", "input = nan"), "input is a number"),
        (PRICE.replace("input = 1", "input = true"), "input is a number"),
        (PRICE + "cache_minimum = 1.5", "cache_minimum is a number"),
        (PRICE + 'peak = "noon"', "peak is a list"),
        (PRICE + 'peak = ["noon"]', "times are such as"),
        (PRICE + 'peak = ["Fri-Mon 01:00-04:00"]', "times are such as"),
        (PRICE + 'peak = ["Mon-Fri 04:00-01:00"]', "times are such as"),
        (PRICE + 'peak = ["Mon-Fri 01:00-24:01"]', "times are such as"),
        (PRICE + 'off_peak = ["2026-10-01"]', "off_peak is a list of dates"),
    ],
)
def test_a_table_that_is_none_is_refused_with_the_place(tmp_path, text, told):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(convmem.InputError, match=told):
        convmem.Memory(tmp_path / "a.db", prices=path)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_receipts_say_what_a_call_cost(tmp_path, stream):
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nhost = "127.0.0.1"\nmodel = "mine"\ninput = 3\ncached = 0.3\noutput = 9\n')
    given = {"messages": [{"role": "user", "content": "hi"}]}
    if stream:
        given |= {"stream": True, "stream_options": {"include_usage": True}}
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=5_000, prices=path) as memory,
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        client = memory.wrap(bare, user="alice", session="s")

        def receipt(model):
            reply = client.chat.completions.create(model=model, **given)
            if stream:
                list(reply)
            return memory.receipt_for(reply)

        provider.script(Reply("a", usage=USAGE), Reply("b", usage=USAGE), Fault.status(402))
        known = receipt("mine")
        assert dollars(known.cost) == (0.006, 0.0024, 0.009)
        assert "cost $0.017400: prompt 0.006000, cached 0.002400, reply 0.009000" in str(known)
        assert receipt("another").cost is None
        with pytest.raises(openai.APIStatusError):
            receipt("mine")
        assert memory.last_receipt().cost is None


def test_costs_add_up():
    one, two = convmem.Cost(cached=1, uncached=2, output=3), convmem.Cost(cached=0.5, output=1)
    assert one + two == convmem.Cost(cached=1.5, uncached=2, output=4)
    assert (one + two).total == 7.5
