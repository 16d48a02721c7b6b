"""Looking a store over: what is sound is called sound."""

from __future__ import annotations

from convmem.abilities import Checks, ForgetRequest, Forgets
from convmem.testing._abilities.base import owner_of
from convmem.testing._store.base import ALICE, BOB, StoreTests, add, check, said, same

__all__ = ["ChecksConformance"]


class ChecksConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_a_store_that_nothing_happened_to_is_sound(self) -> None:
        """Empty, written, forgotten from; and looking changes nothing."""
        with self.opened() as store:
            if not isinstance(store, Checks):
                raise AssertionError(f"{type(store).__name__} lacks methods of Checks")  # noqa: TRY004
            same(store.check().problems, (), "problems of an empty store")
            add(store, ALICE, said("a"), said("b", role="assistant"))
            add(store, BOB, said("a"))
            before = store.stats()
            found = store.check()
            same(found.problems, (), "problems of a store with turns")
            check(found.log_bytes >= 0 and found.free_bytes >= 0, f"sizes below 0: {found}")
            same(store.stats(), before, "what the store holds after a look at it")
            if isinstance(store, Forgets):
                store.forget(ForgetRequest(owner=owner_of(ALICE)))
                same(store.check().problems, (), "problems of a store that forgot")
