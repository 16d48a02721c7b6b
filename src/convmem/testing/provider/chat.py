"""`POST /chat/completions`: refuse what is illegal, else do what the script says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from convmem.testing.provider.answer import Answer, faulty_json, faulty_stream, json_answer, stream_answer
from convmem.testing.provider.completion import Call, chunks, completion
from convmem.testing.provider.endpoint import (
    body_refusal,
    deployment_of,
    illegal,
    path_pattern,
    refused,
)
from convmem.testing.provider.legality import chat_problems
from convmem.testing.provider.overflow import overflow
from convmem.testing.provider.script import decide
from convmem.testing.provider.shapes import is_integer, is_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from convmem.testing.provider.dialect import Dialect, ReasoningRule
    from convmem.testing.provider.fault import Fault
    from convmem.testing.provider.received import ReceivedRequest
    from convmem.testing.provider.reply import Reply
    from convmem.testing.provider.script import Responder, Script
    from convmem.testing.provider.shapes import JsonObject
    from convmem.testing.provider.usage import PromptCache
    from convmem.testing.provider.vendors import Rules

__all__ = ["ChatEndpoint"]

_PATHS = path_pattern("/chat/completions")


class ChatEndpoint:
    """The chat endpoint."""

    name = "chat"
    method = "POST"

    def __init__(
        self,
        script: Script,
        cache: PromptCache,
        rules: Rules,
        *,
        strict: bool,
        reasoning: ReasoningRule | None,
        context_limit: int | None,
    ) -> None:
        self._script = script
        self._rules = rules
        self._context_limit = context_limit
        self._strict = strict
        self._reasoning: ReasoningRule | None = reasoning
        self._cache = cache

    def matches(self, path: str) -> bool:
        """Say whether this is a path of chat completions."""
        return _PATHS.fullmatch(path) is not None

    def accept(self, request: ReceivedRequest) -> Callable[[], Answer]:
        """Check the request and take the next outcome from the script."""
        body: JsonObject = request.fields
        deployment = deployment_of(request.path)
        if deployment is not None:
            body = {"model": deployment, **body}
        dialect = self._rules.of(body.get("model"))
        refusal = body_refusal(request, dialect.name) or self._refusal(body, dialect)
        if refusal is not None:
            return lambda: refusal
        return partial(self._answer, request, self._call(request, body, dialect), self._script.take())

    def _refusal(self, body: JsonObject, dialect: Dialect) -> Answer | None:
        """Say no to what is illegal, then to what is too long."""
        if self._strict and (found := chat_problems(body, dialect, self._reasoning or dialect.reasoning)):
            return illegal(found, dialect)
        too_long = None if self._context_limit is None else overflow(body, dialect, self._context_limit)
        return None if too_long is None else refused(too_long, dialect)

    def _call(self, request: ReceivedRequest, body: JsonObject, dialect: Dialect) -> Call:
        prompt, cached = self._cache.take(body, dialect)
        n = body.get("n")
        options = body.get("stream_options")
        return Call(
            number=request.n,
            model=str(body.get("model", "")),
            n=n if is_integer(n) and n > 0 else 1,
            prompt_tokens=prompt,
            cached_tokens=cached,
            include_usage=is_object(options) and options.get("include_usage") is True,
            split_reasoning=body.get("reasoning_split") is True,
            dialect=dialect,
        )

    def _answer(self, request: ReceivedRequest, call: Call, outcome: Reply | Fault | Responder) -> Answer:
        reply, fault = decide(outcome, request)
        whole = _render(reply, call, stream=request.stream)
        if fault is None:
            return whole
        break_off = faulty_stream if request.stream else faulty_json
        return break_off(fault, whole, call.dialect.name)


def _render(reply: Reply, call: Call, *, stream: bool) -> Answer:
    if stream:
        return stream_answer(
            chunks(reply, call),
            headers=reply.headers,
            delay_s=reply.delay_s,
            keep_alive=reply.keep_alive,
            comment=call.dialect.keep_alive,
            pause_s=reply.chunk_delay_s,
        )
    return json_answer(
        completion(reply, call),
        headers=reply.headers,
        delay_s=reply.delay_s,
        keep_alive=reply.keep_alive,
        pause_s=reply.chunk_delay_s,
    )
