"""Epochs: where a window begins, found again after a restart."""

from __future__ import annotations

from dataclasses import replace

from convmem.abilities import Epoch, EpochRef
from convmem.testing._abilities.base import OSAKA, cutting
from convmem.testing._store.base import (
    ALICE,
    BOB,
    NOBODY,
    StoreTests,
    add,
    contents,
    digest,
    line,
    said,
    same,
)

__all__ = ["EpochsConformance"]

_WHICH = EpochRef(ALICE, "api.example.com", "small")


class EpochsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_no_epoch_before_the_first_cut(self) -> None:
        """Neither in a session nor without one."""
        with self.opened() as store:
            same(cutting(store).epoch(_WHICH), None, "the epoch of a session that is not there")
            add(store, ALICE, said("a"))
            same(cutting(store).epoch(_WHICH), None, "the epoch before a cut")

    def test_a_cut_is_kept(self) -> None:
        """As it was given, until the next one or the end."""
        summaries = (
            "",
            "Two rounds.",
            "京都の宿は決まった。\n\0 'quoted' \"twice\"",
            "long " * 2000,
            "\ud83d",
            "Two rounds.",
        )
        with self.opened() as store:
            first, *_ = line("a", "b")
            add(store, ALICE, first)
            for n, summary in enumerate(summaries):
                epoch = Epoch(first.identity if n % 2 else digest(n), summary)
                cutting(store).put_epoch(_WHICH, epoch)
                same(cutting(store).epoch(_WHICH), epoch, f"the epoch after {n + 1} cuts")
            cutting(store).put_epoch(_WHICH, None)
            same(cutting(store).epoch(_WHICH), None, "an epoch that ended")
            cutting(store).put_epoch(_WHICH, None)
            same(contents(store, ALICE), ["a"], "turns after cuts")

    def test_epochs_keep_apart(self) -> None:
        """By user, session, host and model."""
        places = [
            _WHICH,
            replace(_WHICH, host="other.example.com"),
            replace(_WHICH, model="large"),
            replace(_WHICH, host=_WHICH.model, model=_WHICH.host),
            *(replace(_WHICH, ref=ref) for ref in (BOB, NOBODY, OSAKA)),
        ]
        with self.opened() as store:
            for ref in (ALICE, BOB, NOBODY, OSAKA):
                add(store, ref, said("a"))
            epochs = {which: Epoch(digest(n), f"number {n}") for n, which in enumerate(places)}
            for which, epoch in epochs.items():
                cutting(store).put_epoch(which, epoch)
            same(
                {which: cutting(store).epoch(which) for which in places},
                epochs,
                "epochs of seven places",
            )
            cutting(store).put_epoch(_WHICH, None)
            left = [which for which in places if cutting(store).epoch(which) is None]
            same(left, [_WHICH], "places without an epoch after one ended")

    def test_an_epoch_of_nothing(self) -> None:
        """A session that is not there, or has no turns, is passed over and not made."""
        with self.opened() as store:
            add(store, BOB)
            for which in (_WHICH, replace(_WHICH, ref=BOB)):
                cutting(store).put_epoch(which, Epoch(digest("a"), "words"))
                same(cutting(store).epoch(which), None, f"the epoch of {which.ref}, which has no turns")
            same(store.stats().sessions, 1, "sessions after a cut in one that is not there")

    def test_epochs_after_reopening(self) -> None:
        """A restart does not move the window."""
        with self.opened() as store:
            add(store, ALICE, said("a"))
            epoch = Epoch(digest("a"), "words")
            cutting(store).put_epoch(_WHICH, epoch)
            again = self.reopen(store)
            if again is None:
                return
            try:
                same(cutting(again).epoch(_WHICH), epoch, "the epoch after reopening")
            finally:
                again.close()
