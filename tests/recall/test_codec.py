from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.recall import DamagedEntryError, Partition, analyze_turn, encode
from convmem.recall.codec import decode_many

ANY_TEXT = st.text(st.characters(codec=None), max_size=80)


@given(
    text=st.text(st.characters(codec=None), max_size=3000), name=ANY_TEXT, at=st.none() | st.floats(0, 4e9)
)
def test_an_entry_comes_back_as_it_was(text, name, at):
    entry = analyze_turn(text, id="t1", session="\ud800", role="user", speaker=name, at=at)
    columns = decode_many([encode(entry)])
    assert (columns.ids, columns.sessions, columns.speakers) == (["t1"], ["\ud800"], [name])
    assert columns.at[0] == at or (at is None and np.isnan(columns.at[0]))
    assert columns.digest[0] == entry.digest
    assert columns.passage_start.tolist() == [p.start for p in entry.passages]
    assert columns.passage_end.tolist() == [p.end for p in entry.passages]
    assert columns.terms.tolist() == [t for p in entry.passages for t in p.terms.tolist()]
    assert columns.counts.tolist() == [c for p in entry.passages for c in p.counts.tolist()]
    assert list(zip(columns.rule_start.tolist(), columns.rule_end.tolist(), strict=True)) == list(
        entry.standing
    )


def test_every_damaged_entry_is_named():
    good = encode(analyze_turn("the kettle is new", id="t1", session="s", role="user"))
    flipped = bytearray(good)
    flipped[-1] ^= 1
    older = bytearray(good)
    older[2] += 1
    with pytest.raises(DamagedEntryError, match="analyse these turns again") as caught:
        Partition.from_encoded([good, bytes(flipped), good[:-3], b"", bytes(older)])
    assert caught.value.indices == (1, 2, 3, 4)


@given(st.data())
def test_no_altered_byte_goes_unseen(data):
    blob = bytearray(encode(analyze_turn("水壶是新的，放在厨房", id="t1", session="s", role="user")))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedEntryError):
        decode_many([bytes(blob)])


def test_passages_cover_a_long_turn_in_order():
    text = "The harbour was quiet that morning. " * 60
    entry = analyze_turn(text, id="t", session="s", role="assistant")
    assert len(entry.passages) > 3
    ends = [0]
    for passage in entry.passages:
        assert passage.start >= ends[-1]
        assert 0 < passage.end - passage.start <= 600
        assert not text[ends[-1] : passage.start].strip()
        ends.append(passage.end)
    assert not text[ends[-1] :].strip()
