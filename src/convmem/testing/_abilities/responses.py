"""Calls found by the response they brought."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from convmem.abilities import KnownCall, ResponseRequest, Responses
from convmem.protocols import CallRow
from convmem.testing._abilities.base import OSAKA
from convmem.testing._store.base import ALICE, BOB, NOBODY, NOON, StoreTests, add, digest, same

__all__ = ["ResponsesConformance"]


def _finding(store: object) -> Responses:
    if not isinstance(store, Responses):
        raise AssertionError(f"{type(store).__name__} lacks methods of Responses")  # noqa: TRY004
    return store


class ResponsesConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_a_call_is_found_by_its_response(self) -> None:
        """As it was filled in last."""
        begun = CallRow(id="c", at=NOON, state="pending", model="m", end=digest("asked"))
        with self.opened() as store:
            find = _finding(store).response
            add(store, ALICE, call=begun)
            same(find(ResponseRequest("alice", "r")), None, "a call before its response")
            add(store, ALICE, call=replace(begun, response_id="r", end=None))
            known = KnownCall("c", ALICE, NOON, "pending", digest("asked"))
            same(find(ResponseRequest("alice", "r")), known, "a call whose reply is still to come")
            add(store, ALICE, call=replace(begun, state="answered", end=digest("said")))
            known = replace(known, state="answered", end=digest("said"))
            same(find(ResponseRequest("alice", "r")), known, "a call with its reply")
            same(find(ResponseRequest("alice", "r", "kyoto")), known, "the same within its session")
            same(find(ResponseRequest("alice", "r", "osaka")), None, "the same within another session")
            same(find(ResponseRequest("alice", "other")), None, "a response that nobody asked for")

    def test_responses_of_users_keep_apart(self) -> None:
        """Also those of a session without a user."""
        with self.opened() as store:
            find = _finding(store).response
            for name, ref in (("a", ALICE), ("n", NOBODY)):
                add(store, ref, call=CallRow(id=name, at=NOON, state="answered", response_id=f"r{name}"))
            same(find(ResponseRequest("bob", "ra")), None, "another user's response")
            same(find(ResponseRequest(None, "ra")), None, "a user's response, asked by nobody")
            same(find(ResponseRequest("alice", "rn")), None, "nobody's response, asked by a user")
            found = find(ResponseRequest(None, "rn"))
            same(found.ref if found is not None else None, NOBODY, "nobody's response")
            add(store, BOB, call=CallRow(id="b", at=NOON, state="answered", response_id="ra"))
            found = find(ResponseRequest("bob", "ra"))
            same(found.id if found is not None else None, "b", "a response id that two users have")

    def test_the_latest_of_several_responses(self) -> None:
        """Local servers number their responses from 1 whenever they start."""
        with self.opened() as store:
            for n, ref in enumerate((ALICE, OSAKA, ALICE)):
                at = NOON + timedelta(seconds=(5, 9, 7)[n])
                add(store, ref, call=CallRow(id=f"c{n}", at=at, state="answered", response_id="r"))
            found = _finding(store).response(ResponseRequest("alice", "r"))
            same(found.id if found is not None else None, "c1", "the latest of three calls")
