"""Receipts: kept with the write they come with, told newest first, gone with their turns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

from convmem.abilities import Accounts, ForgetRequest, Forgets, ReceiptRow, ReceiptsRequest
from convmem.protocols import CallRow, NewReceipt, QuotedRow, SessionRef, Write
from convmem.testing._abilities.base import OSAKA, owner_of, seqs
from convmem.testing._store.base import ALICE, BOB, NOBODY, NOON, StoreTests, add, line, said, same

if TYPE_CHECKING:
    from convmem.protocols import NewTurn, Store

__all__ = ["AccountsConformance"]

_CALL = CallRow(id="c1", at=NOON, state="answered", model="small", host="api.example.com")
_ACCOUNT = '{"notes":["京都 \\"twice\\""]}'
_GONE = 10**6
"""A place where no turn is."""


def _told(store: object, request: ReceiptsRequest | None = None) -> list[ReceiptRow]:
    if not isinstance(store, Accounts):
        raise AssertionError(f"{type(store).__name__} lacks methods of Accounts")  # noqa: TRY004
    found = store.receipts(request if request is not None else ReceiptsRequest())
    return [replace(row, call=replace(row.call, settings=(), end=None)) for row in found]


def _names(store: object, request: ReceiptsRequest | None = None) -> list[str]:
    return [row.call.id for row in _told(store, request)]


def _keep(
    store: Store, ref: SessionRef, call: CallRow, *turns: NewTurn, receipt: NewReceipt | None = None
) -> None:
    """Write a call with its receipt."""
    receipt = receipt if receipt is not None else NewReceipt(account=_ACCOUNT)
    store.write([Write(ref=ref, turns=turns, call=call, receipt=receipt)])


class AccountsConformance(StoreTests):
    """Inherit it as a test class and override `make_store`; see `convmem.testing.abilities`."""

    def test_a_receipt_is_told_as_it_was_written(self) -> None:
        """With its call, and the turns that came with the same write behind those that came before."""
        there = replace(
            _CALL, at=NOON.astimezone(timezone(timedelta(hours=9))), usage={"n": 1}, response_id="r"
        )
        with self.opened() as store:
            same(_told(store), [], "receipts of an empty store")
            asked, replied = line("a", "b")
            add(store, ALICE, asked, call=replace(there, state="pending", usage=None, response_id=None))
            add(store, OSAKA, said("x"))
            same(_told(store), [], "receipts of a call on its way")
            (first,), (old,) = seqs(store, ALICE), seqs(store, OSAKA)
            quoted = (QuotedRow(old, '{"score":1.5}'), QuotedRow(_GONE, "{}"))
            _keep(
                store,
                ALICE,
                replace(there, model=None, host=None),
                replied,
                receipt=NewReceipt(turns=(first,), quoted=quoted, account=_ACCOUNT),
            )
            row = ReceiptRow(
                call=there,
                ref=ALICE,
                turns=tuple(seqs(store, ALICE)),
                quoted=quoted[:1],
                account=_ACCOUNT,
            )
            same(_told(store), [row], "a receipt, less a turn that is not there")
            same(_told(store)[0].call.at.isoformat(), there.at.isoformat(), "when the call was made")
            again = self.reopen(store)
            if again is not None:
                try:
                    same(_told(again), [row], "receipts after reopening")
                finally:
                    again.close()

    def test_a_receipt_replaces_the_one_before(self) -> None:
        """That of the same call, at its place in the order."""
        with self.opened() as store:
            for name in ("c1", "c2"):
                _keep(store, ALICE, replace(_CALL, id=name))
            _keep(store, ALICE, _CALL, said("late"), receipt=NewReceipt(account="{}"))
            same(
                [(row.call.id, row.account) for row in _told(store)], [("c2", _ACCOUNT), ("c1", "{}")], "both"
            )
            same(_told(store)[1].turns, tuple(seqs(store, ALICE)), "the turns of the later write")

    def test_receipts_come_newest_first(self) -> None:
        """By the time of their calls, whatever zone its clock had; of one time the last written first."""
        minutes = {"b": 1, "d": 3, "a": 0, "c": 2, "e": 3}
        with self.opened() as store:
            for n, (name, minute) in enumerate(minutes.items()):
                at = (NOON + timedelta(minutes=minute)).astimezone(timezone(timedelta(hours=n - 3)))
                _keep(store, (ALICE, OSAKA)[n % 2], replace(_CALL, id=name, at=at))
            same(_names(store), ["e", "d", "c", "b", "a"], "all receipts")
            same(_names(store, ReceiptsRequest(limit=2)), ["e", "d"], "the newest two")
            since = (NOON + timedelta(minutes=2)).astimezone(timezone(timedelta(hours=-7)))
            same(_names(store, ReceiptsRequest(since=since)), ["e", "d", "c"], "those since a time")
            later = since + timedelta(microseconds=1)
            same(_names(store, ReceiptsRequest(since=later)), ["e", "d"], "those since a moment later")

    def test_receipts_keep_apart(self) -> None:
        """By user, session and call."""
        refs = (ALICE, OSAKA, BOB, NOBODY)
        with self.opened() as store:
            for n, ref in enumerate(refs):
                _keep(store, ref, replace(_CALL, id=f"c{n}"))
            same(_names(store, ReceiptsRequest(owner="alice")), ["c1", "c0"], "receipts of a user")
            same(_names(store, ReceiptsRequest(owner="carol")), [], "receipts of an unknown user")
            same(_names(store, ReceiptsRequest(owner=None)), ["c3"], "receipts of nobody")
            for n, ref in enumerate(refs):
                asked = ReceiptsRequest(owner=ref.user, session=ref.session)
                same([(row.call.id, row.ref) for row in _told(store, asked)], [(f"c{n}", ref)], f"of {ref}")
            same(_names(store, ReceiptsRequest(call="c2")), ["c2"], "the receipt of a call")
            same(_names(store, ReceiptsRequest(owner="alice", call="c2")), [], "another user's receipt")

    def test_a_receipt_goes_with_its_turns(self) -> None:
        """Where the store can forget; other receipts no longer name what was forgotten."""
        with self.opened() as store:
            if not isinstance(store, Forgets):
                return
            _keep(store, ALICE, replace(_CALL, id="c1"), *line("a", "b"))
            one, two = seqs(store, ALICE)
            quoted = (QuotedRow(one, "{}"), QuotedRow(two, "[]"))
            _keep(
                store,
                OSAKA,
                replace(_CALL, id="c2"),
                said("x"),
                receipt=NewReceipt(quoted=quoted, account="{}"),
            )
            _keep(store, BOB, replace(_CALL, id="c3"), said("y"))
            done = store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(one,)))
            same(_names(store), ["c3", "c2"], "receipts after a turn was forgotten")
            same(_told(store)[1].quoted, quoted[1:], "what another receipt quotes")
            same(store.residue(owner_of(ALICE), done.seqs), 0, "what is left of the turn")
            same(store.stats().calls, 3, "calls after a receipt was dropped")

    def test_a_receipt_goes_with_its_session(self) -> None:
        """Also when its call journaled nothing."""
        with self.opened() as store:
            if not isinstance(store, Forgets):
                return
            for n, ref in enumerate((ALICE, OSAKA, BOB, NOBODY)):
                _keep(store, ref, replace(_CALL, id=f"c{n}"))
            store.forget(ForgetRequest(owner=owner_of(ALICE), session=ALICE.session))
            same(_names(store), ["c3", "c2", "c1"], "receipts after a session was forgotten")
            store.forget(ForgetRequest(owner=owner_of(ALICE)))
            store.forget(ForgetRequest(owner=owner_of(NOBODY)))
            same(_names(store), ["c2"], "receipts after a user was forgotten, and nobody's session")

    def test_a_receipt_that_is_late(self) -> None:
        """One of its turns was forgotten before it came: it is not kept, and an older one goes."""
        with self.opened() as store:
            if not isinstance(store, Forgets):
                return
            add(store, ALICE, said("a"))
            (one,) = seqs(store, ALICE)
            _keep(store, ALICE, _CALL)
            store.forget(ForgetRequest(owner=owner_of(ALICE), seqs=(one,)))
            _keep(store, ALICE, _CALL, receipt=NewReceipt(turns=(one,), account="{}"))
            same(_told(store), [], "receipts with a turn that is gone")
