"""Leads a call that fetches a response again: polls one in the background, or one whose stream broke off.

`call.opening` makes the `Retrieval`. When the provider gives the whole reply, it is journaled at the place of
the call that asked for it first, which the store finds by the response's id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import Accounts, ReceiptsRequest, ResponseRequest, Responses
from convmem.call.recipient import Recipient
from convmem.errors import ClosedError
from convmem.hooks import AnsweredEvent, DegradedEvent, FailedEvent, emit
from convmem.journal.accounts import receipt_of
from convmem.journal.end import replied
from convmem.journal.job import Job
from convmem.protocols import CallRow, NewReceipt
from convmem.types import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future
    from datetime import datetime

    from convmem.abilities import KnownCall, ReceiptRow
    from convmem.call.shared import Shared
    from convmem.journal.forest import Forest
    from convmem.protocols import SessionRef, Store, Write, Written
    from convmem.types import Mode
    from convmem.wire.values import Reply

__all__ = ["Retrieval"]


class _RetrievedJob(Job[None]):
    """Appends the reply to the call that asked for it first, unless that reply is journaled whole.

    Args:
        store: holds the journal.
        request: the response's id, and whose it is.
        reply: the fetched reply.
        at: when the reply came.
        written: told, on the writer thread, of the call, its kept receipt and the ids of the reply's turns.
    """

    def __init__(
        self,
        store: Store,
        request: ResponseRequest,
        reply: Reply,
        *,
        at: datetime,
        written: Callable[[KnownCall, ReceiptRow | None, tuple[str, ...]], None],
    ) -> None:
        super().__init__()
        self.user = request.user
        self._store = store
        self._request = request
        self._reply = reply
        self._at = at
        self._tell = written
        self._call: KnownCall | None = None

    @property
    def ref(self) -> SessionRef | None:
        """None: only the store knows the session, by the response's id."""
        return None

    def plan(self, forest: Forest) -> Write | None:
        """The write of the reply; None when the response is unknown, or its reply is journaled whole."""
        store = forest.store
        known = store.response(self._request) if isinstance(store, Responses) else None
        if known is None or known.end is None or known.state == "answered":
            return None
        _, tree = forest.tree(known.ref, now=True)
        if (end := tree.get(known.end)) is not None and end.forgotten:
            return None  # what it answers was forgotten
        self._call = known
        asked = (node.identity for node in reversed(tree.path(known.end)))
        row = CallRow(id=known.id, at=known.at, state=self._reply.state)
        write = replied(
            store.key, tree, known.ref, end=known.end, asked=asked, reply=self._reply, row=row, at=self._at
        )
        there = _receipt(store, known.id)
        if there is None:
            return write
        # The state and the usage are the call's own; the store counts the reply among the receipt's turns.
        receipt = NewReceipt(turns=there.turns, quoted=there.quoted, account=there.account)
        return replace(write, receipt=receipt)

    def settle(self, written: Written | None) -> None:
        """Tell that the reply is journaled, if it was not before."""
        if written is not None and self._call is not None:
            self._tell(self._call, _receipt(self._store, self._call.id), written.ids or ())


def _receipt(store: Store, call: str) -> ReceiptRow | None:
    """The kept receipt of a call; None without one."""
    found = store.receipts(ReceiptsRequest(call=call)) if isinstance(store, Accounts) else ()
    return next(iter(found), None)


class Retrieval(Recipient):
    """A response that is fetched again.

    The receipt is that of the call that asked for the response first, once the reply is journaled; it is None
    when the reply was journaled whole before.

    Args:
        shared: what the calls of the Memory share.
        response_id: the provider's id of the response.
        user: whose memory; None for nobody's.
        session: the session that the caller named; None without one.
        mode: what memory may do.
    """

    def __init__(
        self, shared: Shared, response_id: str, *, user: str | None, session: str | None, mode: Mode
    ) -> None:
        self._shared = shared
        self._request = ResponseRequest(user, response_id, session)
        self._mode: Mode = mode
        self._receipt: Receipt | None = None
        self._turns: tuple[str, ...] = ()

    @property
    def receipt(self) -> Receipt | None:
        """The receipt of the call that asked for the response first, once that is known."""
        return self._receipt

    def end(self, reply: Reply, error: BaseException | None = None, *, early: bool) -> Future[None] | None:
        """Submit the job that journals the reply; None while the provider is at work, or for half a reply."""
        del error
        if early or self.ended or reply.waiting:
            return None
        self.ended = True
        shared = self._shared
        job = _RetrievedJob(shared.store, self._request, reply, at=shared.clock(), written=self._written)
        try:
            return shared.journal.submit(job)
        except ClosedError as closed:
            job.fail(closed)
            return job.outcome

    def unquote(self, ids: Collection[str]) -> None:
        """Do nothing for forgotten turns: the receipt quotes no words."""

    def _written(self, known: KnownCall, row: ReceiptRow | None, turns: tuple[str, ...]) -> None:
        """Take the kept receipt of the call, or make a new one; called on the writer thread."""
        self._shared.recaller.indexer.wake()
        self._turns = turns
        if row is not None:
            self._receipt = receipt_of(row, self._shared.prices)
            return
        user, session = known.ref.user, known.ref.session
        self._receipt = Receipt(
            call=known.id, at=known.at, user=user, session=session, mode=self._mode, journaled=True
        )

    def kept(
        self, error: BaseException | None, reply: Reply, response: object, *, waited_s: float, raises: bool
    ) -> None:
        """Complete the receipt and tell the hooks, when the reply is journaled; tell of trouble otherwise."""
        del waited_s, raises
        shared = self._shared
        if error is not None:
            detail = f"the reply is not journaled: {error}"
            emit(shared.hooks, DegradedEvent(detail=detail, user=self._request.user))
            return
        if (receipt := self._receipt) is None:
            return
        turns = tuple(dict.fromkeys((*receipt.turns, *self._turns)))
        receipt = self._receipt = receipt.with_(state=reply.state, usage=reply.usage, turns=turns)
        shared.receipts.put(response, self)
        shared.receipts.begin(self)
        call, user, session = receipt.call, receipt.user, receipt.session
        if reply.choices:
            event = AnsweredEvent(call=call, user=user, session=session, state=reply.state, usage=reply.usage)
            emit(shared.hooks, event)
        else:
            emit(shared.hooks, FailedEvent(call=call, user=user, session=session))
