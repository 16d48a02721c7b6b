"""Context lengths that were learnt from providers' errors."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

from convmem.abilities import LearntLimit, Limits
from convmem.testing._store.base import NOON, StoreTests, same

__all__ = ["LimitsConformance"]

_LIMIT = LearntLimit("api.example.com", "small", 4_096, NOON)


def _learning(store: object) -> Limits:
    if not isinstance(store, Limits):
        raise AssertionError(f"{type(store).__name__} lacks methods of Limits")  # noqa: TRY004
    return store


class LimitsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_limits_are_kept(self) -> None:
        """One per host and model; a later one takes the place of an earlier."""
        others = [
            replace(_LIMIT, model="大模型", tokens=1 << 20),
            replace(_LIMIT, host="local", at=NOON.astimezone(timezone(timedelta(hours=8)))),
        ]
        with self.opened() as store:
            same(list(_learning(store).limits()), [], "limits of an empty store")
            for limit in (others[1], _LIMIT, others[0]):
                _learning(store).put_limit(limit)
            same(list(_learning(store).limits()), [_LIMIT, *others], "three limits")
            later = replace(_LIMIT, tokens=8_192, at=NOON + timedelta(days=1))
            _learning(store).put_limit(later)
            same(list(_learning(store).limits()), [later, *others], "limits after one was learnt anew")

    def test_limits_after_reopening(self) -> None:
        """Another process need not ask for too much again."""
        with self.opened() as store:
            _learning(store).put_limit(_LIMIT)
            again = self.reopen(store)
            if again is None:
                return
            try:
                same(list(_learning(again).limits()), [_LIMIT], "limits after reopening")
            finally:
                again.close()
