"""The steps of one wrapped call, the same for every SDK: open it by path and body, send it, read its reply.

The steps are one generator. It yields the futures that it waits for and the requests to send; a blocking and
an async loop carry them out with the SDK's own method.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from convmem.call.opening import open_exchange, open_passage, open_retrieval
from convmem.errors import InputError, JournalError, noted
from convmem.hooks import DegradedEvent, emit
from convmem.providers.refusal import read_refusal
from convmem.threads.waiting import adrive, aoutcome, drive, outcome
from convmem.wire import responses
from convmem.wire.shape import retrieved_id, shape_of
from convmem.wire.values import Reply, name_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from convmem.call.exchange import Exchange
    from convmem.call.passage import Passage
    from convmem.call.recipient import Recipient
    from convmem.call.scope import Scope
    from convmem.call.shared import Shared
    from convmem.policy import Policy
    from convmem.providers.refusal import Refusal
    from convmem.wire.shape import Shape

__all__ = [
    "Opened",
    "Request",
    "Send",
    "Steps",
    "acarry_out",
    "ask",
    "carry_out",
    "open_again",
    "open_call",
    "read_reply",
    "straight",
]

T = TypeVar("T")

_CONVERSATIONS = "/conversations"
"""The path at which OpenAI makes a conversation that it keeps itself."""
_COMPLETIONS = "/completions"
"""The path of the old API of one text and its continuation, where there is no conversation to keep."""
_NO_CONVERSATION = "a completion of one text is no conversation: it goes straight through, unjournaled"
_OFF = "memory is off for this call: it goes straight through, and nothing of it is read"


class Send(NamedTuple):
    """A step of a call: call the SDK's own method with these arguments."""

    given: Mapping[str, Any]


Steps: TypeAlias = Generator[tuple[Future[Any], float] | Send, Any, T]
"""The steps of a call: futures to wait for, as in `threads.waiting`, and requests to send. What the generator
gets back is the future's error or the SDK's response."""


def carry_out(steps: Steps[T], send: Callable[[Mapping[str, Any]], Any]) -> T:
    """Carry out the steps of a call on this thread, and return what they return.

    Args:
        steps: the steps.
        send: calls the SDK's own method with the arguments of a `Send`.
    """
    return drive(steps, lambda step: send(step.given) if isinstance(step, Send) else outcome(*step))


