"""The Responses API: create, retrieve, cancel, and the conversations responses can belong to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from convmem.testing.provider.answer import (
    error_answer,
    faulty_json,
    faulty_stream,
    json_answer,
    typed_stream,
)
from convmem.testing.provider.endpoint import body_refusal, illegal, path_pattern, refused
from convmem.testing.provider.kept import KeptResponse
from convmem.testing.provider.overflow import overflow, request_tokens
from convmem.testing.provider.received import items_of
from convmem.testing.provider.response import ResponseCall, events, failed, response, running
from convmem.testing.provider.response_legality import context_problems, response_problems
from convmem.testing.provider.script import decide
from convmem.testing.provider.shapes import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convmem.testing.provider.answer import Answer
    from convmem.testing.provider.dialect import Dialect
    from convmem.testing.provider.fault import Fault
    from convmem.testing.provider.kept import Kept
    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.reply import Reply
    from convmem.testing.provider.script import Responder, Script
    from convmem.testing.provider.shapes import JsonObject
    from convmem.testing.provider.usage import PromptCache
    from convmem.testing.provider.vendors import Rules

__all__ = ["CancelEndpoint", "ConversationsEndpoint", "ResponsesEndpoint", "RetrieveEndpoint"]

_CREATE = path_pattern("/responses")
_ONE = path_pattern("/responses/(?P<id>[^/]+)")
_CANCEL = path_pattern("/responses/(?P<id>[^/]+)/cancel")
_CONVERSATIONS = path_pattern("/conversations")


class ResponsesEndpoint:
    """`POST /responses`: refuse what is illegal, else do what the script says, and keep what was said.

    A call in the background is answered at once with status `queued`; its first retrieval shows
    `in_progress`, the next one what became of it.
    """

    name = "responses"
    method = "POST"

    def __init__(
        self,
        script: Script,
        cache: PromptCache,
        kept: Kept,
        rules: Rules,
        *,
        strict: bool,
        context_limit: int | None,
    ) -> None:
        self._script = script
        self._cache = cache
        self._kept = kept
        self._rules = rules
        self._strict = strict
        self._context_limit = context_limit

    def matches(self, path: str) -> bool:
        """Say whether this is the path at which responses are created."""
        return _CREATE.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Check the request and take the next outcome from the script."""
        body = request.fields
        dialect = self._rules.of(body.get("model"))
        refusal = body_refusal(request, dialect.name)
        if refusal is None and self._strict and (found := response_problems(body)):
            refusal = illegal(found, dialect)
        before = self._before(body) if refusal is None else []
        if before is None:
            refusal, before = self._unknown(body, dialect), []
        items = [*before, *items_of(body)]
        refusal = refusal or self._refusal(body, items, len(before), dialect)
        if refusal is not None:
            return lambda: refusal
        call = self._call(request, items, dialect)
        return partial(self._answer, request, items, call, self._script.take(), dialect)

    def _refusal(
        self, body: JsonObject, items: Sequence[dict[str, Any]], before: int, dialect: Dialect
    ) -> Answer | None:
        """Say no to items that do not belong together, then to what is too long."""
        if self._strict and (found := context_problems(items, before, self._kept)):
            return illegal(found, dialect)
        if self._context_limit is None:
            return None
        kept = request_tokens({"input": items[:before]})
        too_long = overflow(body, dialect, self._context_limit, kept=kept)
        return None if too_long is None else refused(too_long, dialect)

    def _before(self, body: JsonObject) -> list[dict[str, Any]] | None:
        """What the provider kept of the conversation; None when it does not know it."""
        previous, conversation = body.get("previous_response_id"), _conversation_id(body)
        if isinstance(previous, str):
            known = self._kept.response(previous)
            return None if known is None else list(known.items)
        return [] if conversation is None else self._kept.conversation(conversation)

    def _unknown(self, body: JsonObject, dialect: Dialect) -> Answer:
        previous = body.get("previous_response_id")
        if isinstance(previous, str):
            message, code = (
                f"Previous response with id '{previous}' not found.",
                "previous_response_not_found",
            )
            error = {"param": "previous_response_id", "code": code}
            return error_answer(400, message, dialect.name, error=error)
        message = f"Conversation with id '{_conversation_id(body)}' not found."
        return error_answer(404, message, dialect.name, error={"param": "conversation"})

    def _call(self, request: ReceivedRequest, items: Sequence[JsonObject], dialect: Dialect) -> ResponseCall:
        body = request.fields
        seen = [{"role": "system", "content": body.get("instructions")}, *items]
        prompt, cached = self._cache.take(
            {"model": body.get("model"), "tools": body.get("tools"), "messages": seen}, dialect
        )
        return ResponseCall(
            number=request.n,
            body=body,
            conversation=_conversation_id(body),
            prompt_tokens=prompt,
            cached_tokens=cached,
        )

    def _answer(
        self,
        request: ReceivedRequest,
        items: list[dict[str, Any]],
        call: ResponseCall,
        outcome: Reply | Fault | Responder,
        dialect: Dialect,
    ) -> Answer:
        reply, fault = decide(outcome, request)
        waits = call.body.get("background") is True
        if fault is not None and not waits:
            break_off = faulty_stream if request.stream else faulty_json
            return break_off(fault, self._whole(reply, call, stream=request.stream), dialect.name)
        self._keep(reply, fault, call, items)
        if waits and not request.stream:
            return json_answer(running(call, "queued"), headers=reply.headers, delay_s=reply.delay_s)
        return self._whole(reply, call, stream=request.stream)

    def _whole(self, reply: Reply, call: ResponseCall, *, stream: bool) -> Answer:
        if not stream:
            body = response(reply, call)
            return json_answer(body, headers=reply.headers, delay_s=reply.delay_s)
        return typed_stream(
            events(reply, call),
            headers=reply.headers,
            delay_s=reply.delay_s,
            pause_s=reply.chunk_delay_s,
        )

    def _keep(
        self, reply: Reply, fault: Fault | None, call: ResponseCall, items: list[dict[str, Any]]
    ) -> None:
        body = call.body
        if fault is None:
            final = response(reply, call)
        else:
            final = failed(call, "server_error", fault.message or "The model failed.")
        said: list[dict[str, Any]] = final["output"]
        if body.get("store") is not False:
            kept = KeptResponse(final, [*items, *said], list(events(reply, call)))
            if body.get("background") is True and body.get("stream") is not True:
                kept.interim.append(running(call, "in_progress"))
            self._kept.put(call.id, kept)
        if call.conversation is not None:
            self._kept.extend(call.conversation, [*items_of(body), *said])


