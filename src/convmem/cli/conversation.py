"""One conversation with a model through a wrapped client, streamed, with what it took."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

from openai import APIConnectionError, AuthenticationError, OpenAI, OpenAIError

from convmem.errors import ConvmemError, InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from openai.types.chat import ChatCompletionMessageParam

    from convmem.memory import Memory
    from convmem.types import Receipt

__all__ = ["Conversation", "Piece", "Totals", "in_words", "model_of"]

_NAMED_AT_MOST = 8
_WARM_S = 5.0
_ANY = "Where did I say that I put the spare key?"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; `thought` when it is reasoning that some models show."""

    text: str
    thought: bool = False


@dataclass(slots=True)
class Totals:
    """What the calls of this run took, by the provider's count.

    Attributes:
        cost: at list prices, in US dollars, of the calls that have a price.
        unpriced: how many calls have none.
    """

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    estimated: int = 0
    recalled: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def add(self, receipt: Receipt) -> None:
        """One more call."""
        usage = receipt.usage or {}
        self.calls += 1
        self.prompt += _number(usage, "prompt_tokens")
        self.completion += _number(usage, "completion_tokens")
        self.cached += receipt.cached_tokens or 0
        self.estimated += receipt.tokens.total
        self.recalled += len(receipt.recalled)
        if receipt.cost is not None:
            self.cost += receipt.cost.total
        else:
            self.unpriced += 1


def _number(usage: Any, name: str) -> int:  # noqa: ANN401 (the provider's own fields)
    value = usage.get(name)
    return value if isinstance(value, int) else 0


class Conversation:
    """A conversation that goes on where it was left.

    Args:
        memory: what remembers.
        client: the bare client.
        model: the model asked.
        user: whose memory.
        session: the conversation's name.
        system: what every request begins with.
    """

    def __init__(
        self,
        memory: Memory,
        client: OpenAI,
        *,
        model: str,
        user: str,
        session: str,
        system: str | None = None,
    ) -> None:
        self.memory = memory
        self.model = model
        self.user = user
        self.totals = Totals()
        self.receipt: Receipt | None = None
        self.client = client
        self._warming: Thread | None = None
        self._system = system
        self.go_to(session)

    def go_to(self, session: str) -> None:
        """Go on in another session."""
        self._client = self.memory.wrap(self.client, user=self.user, session=session)
        self.session = session

    @contextmanager
    def warming(self) -> Generator[None]:
        """Load what the first question needs (the user's index, the embedder) while nothing is asked yet."""
        self._warming = Thread(target=self._warm, name="convmem-warm", daemon=True)
        self._warming.start()
        try:
            yield
        finally:
            self._warming.join(_WARM_S)

    def _warm(self) -> None:
        with suppress(ConvmemError):  # the first question says so, if it is still so
            self.memory.prepare([{"role": "user", "content": _ANY}], user=self.user, model=self.model)

    def ask(self, text: str) -> Iterator[Piece]:
        """Say something; the answer comes piece by piece. What came before an interruption is kept.

        Raises:
            openai.OpenAIError: the provider refused or cannot be reached.
        """
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": text}]
        if self._system is not None:
            messages.insert(0, {"role": "system", "content": self._system})
        self.receipt = None
        if self._warming is not None:
            self._warming.join(_WARM_S)
        stream = self._client.chat.completions.create(
            model=self.model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        try:
            with stream:
                for chunk in stream:
                    for choice in chunk.choices:
                        if thought := getattr(choice.delta, "reasoning_content", None):
                            yield Piece(str(thought), thought=True)
                        if choice.delta.content:
                            yield Piece(choice.delta.content)
        finally:
            self.receipt = self.memory.receipt_for(stream)
            if self.receipt is not None:
                self.totals.add(self.receipt)


def in_words(client: OpenAI, error: OpenAIError) -> str:
    """An error of the SDK in words: the provider's address, what went wrong, and which option changes it."""
    said = f"the provider at {client.base_url}: {error}"
    if isinstance(error, AuthenticationError):
        return f"{said}; --key-env names the variable that holds its key"
    if not isinstance(error, APIConnectionError):
        return said
    cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
    return f"{said}{cause} --base-url or the variable OPENAI_BASE_URL says where it is."


def model_of(client: OpenAI, wanted: str | None) -> str:
    """The model to talk to: the one that is named, or the only one the provider has.

    Raises:
        InputError: the provider has several, or does not say.
    """
    if wanted is not None:
        return wanted
    try:
        known = [model.id for model in client.models.list()]
    except OpenAIError as error:
        raise InputError(
            f"name the model with --model: its list of models cannot be read from {in_words(client, error)}"
        ) from error
    if len(known) == 1:
        return known[0]
    some = ", ".join(known[:_NAMED_AT_MOST]) + (", …" if len(known) > _NAMED_AT_MOST else "")
    raise InputError(f"name the model with --model; the provider has {some or 'none'}")
