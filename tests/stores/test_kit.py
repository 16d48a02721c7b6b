"""The kit for stores catches stores that are broken, each by the test that names what is wrong."""

from __future__ import annotations

import inspect
import re
import time
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from convmem import abilities
from convmem.protocols import NodesReply, SessionRef
from convmem.stores.memory import InMemoryStore
from convmem.testing import abilities as kits
from convmem.testing.store import StoreConformance

DEFECTS: dict[str, tuple[type[InMemoryStore], str]] = {}


def caught_by(test):
    def register(broken):
        DEFECTS[broken.__name__] = (broken, test)
        return broken

    return register


class _Turns(InMemoryStore):
    """Spoils every turn that is read."""

    def spoil(self, turn):
        return turn

    def turns(self, request):
        return [self.spoil(turn) for turn in super().turns(request)]


@caught_by("test_a_turn_again_in_a_later_write")
class KeepsEveryRepeat(InMemoryStore):
    def write(self, batch):
        self._n = getattr(self, "_n", 99) + 1
        return super().write(
            [replace(w, turns=tuple(replace(t, saying=self._n) for t in w.turns)) for w in batch]
        )


@caught_by("test_a_turn_again_in_a_later_write")
class TakesTheRepeatForTheTruth(InMemoryStore):
    def _insert(self, kept, turn):
        seq = super()._insert(kept, turn)
        kept.rows[turn.parent, turn.identity, turn.saying].new = turn
        return seq


@caught_by("test_a_turn_twice_in_one_write")
class TellsOneIdForTwins(InMemoryStore):
    def _write(self, write, turns):
        written = super()._write(write, turns)
        return written if written.ids is None else replace(written, ids=tuple(dict.fromkeys(written.ids)))


@caught_by("test_unexpected_generation")
class IgnoresExpect(InMemoryStore):
    def _write(self, write, turns):
        return super()._write(replace(write, expect=None), turns)


@caught_by("test_unexpected_absence")
class MakesTheSessionAnyhow(InMemoryStore):
    def _write(self, write, turns):
        if write.ref not in self._sessions and write.expect:
            super()._write(replace(write, expect=None, turns=(), states=(), call=None), ())
        return super()._write(write, turns)


@caught_by("test_calls_are_counted_once")
class KeepsTheCallOfARefusedWrite(InMemoryStore):
    def _write(self, write, turns):
        if write.call is not None:
            self._calls[write.call.id] = write.call
        return super()._write(write, turns)


@caught_by("test_a_batch_is_written_whole_or_not_at_all")
class WritesHalfABatch(InMemoryStore):
    def write(self, batch):
        return [super(WritesHalfABatch, self).write([w])[0] for w in batch]


@caught_by("test_reading_while_writing")
class ShowsHalfABatch(InMemoryStore):
    def write(self, batch):
        written = []
        for write in batch:
            written += super().write([write])
            time.sleep(0.0005)
        return written


@caught_by("test_odd_payloads_come_back_verbatim")
class LosesMedia(_Turns):
    def spoil(self, turn):
        content = turn.payload.get("content")
        for part in content if isinstance(content, list) else ():
            if "image_url" in part:
                part["image_url"]["url"] = ""
        return turn


@caught_by("test_odd_payloads_come_back_verbatim")
class SortsKeys(_Turns):
    def spoil(self, turn):
        return replace(turn, payload=dict(sorted(turn.payload.items())))


@caught_by("test_odd_payloads_come_back_verbatim")
class EndsAtNul(_Turns):
    def spoil(self, turn):
        content = turn.payload.get("content")
        if isinstance(content, str):
            turn.payload["content"] = content.split("\0")[0]
        return turn


@caught_by("test_odd_payloads_come_back_verbatim")
class ReplacesSurrogates(_Turns):
    def spoil(self, turn):
        content = turn.payload.get("content")
        if isinstance(content, str):
            turn.payload["content"] = content.encode("utf-8", "replace").decode()
        return turn


@caught_by("test_what_is_read_is_the_readers")
class HandsOutItsOwn(InMemoryStore):
    def turns(self, request):
        rows = {f"t{row.seq}": row for kept in self._sessions.values() for row in kept.rows.values()}
        return [replace(turn, payload=rows[turn.id].new.payload) for turn in super().turns(request)]


@caught_by("test_what_was_written_is_the_callers")
class KeepsTheCallersOwn(InMemoryStore):
    def write(self, batch):
        with self._lock:
            return [self._write(write, write.turns) for write in batch]


@caught_by("test_owners_keep_apart")
class KnowsSessionsByNameAlone(InMemoryStore):
    def _write(self, write, turns):
        return super()._write(replace(write, ref=SessionRef("alice", write.ref.session)), turns)


@caught_by("test_find_stays_with_the_user")
class FindsForAnybody(InMemoryStore):
    def find(self, request):
        users = {ref.user for ref in self._sessions}
        return [
            ref for user in users for ref in super(FindsForAnybody, self).find(replace(request, user=user))
        ]


@caught_by("test_whose_turns")
class TakesNobodyForEverybody(InMemoryStore):
    def turns(self, request):
        return super().turns(replace(request, owner=True) if request.owner is None else request)


@caught_by("test_find_gives_the_last_written_first")
class FindsTheOldestFirst(InMemoryStore):
    def find(self, request):
        return super().find(replace(request, limit=99))[::-1][: request.limit]


@caught_by("test_find_gives_the_last_written_first")
class FindsWithoutLimit(InMemoryStore):
    def find(self, request):
        return super().find(replace(request, limit=99))


