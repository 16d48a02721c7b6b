"""What stands for the rounds that left a window: kept, read back, and sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.context.cut import Cut, Summary

SUMMARIES = st.builds(
    Summary,
    st.text(max_size=9),
    st.lists(st.text(min_size=1, max_size=5), max_size=2).map(tuple),
    st.booleans(),
)


@given(SUMMARIES)
def test_a_summary_that_is_kept_is_sent_with_the_same_bytes(summary):
    again = Summary.loaded(summary.dumped())
    assert again.block() == summary.block()
    assert again.unpinned() == summary.unpinned()
    assert again.dumped() == summary.dumped()


@pytest.mark.parametrize(
    ("kept", "summary"),
    [
        ("", Summary()),
        ('["said", [], false]', Summary("said")),
        ('["说过", ["记住"], true]', Summary("说过", ("记住",), chinese=True)),
    ],
)
def test_what_is_kept(kept, summary):
    assert Summary.loaded(kept) == summary
    assert summary.dumped() == kept


def test_what_says_nothing_is_not_sent_and_not_kept():
    assert (Summary().block(), Summary().dumped()) == ("", "")


def test_pins_can_be_taken_from_a_summary():
    pinned = Summary("The ferry leaves at nine.", ("Answer in English.",))
    assert "Answer in English." in pinned.block()
    assert pinned.unpinned() == Summary("The ferry leaves at nine.").block()
    assert Summary("", ("Answer in English.",)).unpinned() == ""


def test_a_cut_is_made_by_who_gets_to_it():
    cut = Cut(b"start", 3, lambda: (Summary("made"), ("a note",)))
    assert (cut.start, cut.redaction, cut.stood_in, cut.made.done()) == (b"start", 3, False, False)
    cut.made.set_result(cut.make())
    assert cut.made.result() == (Summary("made"), ("a note",))