class RetrieveEndpoint:
    """`GET /responses/{id}`, also as a stream from any event on."""

    name = "responses"
    method = "GET"

    def __init__(self, kept: Kept, rules: Rules) -> None:
        self._kept = kept
        self._dialect = rules.of(None)

    def matches(self, path: str) -> bool:
        """Say whether this is the path of one response."""
        return _ONE.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Answer with the response as it is now, or 404."""
        answer = self._answer(_id_in(request.path), parse_qs(request.query))
        return lambda: answer

    def _answer(self, response_id: str, query: dict[str, list[str]]) -> Answer:
        kept = self._kept.response(response_id)
        if kept is not None and query.get("stream") == ["true"]:
            after = int(query.get("starting_after", ["-1"])[0])
            return typed_stream(event for event in kept.events if event["sequence_number"] > after)
        found = self._kept.look(response_id)
        return _not_found(response_id, self._dialect) if found is None else json_answer(found)


class CancelEndpoint:
    """`POST /responses/{id}/cancel`."""

    name = "responses"
    method = "POST"

    def __init__(self, kept: Kept, rules: Rules) -> None:
        self._kept = kept
        self._dialect = rules.of(None)

    def matches(self, path: str) -> bool:
        """Say whether this is the path at which one response is cancelled."""
        return _CANCEL.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Answer with the response, cancelled if it was under way, or 404."""
        response_id = _id_in(request.path)
        found = self._kept.cancel(response_id)
        answer = _not_found(response_id, self._dialect) if found is None else json_answer(found)
        return lambda: answer


class ConversationsEndpoint:
    """`POST /conversations`: an empty conversation, or one that begins with the items given."""

    name = "conversations"
    method = "POST"

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def matches(self, path: str) -> bool:
        """Say whether this is the path of conversations."""
        return _CONVERSATIONS.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Begin a conversation."""
        conversation = f"conv_{request.n:06d}"
        given = request.fields.get("items")
        self._kept.begin(conversation, [each for each in given if is_object(each)] if is_array(given) else [])
        return lambda: json_answer(
            {"id": conversation, "object": "conversation", "created_at": 1_700_000_000, "metadata": None}
        )


def _id_in(path: str) -> str:
    match = _ONE.fullmatch(path) or _CANCEL.fullmatch(path)
    return unquote(match["id"]) if match else ""


def _not_found(response_id: str, dialect: Dialect) -> Answer:
    return error_answer(404, f"Response with id '{response_id}' not found.", dialect.name)


def _conversation_id(body: JsonObject) -> str | None:
    given = body.get("conversation")
    found = given.get("id") if is_object(given) else given
    return found if isinstance(found, str) else None
