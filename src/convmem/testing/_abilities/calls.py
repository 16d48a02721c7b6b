"""Calls: what is kept of them, told again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

from convmem.abilities import Calls, CallsRequest, ForgetRequest, Forgets
from convmem.protocols import CallRow, SessionRef
from convmem.testing._abilities.base import OSAKA, owner_of
from convmem.testing._store.base import ALICE, BOB, NOBODY, NOON, StoreTests, add, said, same

__all__ = ["CallsConformance"]

_CALL = CallRow(id="c1", at=NOON, state="pending", model="small", host="api.example.com")
_USAGE = {"prompt_tokens": 7, "details": {"cached": 3, "名": None}}


def _calls(store: object, ref: SessionRef, *, after: str = "", limit: int = 500) -> list[CallRow]:
    if not isinstance(store, Calls):
        raise AssertionError(f"{type(store).__name__} lacks methods of Calls")  # noqa: TRY004
    found = store.calls(CallsRequest(ref=ref, after=after, limit=limit))
    return [replace(call, settings=(), end=None) for call in found]


class CallsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_calls_are_told_as_they_were_written(self) -> None:
        """With what the second write filled in; a time keeps its zone."""
        with self.opened() as store:
            same(_calls(store, ALICE), [], "calls of a session that is not there")
            there = replace(_CALL, at=NOON.astimezone(timezone(timedelta(hours=9))))
            add(store, ALICE, said("a"), call=there)
            same(_calls(store, ALICE), [there], "a call on its way")
            add(store, ALICE, call=CallRow(id="c1", at=NOON, state="answered", usage=_USAGE, response_id="r"))
            ended = replace(there, state="answered", usage=_USAGE, response_id="r")
            same(_calls(store, ALICE), [ended], "a call that ended")
            same(_calls(store, ALICE)[0].at.isoformat(), there.at.isoformat(), "when it was made")

    def test_calls_are_told_in_pages(self) -> None:
        """By their ids, each once."""
        with self.opened() as store:
            for name in ("c3", "c1", "c2"):
                add(store, ALICE, call=replace(_CALL, id=name))
            same([c.id for c in _calls(store, ALICE, limit=2)], ["c1", "c2"], "the first two calls")
            same([c.id for c in _calls(store, ALICE, after="c2")], ["c3"], "those after them")
            same(_calls(store, ALICE, after="c3"), [], "calls after the last one")

    def test_calls_keep_apart(self) -> None:
        """By user and session."""
        refs = (ALICE, OSAKA, BOB, NOBODY)
        with self.opened() as store:
            for n, ref in enumerate(refs):
                add(store, ref, call=replace(_CALL, id=f"c{n}"))
            for n, ref in enumerate(refs):
                same([c.id for c in _calls(store, ref)], [f"c{n}"], f"calls of {ref}")

    def test_calls_go_with_their_session(self) -> None:
        """Where the store can forget; those of others stay."""
        with self.opened() as store:
            if not isinstance(store, Forgets):
                return
            for n, ref in enumerate((ALICE, BOB)):
                add(store, ref, said("a"), call=replace(_CALL, id=f"c{n}"))
            store.forget(ForgetRequest(owner=owner_of(ALICE)))
            same(_calls(store, ALICE), [], "calls of a forgotten user")
            same(len(_calls(store, BOB)), 1, "calls of another")
