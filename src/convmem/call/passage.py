"""Leads a call that goes straight through: memory adds nothing, journals no word, and keeps a receipt.

That is every call while memory is off, a call without a conversation (plain completions), and one whose body
cannot be read. `call.opening` makes the `Passage`, and the wrapper tells how the call ended.
"""

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
    """Writes the row of the call and its receipt; there is no turn to write."""

    def __init__(self, ref: SessionRef, row: CallRow, receipt: Callable[[], Receipt]) -> None:
        super().__init__()
        self.user = ref.user
        self._ref = ref
        self._row = row
        self._receipt = receipt

    @property
    def ref(self) -> SessionRef:
        """The session that the caller named, or one that begins with this call."""
        return self._ref

    def plan(self, forest: Forest) -> Write:
        """The write of row and receipt, which needs nothing of the session's tree."""
        del forest
        return Write(ref=self._ref, call=self._row, receipt=kept(self._receipt()))

    def settle(self, written: Written | None) -> None:
        """Do nothing: the job has no result."""


class Passage(Recipient):
    """One call on its way straight through.

    Args:
        shared: what the calls of the Memory share.
        call: the id of the call.
        at: when the call was made.
        user: the owner of the memory; None for nobody's.
        session: the session that the caller named; None without one.
        fresh_session: the name of the session that begins with the call when none is named.
        mode: what memory was asked to do; with `off` and `read` nothing is written to the store.
        model: the model asked, as far as that can be read.
        host: the provider's host.
        why: the note that says why the call goes straight through.
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
        """The receipt of the call so far."""
        return self._account.receipt

    @contextmanager
    def unwatched(self, *, stream: bool) -> Generator[None]:
        """Surround a call whose reply memory does not read: all it learns is whether the provider took it.

        Args:
            stream: the reply is streamed, so that its end is not seen.
        """
        try:
            yield
        except BaseException:
            self._close("failed")
            raise
        self._close("pending" if stream else "answered")  # of a stream the end is not seen

    def refused(self) -> None:
        """Note that the call does not go out, because it was refused before."""
        self._close("failed")

    def unquote(self, ids: Collection[str]) -> None:
        """Do nothing for forgotten turns: the receipt quotes none."""

    def _close(self, state: State, reply: Reply | None = None) -> bool:
        """Put the end of the call into its receipt; returns False when it had ended before."""
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
        """Submit the job that writes row and receipt, once; returns None when nothing is to be written."""
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
        """Tell of trouble when the receipt could not be written in time."""
        del reply, response, waited_s, raises
        if error is not None:
            self._account.emit(DegradedEvent, detail=f"the receipt of the call is not kept: {error}")
