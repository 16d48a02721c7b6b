"""The local provider: a chat provider on this machine that does what a test tells it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from convmem.testing.provider.chat import ChatEndpoint
from convmem.testing.provider.desk import Desk, Hold
from convmem.testing.provider.embeddings import EmbeddingsEndpoint
from convmem.testing.provider.kept import Kept
from convmem.testing.provider.models import ModelsEndpoint
from convmem.testing.provider.responses import (
    CancelEndpoint,
    ConversationsEndpoint,
    ResponsesEndpoint,
    RetrieveEndpoint,
)
from convmem.testing.provider.script import Script
from convmem.testing.provider.transport import Listener
from convmem.testing.provider.usage import PromptCache
from convmem.testing.provider.vendors import DIALECTS, Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from convmem.testing.provider.dialect import DialectName, ReasoningRule
    from convmem.testing.provider.fault import Fault
    from convmem.testing.provider.received import ReceivedRequest, Served
    from convmem.testing.provider.reply import EmbeddingReply, Reply
    from convmem.testing.provider.script import Responder

__all__ = ["LocalProvider"]

_MODELS: Mapping[str | None, tuple[str, ...]] = {
    None: ("gpt-6-luna", "gpt-6-sol", "text-embedding-3-small"),
    "anthropic": ("claude-sonnet-5-5",),
    "deepseek": ("deepseek-flash", "deepseek-v4-pro"),
    "deepseek-r1": ("deepseek-reasoner",),
    "deepseek-v3.2": ("deepseek-chat", "deepseek-reasoner"),
    "doubao": ("doubao-seed-2-1-pro-260915",),
    "gemini": ("models/gemini-3.8-flash",),
    "glm": ("glm-5.3",),
    "groq": ("openai/gpt-oss-120b",),
    "kimi": ("kimi-k3",),
    "minimax": ("MiniMax-M3",),
    "mistral": ("mistral-large-4",),
    "openai": ("gpt-6-luna", "gpt-6-sol", "text-embedding-3-small"),
    "qwen": ("qwen3.8-max",),
    "xai": ("grok-4.7",),
}


class LocalProvider:
    """An OpenAI-compatible provider on loopback, speaking HTTP/1.1 and server-sent events.

    It is for tests of code that talks to a chat provider: the real client, real sockets, and replies and
    failures that are the same on every run. It starts in milliseconds and needs only the standard library.

    ```python
    with LocalProvider() as provider:
        client = OpenAI(base_url=provider.base_url, api_key="any", max_retries=0)
        provider.script(Reply("hello"), Fault.status(503))
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert provider.requests[0].newest_user_text == "hi"
    ```

    Chat Completions and Responses take their replies from one script. Responses are kept, so that they can
    be retrieved, polled, cancelled and continued by `previous_response_id`; conversations are kept too.

    Illegal requests are refused with the status, the body and the words of the vendor, and take nothing
    from the script; where a vendor's words are not known, the message names the places of all that is
    wrong. Requests without authorization are answered 401: a bearer token, or the header `api-key` on
    Azure's paths. The prompt cache is simulated: `cached_tokens` counts how much of a prompt was the start
    of an earlier one (see `usage.py`). All methods may be called from any thread.

    Args:
        strict: whether to refuse illegal requests; if not, anything that is a JSON object is answered.
        dialect: whose rules, errors and usage fields; by default each request's follow from the name of its
            model: `deepseek-flash` is served by DeepSeek's rules, `kimi-k3` by Kimi's, any unknown one by
            OpenAI's.
        reasoning: what to do with reasoning sent back: `accept`, `refuse`, `require` (with tools, unless
            thinking is off), `require-in-loop` (after the newest user message) or `require-on-calls` (on
            every message with tool calls); by default what the dialect does.
        context_limit: how many tokens, input and wanted output together, a model takes; what is longer is
            refused in the vendor's words. Tokens are counted high, see `overflow.py`. By default there is
            no limit.
        embedding_dim: the length of vectors when the request does not give one.
        seed: other seeds give other vectors.
        models: what the list of models says; any model is served.
        host: the IPv4 address to listen on.
        port: the port to listen on; 0 takes a free one.
        clock: gives `ReceivedRequest.at`.

    Raises:
        ValueError: an unknown dialect, or a limit below 1.
    """

    def __init__(
        self,
        *,
        strict: bool = True,
        dialect: DialectName | None = None,
        reasoning: ReasoningRule | None = None,
        context_limit: int | None = None,
        embedding_dim: int = 64,
        seed: int = 0,
        models: Sequence[str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if dialect is not None and dialect not in DIALECTS:
            raise ValueError(f"dialect must be one of {', '.join(sorted(DIALECTS))}, got {dialect!r}")
        if context_limit is not None and context_limit < 1:
            raise ValueError(f"context_limit must be at least 1, got {context_limit}")
        self.dialect: DialectName | None = dialect
        rules = Rules(dialect)
        self._script, cache, kept = Script(), PromptCache(), Kept()
        chat = ChatEndpoint(
            self._script, cache, rules, strict=strict, reasoning=reasoning, context_limit=context_limit
        )
        stateful = (
            ResponsesEndpoint(self._script, cache, kept, rules, strict=strict, context_limit=context_limit),
            RetrieveEndpoint(kept, rules),
            CancelEndpoint(kept, rules),
            ConversationsEndpoint(kept),
        )
        self._embeddings = EmbeddingsEndpoint(rules, strict=strict, dim=embedding_dim, seed=seed)
        listed = ModelsEndpoint(rules, _MODELS.get(dialect, ("local-model",)) if models is None else models)
        self._desk = Desk((chat, *stateful, self._embeddings, listed), rules, clock)
        self._host = host
        self._wanted_port = port
        self._port: int | None = None
        self._listener: Listener | None = None
        self._lifecycle = threading.Lock()

    def start(self) -> Self:
        """Start listening; when it returns, requests are answered. Starting twice is fine.

        Raises:
            RuntimeError: the provider was closed.
            OSError: the port is taken.
        """
        with self._lifecycle:
            if self._desk.closed:
                raise RuntimeError("this LocalProvider was closed; make a new one")
            if self._listener is None:
                self._listener = Listener(self._host, self._wanted_port, self._desk)
                self._port = self._listener.port
        return self

    def close(self) -> None:
        """Break off every answer, close every connection and wait for their threads. Twice is fine.

        What was recorded stays readable, and so does `base_url`, where nobody listens any more.
        """
        with self._lifecycle:
            self._desk.close()
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port, as in `http://127.0.0.1:40123`; what Azure calls the endpoint.

        Raises:
            RuntimeError: the provider was not started.
        """
        if self._port is None:
            raise RuntimeError(
                "this LocalProvider is not started; use it in a with statement or call start()"
            )
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"{self.origin}/v1"

    @property
    def default(self) -> Responder:
        """What answers chat and Responses requests when the script is empty; `echo` until it is set."""
        return self._script.default

    @default.setter
    def default(self, responder: Responder) -> None:
        self._script.default = responder

    def script(self, *outcomes: Reply | Fault | Responder) -> None:
        """Say what the next chat or Responses requests get, one each, behind what is in the script already.

        A function is called with the request. What it raises becomes a 500 that clients do not retry.
        """
        with self._desk.locked():
            self._script.outcomes.extend(outcomes)

    def script_embeddings(self, *outcomes: EmbeddingReply | Fault) -> None:
        """Say what the next embeddings requests get, one each."""
        with self._desk.locked():
            self._embeddings.scripted.extend(outcomes)

    @property
    def pending(self) -> tuple[Reply | Fault | Responder, ...]:
        """What is left in the script."""
        with self._desk.locked():
            return tuple(self._script.outcomes)

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """Every request so far, refused ones too, in order of arrival."""
        return self._desk.requests()

    @property
    def served(self) -> tuple[Served, ...]:
        """How every answer ended so far, in order of ending.

        The note is made after the last byte: wait with `wait_served` rather than read it at once.
        """
        return self._desk.served()

    def wait_for(
        self, n: int, timeout: float = 5.0, *, endpoint: str | None = None
    ) -> tuple[ReceivedRequest, ...]:
        """Wait until `n` requests have arrived and return all there are.

        Args:
            n: how many; 0 returns at once.
            timeout: seconds.
            endpoint: count and return only those to this one; see `ReceivedRequest.endpoint`.

        Raises:
            TimeoutError: they did not arrive in time.
        """
        return self._desk.requests(n, timeout, endpoint)

    def wait_served(self, n: int, timeout: float = 5.0) -> tuple[Served, ...]:
        """Wait until `n` answers have ended, whole or not, and return all there are.

        Raises:
            TimeoutError: they did not end in time.
        """
        return self._desk.served(n, timeout)

    def hold(self, *endpoints: str) -> Hold:
        """Take requests from now on, but keep the answers back until the hold is released.

        A held request has already taken its reply from the script. Use it in a `with`, or call `release`.

        Args:
            *endpoints: which to hold, by the names of `ReceivedRequest.endpoint`; everything without any.
        """
        return self._desk.hold(frozenset(endpoints))
