"""A response that was asked for again: polled in the background, or fetched after its stream broke off."""

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
    """Append the reply to the call that asked for it, unless it has it already."""

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
        """Only the store knows."""
        return None

    def plan(self, forest: Forest) -> Write | None:
        """Nothing when the response is unknown, or its reply was journaled whole."""
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
        """Tell of it, if it was news."""
        if written is not None and self._call is not None:
            self._tell(self._call, _receipt(self._store, self._call.id), written.ids or ())


def _receipt(store: Store, call: str) -> ReceiptRow | None:
    """The receipt that is kept of a call."""
    found = store.receipts(ReceiptsRequest(call=call)) if isinstance(store, Accounts) else ()
    return next(iter(found), None)


class Retrieval(Recipient):
    """One response on its way to whoever asked for it again.

    Its receipt is that of the call the response belongs to, once its reply is journaled; None when that was
    no news.
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
        """The account of the call it belongs to, once that is known."""
        return self._receipt

    @property
    def patience_s(self) -> float:
        """Seconds that the writer is waited for."""
        return self._shared.patience_s

    def end(self, reply: Reply, error: BaseException | None = None, *, early: bool) -> Future[None] | None:
        """Journal the reply; nothing while the provider is at it, nor of one that did not arrive whole."""
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
        """These turns were forgotten; the receipt has no words of them."""

    def _written(self, known: KnownCall, row: ReceiptRow | None, turns: tuple[str, ...]) -> None:
        """On the writer thread: the receipt that was kept of the call, or a new one where none was."""
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
        """The reply is journaled, was no news, or could not be journaled in time."""
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
