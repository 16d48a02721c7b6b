"""A call that goes straight through: nothing is added to it, no word is journaled, and it has a receipt."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from convmem.call.account import Account
from convmem.call.recipient import Recipient
from convmem.errors import ClosedError
from convmem.hooks import DegradedEvent
from convmem.journal.accounts import kept
from convmem.journal.job import Job
from convmem.protocols import CallRow, SessionRef, Write
from convmem.types import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from concurrent.futures import Future
    from datetime import datetime

    from convmem.call.shared import Shared
    from convmem.journal.forest import Forest
    from convmem.protocols import Written
    from convmem.types import Mode, State
    from convmem.wire.values import Reply

__all__ = ["Passage"]


class _PassedJob(Job[None]):
    """Keep the row of the call, and its receipt; there is no turn to keep."""

    def __init__(self, ref: SessionRef, row: CallRow, receipt: Callable[[], Receipt]) -> None:
        super().__init__()
        self.user = ref.user
        self._ref = ref
        self._row = row
        self._receipt = receipt

    @property
    def ref(self) -> SessionRef:
        """The session named, or one that begins with this call."""
        return self._ref

    def plan(self, forest: Forest) -> Write:
        """Whatever the session holds."""
        del forest
        return Write(ref=self._ref, call=self._row, receipt=kept(self._receipt()))

    def settle(self, written: Written | None) -> None:
        """Nothing is left to tell."""


class Passage(Recipient):
    """One call on its way straight through.

    Args:
        shared: what the calls of the Memory share.
        call: the id of the call.
        at: when it was made.
        user: the owner of the memory.
        session: the session named, or None.
        fresh_session: the session that it begins when none is named.
        mode: what memory was asked to do; with `off` and `read` nothing is kept in the store.
        model: the model asked, as far as that can be read.
        host: the provider's host.
        why: why it goes straight through, as a note.
    """

    def __init__(
        self,
        shared: Shared,
        *,
        call: str,
        at: datetime,
        user: str | None,
        session: str | None,
        fresh_session: str,
        mode: Mode,
        model: str | None,
        host: str | None,
        why: str,
    ) -> None:
        self._shared = shared
        self._ref = SessionRef(user, session if session is not None else fresh_session)
        self._keeps = mode in {"on", "write"}
        self._began = time.perf_counter()
        self._account = Account(
            shared,
            Receipt(
                call=call,
                at=at,
                user=user,
                session=self._ref.session if self._keeps else session,
                mode=mode,
                model=model,
                host=host,
                notes=(why,),
            ),
        )

    @property
    def receipt(self) -> Receipt:
        """The account so far."""
        return self._account.receipt

    @property
    def patience_s(self) -> float:
        """Seconds that the writer is waited for."""
        return self._shared.patience_s

    @contextmanager
    def unwatched(self, *, stream: bool) -> Generator[None]:
        """Around a call of which memory reads nothing: known is whether the provider took it."""
        try:
            yield
        except BaseException:
            self._close("failed")
            raise
        self._close("pending" if stream else "answered")  # of a stream the end is not seen

    def refused(self) -> None:
        """The call does not go out."""
        self._close("failed")

    def unquote(self, ids: Collection[str]) -> None:
        """These turns were forgotten; nothing was quoted."""

    def _close(self, state: State, reply: Reply | None = None) -> bool:
        """The call has ended; False when it had before."""
        usage = reply.usage if reply is not None else None
        receipt = self.receipt
        cost = self._shared.prices.cost(usage, host=receipt.host, model=receipt.model, at=receipt.at)
        first = False

        def closed(receipt: Receipt) -> Receipt:
            nonlocal first
            if self.ended:
                return receipt
            first = self.ended = True
            ms = {"provider": (time.perf_counter() - self._began) * 1_000}
            receipt = receipt.with_(state=state, ms=ms)
            return receipt.with_(usage=usage, cost=cost) if reply is not None else receipt

        self._account.change(closed)
        return first

    def end(self, reply: Reply, error: BaseException | None = None, *, early: bool) -> Future[None] | None:
        """Submit the row and the receipt, once; None when nothing is to be kept."""
        del early
        if not self._close(reply.state, reply) or not self._keeps:
            return None
        receipt = self.receipt
        row = CallRow(
            id=receipt.call,
            at=receipt.at,
            state=receipt.state,
            model=receipt.model,
            host=receipt.host,
            usage=reply.usage,
            error=type(error).__name__ if error is not None else None,
        )
        job = _PassedJob(self._ref, row, lambda: self.receipt)
        try:
            return self._shared.journal.submit(job)
        except ClosedError as closed:
            job.fail(closed)
            return job.outcome

    def kept(
        self, error: BaseException | None, reply: Reply, response: object, *, waited_s: float, raises: bool
    ) -> None:
        """The receipt is kept, or could not be in time."""
        del reply, response, waited_s, raises
        if error is not None:
            self._account.emit(DegradedEvent, detail=f"the receipt of the call is not kept: {error}")
