"""A response that was asked for again: polled in the background, or fetched after its stream broke off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import Accounts, ReceiptsRequest, ResponseRequest, Responses
from convmem.errors import ClosedError
from convmem.hooks import AnsweredEvent, DegradedEvent, FailedEvent, emit
from convmem.journal.accounts import receipt_of
from convmem.journal.end import replied
from convmem.journal.job import Job
from convmem.protocols import CallRow, NewReceipt
from convmem.threads.waiting import aoutcome, outcome
from convmem.types import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
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
        written: Callable[[KnownCall, ReceiptRow | None], None],
    ) -> None:
        super().__init__()
        self.user = request.user
        self._store = store
        self._request = request
        self._reply = reply
        self._at = at
        self._tell = written
        self._call: KnownCall | None = None
        self.turns: tuple[str, ...] = ()

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
            self.turns = written.ids or ()
            self._tell(self._call, _receipt(self._store, self._call.id))


def _receipt(store: Store, call: str) -> ReceiptRow | None:
    """The receipt that is kept of a call."""
    found = store.receipts(ReceiptsRequest(call=call)) if isinstance(store, Accounts) else ()
    return next(iter(found), None)


class Retrieval:
    """One response on its way to whoever asked for it again; is told how that ended, like an `Exchange`.

    Attributes:
        receipt: of the call the response belongs to, once its reply is journaled; None when that was no news.
    """

    def __init__(
        self, shared: Shared, response_id: str, *, user: str | None, session: str | None, mode: Mode
    ) -> None:
        self._shared = shared
        self._request = ResponseRequest(user, response_id, session)
        self._mode: Mode = mode
        self._ended = False
        self.receipt: Receipt | None = None

    def answered(self, reply: Reply, *, response: object = None) -> None:
        """Journal the reply, waiting for the store; nothing while the provider is still at it."""
        if (job := self._submitted(reply)) is not None:
            self._done(outcome(job.outcome, self._shared.patience_s), reply, job, response)

    async def aanswered(self, reply: Reply, *, response: object = None) -> None:
        """`answered`, without blocking the event loop."""
        if (job := self._submitted(reply)) is not None:
            self._done(await aoutcome(job.outcome, self._shared.patience_s), reply, job, response)

    def stopped(self, reply: Reply, error: BaseException | None = None) -> None:
        """It did not arrive whole: what is known of it stays as it was."""

    async def astopped(self, reply: Reply) -> None:
        """The same."""

    def stop_soon(self, reply: Reply, error: BaseException | None = None) -> None:
        """The same."""

    def abandon(self) -> None:
        """It belongs to the process this one was forked from."""
        self._ended = True

    def _submitted(self, reply: Reply) -> _RetrievedJob | None:
        if self._ended or reply.waiting:
            return None
        self._ended = True
        shared = self._shared
        job = _RetrievedJob(shared.store, self._request, reply, at=shared.clock(), written=self._written)
        try:
            self._shared.journal.submit(job)
        except ClosedError as error:
            job.fail(error)
        return job

    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten; the receipt has no words of them."""

    def _written(self, known: KnownCall, row: ReceiptRow | None) -> None:
        """On the writer thread: the receipt that was kept of the call, or a new one where none was."""
        self._shared.recaller.indexer.wake()
        if row is not None:
            self.receipt = receipt_of(row, self._shared.prices)
            return
        user, session = known.ref.user, known.ref.session
        self.receipt = Receipt(
            call=known.id, at=known.at, user=user, session=session, mode=self._mode, journaled=True
        )

    def _done(self, error: BaseException | None, reply: Reply, job: _RetrievedJob, response: object) -> None:
        if error is not None:
            detail = f"the reply is not journaled: {error}"
            emit(self._shared.hooks, DegradedEvent(detail=detail, user=self._request.user))
        elif self.receipt is not None:
            turns = tuple(dict.fromkeys((*self.receipt.turns, *job.turns)))
            self.receipt = self.receipt.with_(state=reply.state, usage=reply.usage, turns=turns)
            self._shared.receipts.put(response, self)
            self._shared.receipts.begin(self)
            call, user, session = self.receipt.call, self.receipt.user, self.receipt.session
            if reply.choices:
                emit(
                    self._shared.hooks,
                    AnsweredEvent(
                        call=call, user=user, session=session, state=reply.state, usage=reply.usage
                    ),
                )
            else:
                emit(self._shared.hooks, FailedEvent(call=call, user=user, session=session))
