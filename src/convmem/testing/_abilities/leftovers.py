"""What hangs on forgotten turns: views, epochs, pins, media, calls and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convmem.abilities import Epoch, EpochRef, Epochs, NewView, OwnerRef, Pins, Views
from convmem.protocols import CallRow, NodesRequest
from convmem.testing._abilities.base import (
    MODEL,
    OSAKA,
    OTHER_MODEL,
    forgetful,
    owner_of,
    rows,
    seqs,
    unindexed,
    views,
)
from convmem.testing._abilities.forgetting import forget
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    NOON,
    StoreTests,
    add,
    check,
    contents,
    digest,
    line,
    nodes,
    said,
    same,
)

if TYPE_CHECKING:
    from convmem.protocols import NewTurn, SessionRef, Store

__all__ = ["Leftovers"]


def _picture(n: int, *, after: NewTurn | None = None) -> NewTurn:
    url = "data:image/png;base64," + f"{n:04d}" * 600
    return said(
        [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "look"}], after=after
    )


def _call(n: str, ref: SessionRef, text: str) -> CallRow:
    settings: tuple[dict[str, Any], ...] = ({"role": "system", "content": text},)
    return CallRow(
        id=f"{n} {ref}", at=NOON, state="answered", model="m", settings=settings, usage={"total_tokens": 3}
    )


class Leftovers(StoreTests):
    """What `forget` does to all that is not a turn."""

    def test_views_of_forgotten_turns(self) -> None:
        """They are gone, cannot be put again, and nobody is asked to make them."""
        with self.opened() as store:
            if not isinstance(store, Views):
                return
            for ref in (ALICE, BOB):
                add(store, ref, *line("a", "b", "c"))
                store.put_views(
                    [NewView(seq=s, entry=b"e", fingerprint=MODEL, vector=b"12") for s in seqs(store, ref)]
                )
            before = views(store, ALICE)
            gone, *left = seqs(store, ALICE)
            forget(store, ALICE, gone)
            after = views(store, ALICE)
            check(after.generation > before.generation, "the owner's generation did not rise")
            check(after.redaction > before.redaction, "the owner's redaction did not rise")
            same([row.seq for row in after.rows], left, "views after one turn was forgotten")
            store.put_views([NewView(seq=gone, entry=b"e", fingerprint=MODEL, vector=b"12")])
            same(sorted(rows(store, ALICE)), left, "views after those of the forgotten turn were put again")
            same(unindexed(store, OTHER_MODEL), [*left, *seqs(store, BOB)], "turns that lack a vector")
            same(len(rows(store, BOB)), 3, "views of another owner")

    def test_epochs_of_forgotten_turns(self) -> None:
        """A summary may hold their words: the session has none; other sessions keep theirs."""
        with self.opened() as store:
            if not isinstance(store, Epochs):
                return
            refs = (ALICE, OSAKA, BOB, NOBODY)
            places = [EpochRef(ref, host, "m") for ref in refs for host in ("h", "i")]
            for ref in refs:
                add(store, ref, *line("a", "b"))
            for which in places:
                store.put_epoch(which, Epoch(digest("a"), "words"))
            forget(store, ALICE, seqs(store, ALICE)[0])
            left = {which.ref for which in places if store.epoch(which) is not None}
            same(left, {OSAKA, BOB, NOBODY}, "sessions with an epoch after a turn of one was forgotten")
            forget(store, ALICE, everything=True)
            store.put_epoch(EpochRef(OSAKA, "h", "m"), Epoch(digest("a"), "too late"))
            left = {which.ref for which in places if store.epoch(which) is not None}
            same(left, {BOB, NOBODY}, "sessions with an epoch after their user was forgotten")

    def test_epochs_of_forgotten_pins(self) -> None:
        """Pins stand in the summaries of all the owner's sessions: none has one."""
        with self.opened() as store:
            if not isinstance(store, Epochs) or not isinstance(store, Pins):
                return
            places = [EpochRef(ref, "h", "m") for ref in (ALICE, OSAKA, BOB, NOBODY)]
            for which in places:
                add(store, which.ref, *line("a", "b"))
                store.put_epoch(which, Epoch(digest("a"), "words"))
            pin = store.put_pin(OwnerRef("alice"), "1", NOON)
            forget(store, ALICE, 10**6, pins=(pin.id,))
            left = {which.ref for which in places if store.epoch(which) is not None}
            same(left, {BOB, NOBODY}, "sessions with an epoch after a pin of one user was forgotten")

    def test_an_epoch_that_is_late(self) -> None:
        """One that was made of what has been forgotten since is not kept, and nothing is changed."""
        with self.opened() as store:
            if not isinstance(store, Epochs):
                return
            which = EpochRef(ALICE, "h", "m")
            add(store, ALICE, *line("a", "b", "c"))
            before = _redaction(store, ALICE)
            check(
                store.put_epoch(which, Epoch(digest("a"), "1"), redaction=before),
                "an epoch in time was refused",
            )
            forget(store, ALICE, seqs(store, ALICE)[0])
            late = store.put_epoch(which, Epoch(digest("a"), "2"), redaction=before)
            same(
                (late, store.epoch(which)),
                (False, None),
                "an epoch that was made before something was forgotten",
            )
            now = _redaction(store, ALICE)
            check(store.put_epoch(which, Epoch(digest("a"), "3"), redaction=now), "the next one was refused")
            same(
                store.nodes(NodesRequest(OSAKA)).redaction,
                now,
                "the redaction where a session is still to come",
            )
            check(
                not store.put_epoch(which, None, redaction=before) and store.epoch(which) is not None,
                "an epoch was ended late",
            )

    def test_pins_of_a_forgotten_owner(self) -> None:
        """All of them go with the whole owner, unless ids are given; with less only those that are named."""
        with self.opened() as store:
            if not isinstance(store, Pins):
                return
            add(store, ALICE, *line("a", "b", "c"))
            add(store, OSAKA, said("a"))
            one, two, three = (store.put_pin(OwnerRef("alice"), text, NOON) for text in ("1", "2", "3"))
            other = store.put_pin(OwnerRef("bob"), "1", NOON)
            for asked, ids, left in (
                (seqs(store, ALICE)[:1], None, [one, two, three]),
                (seqs(store, ALICE)[1:2], (two.id, other.id, "p", "", "no pin"), [one, three]),
                ([], None, [one, three]),
            ):
                done = forget(store, ALICE, *asked, pins=ids)
                same(done.pins, 1 if ids else 0, f"pins that went with {ids}")
                same(list(store.pins(OwnerRef("alice"))), left, f"pins left after {ids}")
            redaction = _redaction(store, OSAKA)
            same(forget(store, OSAKA, 10**6, pins=(one.id,)).pins, 1, "a pin that went alone")
            check(_redaction(store, OSAKA) > redaction, "a pin went and the redaction did not rise")
            same(forget(store, ALICE, everything=True, pins=()).pins, 0, "pins of an owner who keeps them")
            same(forget(store, ALICE, everything=True).pins, 1, "pins that went with their owner")
            same(list(store.pins(OwnerRef("alice"))), [], "pins of a forgotten owner")
            same(list(store.pins(OwnerRef("bob"))), [other], "pins of another")
            again = store.put_pin(OwnerRef("alice"), "1", NOON)
            check(again.id not in {one.id, two.id, three.id}, "a forgotten pin's id is used again")

    def test_media_of_forgotten_turns(self) -> None:
        """What other turns show is still there, of this owner and of others."""
        with self.opened() as store:
            first, second = _picture(1), _picture(2)
            for ref in (ALICE, OSAKA, BOB):
                add(store, ref, first, second, _picture(1, after=first))
            shown = contents(store, BOB)
            forget(store, ALICE, *seqs(store, ALICE)[:2])
            same(contents(store, ALICE), [shown[2]], "a picture shown twice, once forgotten")
            same(contents(store, OSAKA), shown, "pictures of another session")
            forget(store, ALICE)
            same(contents(store, OSAKA), shown, "pictures of another session after all of one went")
            forget(store, ALICE, everything=True)
            same(contents(store, BOB), shown, "pictures of another user")
            add(store, ALICE, said("x"), _picture(1))
            same(contents(store, ALICE), ["x", shown[0]], "a picture sent again after it was forgotten")

    def test_calls_of_forgotten_turns(self) -> None:
        """They hold no words and stay, until their whole session goes, and then their settings too."""
        with self.opened() as store:
            for ref in (ALICE, OSAKA, BOB, NOBODY):
                add(store, ref, *line("a", "b"), call=_call("1", ref, "Be brief."))
                add(store, ref, call=_call("2", ref, f"Only in {ref.session}."))
            forget(store, ALICE, *seqs(store, ALICE))
            same(store.stats().calls, 8, "calls after turns were forgotten")
            forget(store, ALICE)
            same(store.stats().calls, 6, "calls after a session was forgotten")
            forget(store, NOBODY, everything=True)
            same(store.stats().calls, 4, "calls after an owner was forgotten")
            for n, ref, text in (
                ("1", OSAKA, "Be brief."),
                ("2", BOB, "Only in kyoto."),
                ("1", BOB, "Be brief."),
            ):
                kept = self.read_call(store, _call(n, ref, "").id)
                if kept is not None:
                    same(kept.settings, _call(n, ref, text).settings, f"settings of call {n} of {ref}")

    def test_settings_that_differ_little(self) -> None:
        """They come back verbatim, also when the session that sent the first of them is gone."""
        with self.opened() as store:
            sent: dict[str, CallRow] = {}
            for n in range(24):
                ref = (OSAKA, ALICE, BOB)[n % 3]
                text = f"Now: 10:00:{n:02d}. 现在 {n} 点。\n" + "You are a careful clerk. 请简短回答。\n" * 60
                call = _call(f"{n:02d}", ref, f"{text}{n} visits so far." if n % 2 else text)
                add(store, ref, said(f"{n}"), call=call)
                sent[call.id] = call
            for gone in ((), (OSAKA,), (OSAKA, ALICE)):
                for ref in gone:
                    forget(store, ref)
                for id_, call in sent.items():
                    kept = self.read_call(store, id_)
                    if kept is not None:
                        same(
                            kept.settings,
                            call.settings,
                            f"settings of call {id_} without {len(gone)} sessions",
                        )
            add(store, ALICE, said("again"), call=_call("again", ALICE, "Now: 11:00:00."))
            same(store.stats().calls, 9, "calls after two sessions were forgotten")

    def test_a_session_of_calls_alone(self) -> None:
        """It can be forgotten, though nothing was said in it."""
        with self.opened() as store:
            add(store, ALICE, call=_call("1", ALICE, "Be brief."))
            before = _redaction(store, ALICE)
            same(forget(store, ALICE).seqs, (), "turns of a session of calls")
            same(store.stats().calls, 0, "its calls")
            check(_redaction(store, ALICE) > before, "its settings went and the redaction did not rise")

    def test_forgotten_after_reopening(self) -> None:
        """It stays forgotten, with its tombstones."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b", "c"))
            first, *left = seqs(store, ALICE)
            forget(store, ALICE, first)
            found, redaction = nodes(store, ALICE), _redaction(store, ALICE)
            again = self.reopen(store)
            if again is None:
                return
            try:
                same(nodes(again, ALICE), found, "nodes after reopening")
                same(_redaction(again, ALICE), redaction, "redaction after reopening")
                same(seqs(again, ALICE), left, "turns after reopening")
                same(forgetful(again).residue(owner_of(ALICE), [first]), 0, "what is left of the forgotten")
                add(again, ALICE, said("d"))
                check(seqs(again, ALICE)[-1] > left[-1], "a turn after reopening has an older place")
            finally:
                again.close()

    def test_the_newest_turn_forgotten(self) -> None:
        """Its place is not given to another, not after reopening either."""
        with self.opened() as store:
            add(store, ALICE, *line("a", "b"))
            last = seqs(store, ALICE)[-1]
            forget(store, ALICE, last)
            again = self.reopen(store) or store
            try:
                add(again, ALICE, said("c"))
                check(seqs(again, ALICE)[-1] > last, "a new turn has the place of a forgotten one")
            finally:
                again.close()


def _redaction(store: Store, ref: SessionRef) -> int:
    """The redaction of a session's owner."""
    return store.nodes(NodesRequest(ref)).redaction