@caught_by("test_what_changed_since")
class TellsEverythingAgain(InMemoryStore):
    def nodes(self, request):
        return super().nodes(replace(request, since=0))


@caught_by("test_what_changed_since")
class ForgetsToTellNewStates(InMemoryStore):
    def _write(self, write, turns):
        kept = self._sessions.get(write.ref)
        stamps = {key: row.generation for key, row in kept.rows.items()} if kept else {}
        written = super()._write(write, turns)
        for key, stamp in stamps.items():
            kept.rows[key].generation = stamp
        return written


@caught_by("test_what_changed_since")
class StampsStatesThatDidNotChange(InMemoryStore):
    def _write(self, write, turns):
        written = super()._write(write, turns)
        named = dict(write.states)
        for row in self._sessions[write.ref].rows.values():
            if row.new.identity in named:
                row.generation = written.generation
        return written


@caught_by("test_generations_rise")
class CountsSessionsApart(InMemoryStore):
    def _write(self, write, turns):
        kept = self._sessions.get(write.ref)
        self._generation = kept.generation if kept else 0
        return super()._write(write, turns)


@caught_by("test_an_unknown_session")
class KnowsTheGenerationOfNothing(InMemoryStore):
    def nodes(self, request):
        return (
            super().nodes(request) if request.ref in self._sessions else NodesReply(self._generation, 0, ())
        )


@caught_by("test_order_is_the_order_of_writing")
class OrdersByTheClock(InMemoryStore):
    def turns(self, request):
        return sorted(super().turns(request), key=lambda turn: turn.at)


@caught_by("test_times_keep_their_zone")
class ForgetsTheZone(_Turns):
    def spoil(self, turn):
        shifted = turn.at.year in {1, 9999}
        return turn if shifted else replace(turn, at=turn.at.astimezone(UTC))


@caught_by("test_times_keep_their_zone")
class RoundsToMilliseconds(_Turns):
    def spoil(self, turn):
        return replace(turn, at=turn.at.replace(microsecond=turn.at.microsecond // 1000 * 1000))


@caught_by("test_parents")
class TakesTheLastSayingForTheParent(_Turns):
    def turns(self, request):
        ids = {
            (kept.ref, row.new.identity.hex()): f"t{row.seq}"
            for kept in self._sessions.values()
            for row in kept.rows.values()
        }
        parents = {
            (kept.ref, row.new.identity.hex()): row.new.parent.hex()
            for kept in self._sessions.values()
            for row in kept.rows.values()
        }
        found = []
        for turn in super().turns(request):
            ref = SessionRef(turn.user, turn.session)
            found.append(replace(turn, parent=ids.get((ref, parents[ref, turn.branch]))))
        return found


@caught_by("test_a_call_is_filled_in")
class ForgetsWhatTheCallBeganWith(InMemoryStore):
    def _write(self, write, turns):
        if write.call is not None:
            self._calls.pop(write.call.id, None)
        return super()._write(write, turns)


@caught_by("test_sessions")
class CountsEveryTurnForEachSession(InMemoryStore):
    def sessions(self, request):
        return [replace(session, turns=self._seq) for session in super().sessions(request)]


@caught_by("test_counts")
class CountsNobodyAsAUser(InMemoryStore):
    def stats(self):
        return replace(super().stats(), users=len({ref.user for ref in self._sessions}))


@caught_by("test_the_key")
class HasAShortKey(InMemoryStore):
    @property
    def key(self):
        return super().key[:16]


@caught_by("test_everything_is_there_after_reopening")
class ForgetsItsStates(InMemoryStore):
    """Reopened by the kit below."""

    def reopened(self):
        for kept in self._sessions.values():
            for row in kept.rows.values():
                row.state = row.new.state
        return self


@caught_by("test_closing_twice")
class ClosesOnce(InMemoryStore):
    def close(self):
        del self._key


def _run(broken, test):
    class Kit(StoreConformance):
        def make_store(self):
            return broken()

        def reopen(self, store):
            return store.reopened() if hasattr(store, "reopened") else None

        def read_call(self, store, call):
            row = store._calls.get(call)
            told = [texts.of(call) for texts in store._settings.values() if call in texts.by_call]
            return replace(row, settings=told[0] if told else ()) if row is not None else None

    getattr(Kit(), test)()


@pytest.mark.parametrize("name", DEFECTS)
def test_a_broken_store_is_caught(name):
    broken, test = DEFECTS[name]
    _run(InMemoryStore, test)
    with pytest.raises((AssertionError, AttributeError)):
        _run(broken, test)


def test_what_is_wrong_is_said():
    with pytest.raises(AssertionError, match=r"a write that expects 0, not \d+: got \(\('t3',\)"):
        _run(IgnoresExpect, "test_unexpected_generation")


def test_the_kit_needs_only_make_store():
    tests = [name for name, _ in inspect.getmembers(StoreConformance) if name.startswith("test_")]
    assert len(tests) > 30
    for name in tests:
        assert list(inspect.signature(getattr(StoreConformance, name)).parameters) == ["self"]
        assert getattr(StoreConformance, name).__doc__
    with pytest.raises(TypeError, match="make_store"):
        StoreConformance()


def test_every_ability_has_a_kit_and_a_row_in_the_page():
    each = {name for name in abilities.__all__ if getattr(getattr(abilities, name), "_is_protocol", False)}
    assert {f"{name}Conformance" for name in each} == set(kits.__all__)
    page = (Path(__file__).parents[2] / "docs" / "plugins" / "store.md").read_text(encoding="utf-8")
    _, _, rows = page.partition("## What a store may do besides")
    assert set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == each
