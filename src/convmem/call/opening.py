"""Opens a call: one with memory, one that goes straight through, or one that fetches a response again.

The wrapped methods (`wrap.openai`) call these functions once they know the scope of the call. Each gives an
object that leads the call and is told how it ended (`call.recipient`).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from convmem.call.exchange import Exchange
from convmem.call.passage import Passage
from convmem.call.refetch import Retrieval
from convmem.journal.placed import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convmem.call.scope import Scope
    from convmem.call.shared import Shared
    from convmem.policy import Policy
    from convmem.wire.shape import Shape

__all__ = ["open_exchange", "open_passage", "open_retrieval"]


def open_exchange(
    shared: Shared,
    shape: Shape,
    body: Mapping[str, Any],
    scope: Scope,
    *,
    host: str | None,
    policy: Policy | None = None,
) -> Exchange:
    """Open a call with memory.

    Args:
        shared: what the calls of the Memory share.
        shape: the shape of the call's body.
        body: the body as it would be sent without memory.
        scope: user and session of the call, and what memory may do.
        host: the provider's host.
        policy: says how much of the conversation is sent; None takes the Memory's policy.

    Raises:
        InputError: the body cannot be read.
    """
    request = shape.parse(body)
    user, session, mode = scope.settled()
    call = Call(
        id=uuid.uuid4().hex,
        at=shared.clock(),
        user=user,
        session=session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode=mode,
        host=host,
        request=request,
        fresh_conversation=shared.is_fresh(request.held),
    )
    exchange = Exchange(shared, call, policy or shared.policy, shape=shape, body=body)
    shared.receipts.begin(exchange)
    return exchange


def open_passage(shared: Shared, scope: Scope, *, model: str | None, host: str | None, why: str) -> Passage:
    """Open a call that goes straight through: memory adds nothing and journals no word of it.

    Args:
        shared: what the calls of the Memory share.
        scope: user and session of the call, and what memory may do.
        model: the model asked, as far as that can be read.
        host: the provider's host.
        why: the note in its receipt that says why it goes straight through.
    """
    user, session, mode = scope.settled()
    passage = Passage(
        shared,
        call=uuid.uuid4().hex,
        at=shared.clock(),
        user=user,
        session=session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode=mode,
        model=model,
        host=host,
        why=why,
    )
    shared.receipts.begin(passage)
    return passage


def open_retrieval(shared: Shared, response_id: str, scope: Scope) -> Retrieval:
    """Open a call that fetches a response again, by its id.

    Args:
        shared: what the calls of the Memory share.
        response_id: the provider's id of the response.
        scope: user and session of the call, and what memory may do.
    """
    user, session, mode = scope.settled()
    return Retrieval(shared, response_id, user=user, session=session, mode=mode)
