"""The data of server-sent events: whole however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.wire.sse import EventData


def data_of(*chunks):
    events = EventData()
    return [data for chunk in chunks for data in events.feed(chunk)]


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"data: one\n\n", ["one"]),
        (b"data:one\n\n", ["one"]),
        (b"data:  one \n\n", [" one "]),
        (b"data: one\ndata: two\n\n", ["one\ntwo"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r\n", ["one", "two"]),
        (b": a comment\n\ndata: one\n\n", ["one"]),
        (b"event: delta\nid: 7\nretry: 10\ndata: one\n\n", ["one"]),
        (b"event: ping\n\n", []),
        (b"data:\n\n", [""]),
        (b"data: [DONE]\n\n", ["[DONE]"]),
        (b"data: \xe6\xb8\xa1\xe8\xbd\xae\n\n", ["\u6e21\u8f6e"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"data: one\n", []),
        (b"datax: one\n\n", []),
        (b"data: a\xe2\x80\xa8b\n\n", ["a\u2028b"]),
    ],
)
def test_events(sent, data):
    assert data_of(sent) == data
    assert data_of(*(sent[i : i + 1] for i in range(len(sent)))) == data


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6)


@given(
    st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(events, end, cuts):
    sent = "".join("".join(f"data: {line}{end}" for line in event) + end for event in events).encode()
    places = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    chunks = [sent[a:b] for a, b in itertools.pairwise(places)]
    assert data_of(*chunks) == ["\n".join(event) for event in events]
