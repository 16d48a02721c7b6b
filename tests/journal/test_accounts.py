"""Receipts as they are kept, without words, and as they are read back."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.abilities import ReceiptRow
from convmem.errors import Note
from convmem.journal.accounts import kept, receipt_of
from convmem.protocols import CallRow, NewReceipt, QuotedRow, SessionRef
from convmem.providers.prices import Prices
from convmem.types import MODES, Cost, Recalled, Receipt, Tokens

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
PRICES = Prices().extended("[[price]]\ninput = 1\ncached = 0.5\noutput = 2\n", source="test")
REF = SessionRef("ana", "s")


def call(**more):
    return CallRow(**{"id": "c1", "at": AT, "state": "answered", "model": "m", "host": "h"} | more)


def row_of(written, new):
    return ReceiptRow(call=written, ref=REF, turns=new.turns, quoted=new.quoted, account=new.account)


def read_back(receipt, **more):
    """What a store gives back of a receipt, read again."""
    new = kept(receipt)
    row = call(
        id=receipt.call, state=receipt.state, model=receipt.model, host=receipt.host, usage=receipt.usage
    )
    return receipt_of(row_of(dataclasses.replace(row, **more), new), PRICES)


def receipt(**more):
    return Receipt(
        **{"call": "c1", "at": AT, "user": "ana", "session": "s", "model": "m", "host": "h"} | more
    )


RECALLED = st.builds(
    Recalled,
    id=st.integers(1, 99).map("t{}".format),
    speaker=st.sampled_from(["user", "assistant", "tool", "system"]),
    score=st.integers(-100, 100).map(lambda n: n / 8),
    why=st.lists(st.sampled_from(["lexical", "dense"]), max_size=2).map(tuple),
    tokens=st.integers(0, 500),
    text=st.text(max_size=5),
    trimmed=st.booleans(),
    session=st.sampled_from(["s", "t"]),
    date=st.sampled_from(["", "2026-06-30"]),
)
COUNTS = st.integers(0, 1_000)
RECEIPTS = st.builds(
    receipt,
    mode=st.sampled_from(MODES),
    journaled=st.booleans(),
    complete=st.booleans(),
    state=st.sampled_from(["answered", "partial", "failed", "pending"]),
    turns=st.lists(st.integers(1, 99).map("t{}".format), max_size=3).map(tuple),
    restored=COUNTS,
    dropped=COUNTS,
    tokens=st.builds(
        Tokens, system=COUNTS, pins=COUNTS, summary=COUNTS, window=COUNTS, recall=COUNTS, new=COUNTS
    ),
    recalled=st.lists(RECALLED, max_size=3).map(tuple),
    cut=st.booleans(),
    media_left=COUNTS,
    prefix_tokens=st.none() | COUNTS,
    ms=st.dictionaries(st.sampled_from(["journal", "recall"]), COUNTS.map(lambda n: n / 10), max_size=2),
    usage=st.none() | st.just({"prompt_tokens": 10, "completion_tokens": 2}),
    cost=st.none() | st.builds(Cost, cached=st.just(0.5), uncached=st.just(0.25), output=st.just(0.125)),
    notes=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


@given(RECEIPTS)
def test_a_receipt_comes_back_as_it_was_but_for_the_words(made):
    back = read_back(made)
    words = tuple(dataclasses.replace(turn, text="") for turn in made.recalled)
    cost = back.cost if made.cost is None else made.cost
    assert back == made.with_(recalled=words, cost=cost)


@given(RECEIPTS)
def test_no_word_of_a_turn_is_kept(made):
    secret = "Nachtigall"  # noqa: S105 (a word)
    said = tuple(dataclasses.replace(turn, text=secret, speaker=secret) for turn in made.recalled)
    new = kept(made.with_(recalled=said))
    assert secret not in new.account + "".join(row.about for row in new.quoted)
    assert [turn.speaker for turn in read_back(made.with_(recalled=said)).recalled] == [""] * len(said)


def test_what_says_nothing_takes_no_room():
    new = kept(receipt())
    assert (new.turns, new.quoted, json.loads(new.account)) == ((), (), {"journaled": False})


def test_a_note_is_kept_without_what_somebody_elses_code_said():
    notes = ("plain", Note("the store said: secret", kept="the store raised OSError"))
    assert read_back(receipt(notes=notes)).notes == ("plain", "the store raised OSError")


def test_a_cost_that_was_not_known_is_worked_out_when_it_is_read():
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}
    assert read_back(receipt(), usage=usage).cost == Cost(cached=0, uncached=1, output=2)
    assert read_back(receipt(), usage=None).cost is None
    assert read_back(receipt(), usage={"odd": 1}).cost is None
    told = Cost(cached=7, uncached=7, output=7)
    assert read_back(receipt(cost=told), usage=usage).cost == told


@pytest.mark.parametrize(
    ("account", "field", "value"),
    [
        ("no JSON", "notes", ("the rest of this receipt cannot be read",)),
        ("[]", "notes", ("the rest of this receipt cannot be read",)),
        ("{}", "notes", ()),
        ("{}", "journaled", False),
        ("{}", "complete", True),
        ('{"journaled":1}', "journaled", False),
        ('{"mode":"odd"}', "mode", "on"),
        ('{"mode":["on"]}', "mode", "on"),
        ('{"restored":"3"}', "restored", 0),
        ('{"tokens":{"window":3,"odd":4,"new":"x"}}', "tokens", Tokens(window=3)),
        ('{"tokens":[3]}', "tokens", Tokens()),
        ('{"ms":{"journal":1,"recall":null}}', "ms", {"journal": 1.0}),
        ('{"cost":[1,2]}', "cost", None),
        ('{"cost":{"cached":1}}', "cost", None),
        ('{"notes":["a",7]}', "notes", ("a",)),
        ('{"notes":"a"}', "notes", ()),
        ('{"prefix_tokens":0}', "prefix_tokens", 0),
        ('{"prefix_tokens":"0"}', "prefix_tokens", None),
    ],
)
def test_what_a_later_release_or_a_damaged_file_says_is_passed_over(account, field, value):
    row = row_of(call(), NewReceipt(turns=(1,), account=account))
    assert getattr(receipt_of(row, PRICES), field) == value


@pytest.mark.parametrize("about", ["no JSON", "[]", "{}", '{"score":"x","why":7,"tokens":"y","session":3}'])
def test_a_quote_that_cannot_be_read_is_still_a_turn(about):
    (turn,) = receipt_of(
        row_of(call(), NewReceipt(quoted=(QuotedRow(7, about),), account="{}")), PRICES
    ).recalled
    assert turn == Recalled(
        id="t7", speaker="", score=0.0, why=(), tokens=0, text="", trimmed=False, session="s", date=""
    )
