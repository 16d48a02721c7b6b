"""Pins: texts of an owner, each once, in their order."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from convmem.abilities import OwnerRef, Pin, Views
from convmem.testing._abilities.base import pinning, views
from convmem.testing._store.base import ALICE, BOB, NOON, StoreTests, add, check, said, same, turns

__all__ = ["PinsConformance"]

_ALICE, _BOB, _ALONE = OwnerRef("alice"), OwnerRef("bob"), OwnerRef(None, "kyoto")


class PinsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_pins_are_kept(self) -> None:
        """Verbatim, with their time, the oldest pin first whatever the clock says."""
        texts = [
            "Answer in French.",
            "以后都用中文",
            " spaced\n",
            "a\0b",
            "long " * 2000,
            "\ud83d",
            "\u00c9",
            "E\u0301",
        ]
        zone = timezone(timedelta(hours=9))
        with self.opened() as store:
            same(list(pinning(store).pins(_ALICE)), [], "pins of an owner that is not there")
            made = [
                pinning(store).put_pin(_ALICE, text, datetime(2026 - n, 3, 1, 12, 0, 1, 2, zone))
                for n, text in enumerate(texts)
            ]
            same([pin.text for pin in made], texts, "texts of pins, as told when they were made")
            found = list(pinning(store).pins(_ALICE))
            same(found, made, "pins as they are read")
            same([pin.at.isoformat() for pin in found], [pin.at.isoformat() for pin in made], "their times")
            same(len({pin.id for pin in found}), len(texts), "different ids of pins")

    def test_the_same_text_is_the_same_pin(self) -> None:
        """It keeps its id, its time and its place."""
        with self.opened() as store:
            first = pinning(store).put_pin(_ALICE, "tea", NOON)
            other = pinning(store).put_pin(_ALICE, "Tea", NOON)
            again = pinning(store).put_pin(_ALICE, "tea", NOON + timedelta(days=1))
            same(again, first, "a pin made again")
            same(list(pinning(store).pins(_ALICE)), [first, other], "pins after one was made again")

    def test_pins_of_owners_keep_apart(self) -> None:
        """Users, and a session without a user; each may pin before anything was said."""
        with self.opened() as store:
            made: dict[OwnerRef, list[Pin]] = {}
            for owner in (_ALICE, _BOB, _ALONE, _ALICE):
                text = "the same" if owner not in made else "another"
                made.setdefault(owner, []).append(pinning(store).put_pin(owner, text, NOON))
            for owner, pins in made.items():
                same(list(pinning(store).pins(owner)), pins, f"pins of {owner}")
            same(len({pin.id for pins in made.values() for pin in pins}), 4, "different ids of four pins")
            same((store.stats().users, store.stats().sessions), (0, 0), "users and sessions made by pins")
            add(store, ALICE, said("a"))
            same(list(pinning(store).pins(_ALICE)), made[_ALICE], "pins after the owner said something")

    def test_a_pin_raises_the_owners_generation(self) -> None:
        """So that what is cached of the owner is read again."""
        with self.opened() as store:
            if not isinstance(store, Views):
                return
            add(store, ALICE, said("a"))
            add(store, BOB, said("a"))
            alice, bob = views(store, ALICE).generation, views(store, BOB).generation
            pinning(store).put_pin(_ALICE, "tea", NOON)
            check(views(store, ALICE).generation > alice, f"a pin left the owner at generation {alice}")
            same(views(store, BOB).generation, bob, "the generation of an owner without a new pin")
            check(add(store, ALICE, said("b")).generation > alice + 1, "a write went back behind a pin")

    def test_a_pin_is_dropped_by_its_id(self) -> None:
        """For good: the others stay, and the owner's redaction rises. Unknown ids change nothing."""
        with self.opened() as store:
            add(store, ALICE, said("a"))
            one, two, three = (pinning(store).put_pin(_ALICE, text, NOON) for text in ("1", "2", "3"))
            other = pinning(store).put_pin(_BOB, "2", NOON)
            before = views(store, ALICE) if isinstance(store, Views) else None
            for id_ in (other.id, "p", "", "no pin", "p999", "t1"):
                same(pinning(store).drop_pin(_ALICE, id_), False, f"whether {id_!r} was dropped")
            same(pinning(store).drop_pin(OwnerRef("carol"), one.id), False, "a pin dropped for nobody")
            if before is not None:
                same(views(store, ALICE).generation, before.generation, "the generation when nothing went")
            same(pinning(store).drop_pin(_ALICE, two.id), True, "whether the pin was dropped")
            same(pinning(store).drop_pin(_ALICE, two.id), False, "whether it was dropped again")
            same(list(pinning(store).pins(_ALICE)), [one, three], "pins that are left")
            same(list(pinning(store).pins(_BOB)), [other], "pins of another")
            if before is not None:
                after = views(store, ALICE)
                check(after.generation > before.generation, "a pin went and the generation did not rise")
                check(after.redaction > before.redaction, "a pin went and the redaction did not rise")
            again = pinning(store).put_pin(_ALICE, "2", NOON)
            check(again.id not in {one.id, two.id, three.id}, "a dropped pin's id is used again")
            same(len(turns(store, ALICE)), 1, "turns after a pin went")

    def test_pins_after_reopening(self) -> None:
        """They are there."""
        with self.opened() as store:
            made = [pinning(store).put_pin(_ALICE, text, NOON) for text in ("b", "a")]
            again = self.reopen(store)
            if again is None:
                return
            try:
                same(list(pinning(again).pins(_ALICE)), made, "pins after reopening")
                same(pinning(again).put_pin(_ALICE, "a", NOON), made[1], "a pin made again after reopening")
            finally:
                again.close()
