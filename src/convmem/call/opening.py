"""Opening a call in the current context: with memory, straight through, or for a reply asked for again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from convmem.call.exchange import Exchange
from convmem.call.passage import Passage
from convmem.call.refetch import Retrieval
from convmem.call.scope import UNSET
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
    """A call about to be made in this context.

    Args:
        shared: what the calls of the Memory share.
        shape: of its body.
        body: as it would be sent without memory.
        scope: whose it is, and what memory may do.
        host: where it goes.
        policy: how much of what is sent; None for the Memory's.

    Raises:
        InputError: the body cannot be read.
    """
    request = shape.parse(body)
    call = Call(
        id=uuid.uuid4().hex,
        at=shared.clock(),
        user=None if scope.user is UNSET else scope.user,
        session=None if scope.session is UNSET else scope.session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode="on" if scope.mode is UNSET else scope.mode,
        host=host,
        request=request,
        fresh_conversation=shared.is_fresh(request.held),
    )
    exchange = Exchange(shared, call, policy or shared.policy, shape=shape, body=body)
    shared.receipts.begin(exchange)
    return exchange


def open_passage(shared: Shared, scope: Scope, *, model: str | None, host: str | None, why: str) -> Passage:
    """A call about to go straight through in this context.

    Args:
        shared: what the calls of the Memory share.
        scope: whose it is, and what memory may do.
        model: the model asked, as far as that can be read.
        host: where it goes.
        why: why it goes straight through, for its receipt.
    """
    passage = Passage(
        shared,
        call=uuid.uuid4().hex,
        at=shared.clock(),
        user=None if scope.user is UNSET else scope.user,
        session=None if scope.session is UNSET else scope.session,
        fresh_session=f"session-{uuid.uuid4().hex[:12]}",
        mode="on" if scope.mode is UNSET else scope.mode,
        model=model,
        host=host,
        why=why,
    )
    shared.receipts.begin(passage)
    return passage


def open_retrieval(shared: Shared, response_id: str, scope: Scope) -> Retrieval:
    """A response about to be asked for again."""
    return Retrieval(
        shared,
        response_id,
        user=None if scope.user is UNSET else scope.user,
        session=None if scope.session is UNSET else scope.session,
        mode="on" if scope.mode is UNSET else scope.mode,
    )
