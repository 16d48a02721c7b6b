"""What wrapping any SDK comes to: a call is opened by its path and body, sent, and its reply read; SDK-free.

The steps of a call are one generator. It yields what it waits for, and what is to be sent; a blocking and an
async loop carry the steps out with the SDK's own method.
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
from convmem.threads.waiting import aoutcome, outcome
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
_COMPLETIONS = "/completions"
"""The old API of one text and its continuation: a model answers, and there is no conversation to keep."""
_NO_CONVERSATION = "a completion of one text is no conversation: it goes straight through, unjournaled"
_OFF = "memory is off for this call: it goes straight through, and nothing of it is read"


class Send(NamedTuple):
    """A step of a call: the SDK's own method is called with these arguments."""

    given: Mapping[str, Any]


Steps: TypeAlias = Generator[tuple[Future[Any], float] | Send, Any, T]
"""Steps of a call: waits, as in `threads.waiting`, and what is to be sent; the latter brings the response."""


def carry_out(steps: Steps[T], send: Callable[[Mapping[str, Any]], Any]) -> T:
    """Go through the steps of a call on this thread."""
    answer: Any = None
    failed: BaseException | None = None
    try:
        while True:
            try:
                step = steps.throw(failed) if failed is not None else steps.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            except RuntimeError as error:
                if isinstance(failed, StopIteration) and error.__cause__ is failed:
                    raise failed from None  # no generator lets that out, but a mocked SDK may raise it
                raise
            failed = None
            try:
                answer = send(step.given) if isinstance(step, Send) else outcome(*step)
            except BaseException as error:  # noqa: BLE001 (the steps see to what has begun, and raise it again)
                failed = error
    finally:
        answer = failed = None  # an error holds this frame, which would hold the error for ever


async def acarry_out(steps: Steps[T], send: Callable[[Mapping[str, Any]], Awaitable[Any]]) -> T:
    """`carry_out`, without blocking the event loop."""
    answer: Any = None
    failed: BaseException | None = None
    try:
        while True:
            try:
                step = steps.throw(failed) if failed is not None else steps.send(answer)
            except StopIteration as end:
                return cast("T", end.value)
            except RuntimeError as error:
                if isinstance(failed, StopIteration) and error.__cause__ is failed:
                    raise failed from None  # no generator lets that out, but a mocked SDK may raise it
                raise
            failed = None
            try:
                answer = await send(step.given) if isinstance(step, Send) else await aoutcome(*step)
            except BaseException as error:  # noqa: BLE001 (the steps see to what has begun, and raise it again)
                failed = error
    finally:
        answer = failed = None  # an error holds this frame, which would hold the error for ever


@dataclass(frozen=True, slots=True)
class Opened:
    """A call that memory has a part in.

    Attributes:
        shared: what the calls of the Memory share.
        shape: of its body.
        body: as it would be sent without memory; None where nothing is sent.
        recipient: who is told how it ended.
        exchange: the same, where the request is composed.
    """

    shared: Shared
    shape: Shape
    body: object
    recipient: Recipient
    exchange: Exchange | None = None

    def refusal(self, status: object, said: object, otherwise: str) -> Refusal | None:
        """What a provider says is wrong with the request, where memory may have had a part in it.

        Args:
            status: of the HTTP response.
            said: its body as JSON; None where it is none.
            otherwise: its body as text.
        """
        if not isinstance(status, int) or self.exchange is None or self.exchange.messages is None:
            return None
        if self._names_a_parameter(said):
            return None
        refusal = read_refusal(status, said if said is not None else otherwise)
        if refusal is not None and self.shape is responses:
            return replace(refusal, message=None)  # items are not counted as messages are
        return refusal

    def _names_a_parameter(self, said: object) -> bool:
        """Whether the error names a parameter of the request that memory has no part in."""
        named: object = cast("Mapping[str, object]", said).get("param") if isinstance(said, Mapping) else None
        body = self.body
        if not isinstance(named, str) or not isinstance(body, Mapping):
            return False
        return named in cast("Mapping[str, object]", body) and named not in {"messages", "input"}


class Request(Protocol):
    """One request as a wrap sends it through its SDK."""

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments of the SDK's method."""
        ...

    @property
    def arrived(self) -> Reply | None:
        """The reply as far as the SDK has brought it, where the call raised all the same."""
        ...

    def returned(self, response: Any, /) -> Reply | None:  # noqa: ANN401 (the SDK's own)
        """The reply to journal now; None when a stream, or whoever reads the response, will bring it."""
        ...

    def refusal(self, error: Exception, /) -> Refusal | None:
        """What the provider says is wrong with the request, in the SDK's error."""
        ...


def ask(opened: Opened, make: Callable[[], Request]) -> Steps[Any]:
    """The steps of a call that memory has a part in; brings the SDK's response.

    Args:
        opened: the call.
        make: makes the request, anew when it is composed anew.
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
    """What memory does with a request.

    Returns:
        None when the call is none of memory's, a `Passage` alone when memory is off: it has a receipt then,
        and nothing of it is read.

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
    """What memory does with a response that is asked for again; None with any other path."""
    response_id = retrieved_id(path)
    if response_id is None or scope.mode in {"off", "read"}:
        return None
    return Opened(shared, responses, None, open_retrieval(shared, response_id, scope))


def _passes(shared: Shared, passage: Passage, error: InputError) -> None:
    """A body that cannot be read goes straight through, unless only what is journaled may go out."""
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
    """The model that a body asks, whatever else is wrong with it."""
    return name_of(cast("Mapping[str, object]", body).get("model")) if isinstance(body, Mapping) else None


def straight(
    shared: Shared, path: str, given: Mapping[str, Any], *, passage: Passage | None = None
) -> Steps[Any]:
    """The steps of a call of which memory reads nothing; notes what matters later.

    That is a receipt, where there is one, and a conversation that the provider keeps and that begins empty.
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
    """The reply; whatever is odd about it, the caller gets it."""
    try:
        return opened.shape.reply_of(reply)
    except Exception as error:  # noqa: BLE001 (an edge: what memory cannot read is no trouble of the caller's)
        emit(opened.shared.hooks, DegradedEvent(detail=f"the reply cannot be read: {error}"))
        return Reply(complete=False)