async def acarry_out(steps: Steps[T], send: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> T:
    """Carry out the steps of a call as `carry_out` does, without blocking the event loop."""

    async def performed(step: tuple[Future[Any], float] | Send) -> Any:  # noqa: ANN401 (the SDK's own)
        return await send(step.given) if isinstance(step, Send) else await aoutcome(*step)

    return await adrive(steps, performed)


@dataclass(frozen=True, slots=True)
class Opened:
    """A call that memory has a part in.

    Attributes:
        shared: what all calls of the Memory share.
        shape: the API shape of the body.
        body: the body that would be sent without memory; None where nothing is sent.
        recipient: whom to tell how the call ended.
        exchange: the recipient again where memory composes the request; None where it does not.
    """

    shared: Shared
    shape: Shape
    body: object
    recipient: Recipient
    exchange: Exchange | None = None

    def refusal(self, status: object, said: object, otherwise: str) -> Refusal | None:
        """Read why a provider refused the request; None where what memory added cannot be the reason.

        Args:
            status: the status code of the HTTP response.
            said: the response's body as JSON; None where it is no JSON.
            otherwise: the response's body as text.
        """
        if not isinstance(status, int) or self.exchange is None or self.exchange.messages is None:
            return None
        if self._names_a_parameter(said):
            return None
        refusal = read_refusal(status, said if said is not None else otherwise)
        if refusal is not None and self.shape is responses:
            return replace(refusal, message=None)  # the index is of an item, not of a message
        return refusal

    def _names_a_parameter(self, said: object) -> bool:
        """Whether the error names a parameter of the request that memory has no part in."""
        named: object = cast("Mapping[str, object]", said).get("param") if isinstance(said, Mapping) else None
        body = self.body
        if not isinstance(named, str) or not isinstance(body, Mapping):
            return False
        return named in cast("Mapping[str, object]", body) and named not in {"messages", "input"}


class Request(Protocol):
    """One request as a wrap sends it through its SDK; each wrap has a class of its own for it."""

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments for the SDK's method."""
        ...

    @property
    def arrived(self) -> Reply | None:
        """The reply as far as the SDK got it before the call raised; None where nothing came."""
        ...

    def returned(self, response: Any, /) -> Reply | None:  # noqa: ANN401 (the SDK's own)
        """Return the reply to journal now; None when a stream or the reader of the body will bring it."""
        ...

    def refusal(self, error: Exception, /) -> Refusal | None:
        """Read from the SDK's error why the provider refused the request; None when it did not."""
        ...


def ask(opened: Opened, make: Callable[[], Request]) -> Steps[Any]:
    """Go through a call that memory has a part in, and return the SDK's response.

    Args:
        opened: the call.
        make: makes the request; called again when memory composes it anew after a refusal.
    """
    recipient, exchange = opened.recipient, opened.exchange
    if exchange is not None:
        yield from exchange.before()
    request = make()
    try:
        try:
            response = yield Send(request.given)
        except Exception as error:
            refusal = request.refusal(error)
            if refusal is None or exchange is None or not (yield from exchange.again(refusal)):
                raise
            request = make()
            response = yield Send(request.given)
    except BaseException as error:
        reply = request.arrived or Reply(complete=False)  # the caller's own parser may have refused it
        yield from recipient.stopping(reply, error)
        raise
    if (came := request.returned(response)) is not None:
        yield from recipient.ending(came, response=response)
    return response


def open_call(
    shared: Shared, path: str, body: object, scope: Scope, *, host: str | None, policy: Policy | None
) -> Opened | Passage | None:
    """Decide by path, body and scope what memory does with a request.

    Returns:
        An `Opened` call that memory has a part in; a `Passage` alone when memory is off, which has a receipt
        though nothing of it is read; None when memory does not understand requests of this path.

    Raises:
        JournalError: the body cannot be journaled, and `on_error="raise"` asked to be told.
    """
    shape = shape_of(path)
    if path == _COMPLETIONS or (shape is not None and scope.mode == "off"):
        why = _OFF if scope.mode == "off" else _NO_CONVERSATION
        return open_passage(shared, scope, model=_model(body), host=host, why=why)
    if shape is None:
        return open_again(shared, path, scope)
    try:
        # A body that is no mapping is refused by the shape, like any other that cannot be read.
        exchange = open_exchange(
            shared, shape, cast("Mapping[str, Any]", body), scope, host=host, policy=policy
        )
    except InputError as error:
        why = noted(f"the call goes straight through, unjournaled: {error}", error)
        passage = open_passage(shared, scope, model=_model(body), host=host, why=why)
        _passes(shared, passage, error)
        return Opened(shared, shape, body, passage)
    return Opened(shared, shape, body, exchange, exchange)


def open_again(shared: Shared, path: str, scope: Scope) -> Opened | None:
    """Open the call that asks for an earlier response again; None with any other path."""
    response_id = retrieved_id(path)
    if response_id is None or scope.mode in {"off", "read"}:
        return None
    return Opened(shared, responses, None, open_retrieval(shared, response_id, scope))


def _passes(shared: Shared, passage: Passage, error: InputError) -> None:
    """Let a call with an unreadable body through, and say so; with `on_error="raise"` refuse it."""
    receipt = passage.receipt
    if shared.on_error == "raise" and receipt.mode != "read":
        passage.refused()
        raise JournalError(
            f"the call does not go out, because it cannot be journaled: {error}."
            ' Mend the body, or send the call with the mode "off"'
        ) from error
    detail = f"the call goes straight through: {error}"
    emit(
        shared.hooks,
        DegradedEvent(detail=detail, call=receipt.call, user=receipt.user, session=receipt.session),
    )


def _model(body: object) -> str | None:
    """Return the model that a body names, whatever else is wrong with the body."""
    return name_of(cast("Mapping[str, object]", body).get("model")) if isinstance(body, Mapping) else None


def straight(
    shared: Shared, path: str, given: Mapping[str, Any], *, passage: Passage | None = None
) -> Steps[Any]:
    """Go through a call of which memory reads neither request nor reply, and return the SDK's response.

    Two things are noted: the receipt, where the call has one, and the id of a conversation that the provider
    keeps and that begins empty, because memory then knows all that is said in it.
    """
    stream = bool(given.get("stream"))
    with passage.unwatched(stream=stream) if passage is not None else nullcontext():
        response = yield Send(given)
    if passage is not None:
        shared.receipts.put(response, passage)
    body: object = given.get("body")
    holds = isinstance(body, Mapping) and cast("Mapping[str, object]", body).get("items")
    conversation: object = getattr(response, "id", None)
    if path == _CONVERSATIONS and isinstance(conversation, str) and not holds:
        shared.conversation_begins(conversation)
    return response


def read_reply(opened: Opened, reply: object) -> Reply:
    """Read a reply for the journal; one that cannot be read is told as an event, and the caller gets it."""
    try:
        return opened.shape.reply_of(reply)
    except Exception as error:  # noqa: BLE001 (an edge: what memory cannot read must not fail the caller)
        emit(opened.shared.hooks, DegradedEvent(detail=f"the reply cannot be read: {error}"))
        return Reply(complete=False)
