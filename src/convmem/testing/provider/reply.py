"""What the local provider is told to say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.testing.provider.received import ReceivedRequest

__all__ = ["EmbeddingReply", "Reply", "ToolCall", "echo"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in a reply.

    Attributes:
        name: the tool.
        arguments: a mapping, sent as compact JSON, or a string, sent as it is; models do produce broken JSON.
        id: the id of the call; by default made from the number of the request, `call_000001_0`.
        kind: `custom` calls carry the arguments as free text under `input`.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    id: str | None = None
    kind: Literal["function", "custom"] = "function"

    @property
    def payload(self) -> str:
        """The arguments as they stand on the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful chat reply; it goes out as JSON or as a stream, whichever the request asks for.

    Attributes:
        content: the text; None is sent as null beside a refusal or sound, beside tool calls as what the
            dialect has for no content, else as an empty string.
        tool_calls: the calls, in order.
        refusal: the text of a refusal.
        reasoning_content: the chain of thought, streamed before the text; it goes out under the name and in
            the place that the dialect has for it.
        audio: what a spoken reply says: `id`, `data`, `expires_at`, `transcript`.
        finish_reason: by default `tool_calls` when there are calls, else `stop`.
        usage: replaces the whole usage object; by default it is counted, see `usage.py`.
        choices: several replies to be sent as choices 0, 1 and so on, whatever `n` the request has. Of each
            only the message is used. Without it a request for `n` choices gets this reply n times.
        chunk_size: how many characters one delta of a stream carries.
        delay_s: how long to wait before the first byte.
        chunk_delay_s: how long to wait before each later chunk and keep-alive.
        keep_alive: how many signs of life come first, as DeepSeek sends them under load: comment lines
            (`: keep-alive`) and blank lines before the first event of a stream, line breaks before JSON.
        extra: fields merged into the message, or into the first delta.
        headers: response headers, over the usual ones.

    Raises:
        ValueError: a chunk size below 1, a negative number of keep-alives, or choices beside a message.
    """

    content: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    refusal: str | None = None
    reasoning_content: str | None = None
    audio: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    choices: Sequence[Reply] | None = None
    chunk_size: int = 8
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    keep_alive: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {self.chunk_size}")
        if self.keep_alive < 0:
            raise ValueError(f"keep_alive must not be negative, got {self.keep_alive}")
        object.__setattr__(self, "tool_calls", tuple(self.tool_calls))
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))
        own = (
            self.content,
            self.refusal,
            self.reasoning_content,
            self.audio,
            self.finish_reason,
            self.tool_calls or None,
        )
        if self.choices is not None and any(part is not None for part in own):
            raise ValueError(
                "a Reply has either choices or a message of its own; put the message into choices"
            )

    @classmethod
    def cut_while_thinking(cls, reasoning: str) -> Reply:
        """Make a reply that `max_tokens` cut before the model had said anything: reasoning and no content."""
        return cls("", reasoning_content=reasoning, finish_reason="length")

    @classmethod
    def empty(cls) -> Reply:
        """Make a reply without content that ends by itself, as DeepSeek's JSON mode has them."""
        return cls("")

    @classmethod
    def spoken(cls, transcript: str, *, data: str = "UklGRg==") -> Reply:
        """Make a spoken reply: no content, the words are the transcript of `message.audio`.

        Args:
            transcript: what is said.
            data: the sound in base64.
        """
        audio = {"id": "audio_local", "data": data, "expires_at": 1_700_003_600, "transcript": transcript}
        return cls(audio=audio)

    @property
    def finish(self) -> str:
        """The finish reason on the wire."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def text(self) -> str | None:
        """The content on the wire."""
        if self.content is None and not self.tool_calls and self.refusal is None and self.audio is None:
            return ""
        return self.content

    def parts(self, n: int) -> tuple[Reply, ...]:
        """The replies of the single choices when a request asks for `n`."""
        return (self,) * n if self.choices is None else tuple(self.choices)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingReply:
    """A successful reply of the embeddings endpoint.

    Attributes:
        vectors: one per input, sent as they are; by default unit vectors derived from the inputs.
        delay_s: how long to wait before the first byte.
        headers: response headers, over the usual ones.
    """

    vectors: Sequence[Sequence[float]] | None = None
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def echo(request: ReceivedRequest) -> Reply:
    """Answer with what the newest user message says, after `echo: `; what memory put in front is left out."""
    return Reply(f"echo: {request.newest_user_words}")
