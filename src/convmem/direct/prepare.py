"""Prepares what a wrapped call would send, without sending it."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from convmem.abilities import OwnerRef
from convmem.context.compose import Composition
from convmem.errors import InputError
from convmem.journal.begin import BeginJob
from convmem.journal.placed import Call
from convmem.retrieve.indexer import WAIT_FOR_WORDS_S
from convmem.types import Prepared, Receipt
from convmem.wire.chat import rebuilt
from convmem.wire.message import copies
from convmem.wire.values import ChatRequest, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.call.shared import Shared
    from convmem.policy import Policy
    from convmem.types import Message

__all__ = ["prepare"]


def prepare(
    shared: Shared,
    messages: Sequence[Message],
    *,
    user: str | None,
    session: str | None,
    model: str | None,
    policy: Policy | None,
    budget: int | None,
) -> Prepared:
    """Compose what a wrapped call with these messages would send, and its receipt; nothing is journaled."""
    started = time.perf_counter()
    settings, turns = split(messages)
    if not turns:
        raise InputError("messages has no turn besides the system text; there is nothing to ask")
    call = Call(
        id=uuid.uuid4().hex,
        at=shared.clock(),
        user=user,
        session=session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode="read",
        host=None,
        request=ChatRequest(settings, turns, model=model),
    )
    shared.recaller.indexer.wait(WAIT_FOR_WORDS_S)
    owner = OwnerRef(user) if user is not None else None
    waiting = shared.recaller.ask_soon(call.request.question, owner)
    placement = shared.run(lambda: BeginJob(call, shared.store, shared.seen, written=lambda _: None))
    placed = time.perf_counter()
    composition = Composition(shared.resources, call, placement, policy or shared.policy, budget=budget)
    composed = composition.run(waiting, patience_s=shared.compressor_s)
    if composed is None:
        composed = composition.recall(waiting.wait())
    receipt = Receipt(
        call=call.id,
        at=call.at,
        user=user,
        session=placement.ref.session,
        mode="read",
        model=model,
        complete=composition.complete,
        ms={"journal": (placed - started) * 1_000, **composed.ms},
        notes=tuple(composed.notes),
        **composed.receipt_fields(),
    )
    # The result is copied, because the caller may change it and some messages are the journal's own.
    given = messages
    if composed.messages is not None:
        given = rebuilt({"messages": messages}, composed.messages, dropped=composed.dropped)["messages"]
    return Prepared(copies(given), receipt)
