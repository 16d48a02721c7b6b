"""Adds up what calls cost, and reads the receipts that the store keeps."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from convmem.abilities import Accounts, Calls, CallsRequest
from convmem.call.scope import UNSET, Unset
from convmem.errors import StoreError
from convmem.journal.accounts import receipt_of
from convmem.protocols import SessionRef, SessionsRequest
from convmem.types import Cost, Ledger, Receipt
from convmem.wire.usage import cached_tokens, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from convmem.abilities import ReceiptsRequest
    from convmem.call.shared import Shared
    from convmem.protocols import CallRow
    from convmem.providers.prices import Prices

__all__ = ["ledger", "receipts", "summed"]


def summed(calls: Iterable[CallRow], prices: Prices) -> Ledger:
    """Add up the calls' tokens as their providers counted them, and their costs at the day's prices."""
    n = uncounted = unpriced = prompt = cached = output = 0
    by_model: defaultdict[str, Cost] = defaultdict(Cost)
    for call in calls:
        n += 1
        tokens = counted(call.usage) if call.usage else None
        if tokens is None:
            uncounted += 1
            continue
        prompt += tokens.prompt
        cached += cached_tokens(call.usage) or 0
        output += tokens.output
        cost = prices.cost(call.usage, host=call.host, model=call.model, at=call.at)
        if cost is None:
            unpriced += 1
        else:
            by_model[call.model or ""] += cost
    return Ledger(
        calls=n,
        uncounted=uncounted,
        unpriced=unpriced,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        by_model=MappingProxyType(dict(sorted(by_model.items()))),
    )


def receipts(shared: Shared, request: ReceiptsRequest) -> list[Receipt]:
    """Read the receipts that the store keeps, priced by the prices of their day."""
    if not isinstance(shared.store, Accounts):
        raise StoreError(f"{type(shared.store).__name__} keeps no receipts")
    return [receipt_of(row, shared.prices) for row in shared.store.receipts(request)]


def ledger(shared: Shared, *, user: str | Literal[Unset.UNSET] | None, session: str | None) -> Ledger:
    """Add up what the calls of a user, a session or the whole store cost."""
    store = shared.store
    if not isinstance(store, Calls):
        raise StoreError(f"{type(store).__name__} does not tell its calls")
    named = (
        SessionRef(row.user, row.name)
        for row in shared.store.sessions(SessionsRequest(owner=True if user is UNSET else user))
        if session is None or row.name == session
    )
    return summed(_calls(store, named), shared.prices)


def _calls(store: Calls, sessions: Iterable[SessionRef]) -> Iterator[CallRow]:
    for ref in sessions:
        request = CallsRequest(ref=ref)
        while page := store.calls(request):
            yield from (call for call in page if call.asked)
            request = dataclasses.replace(request, after=page[-1].id)
