"""What a provider asks of the messages that memory puts back; never of those the caller sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from convmem.wire.message import ITEMS, SETTINGS_ROLES, slices, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.types import Message

__all__ = ["AssistantParts", "Developer", "Dialect", "LateSystem", "Reasoning", "SameRole"]

# What an assistant message may carry back to any provider; the rest of a reply (annotations, audio data,
# refusals that are null) is the provider's to say and not ours to repeat.
_SENDABLE = ("role", "content", "name", "tool_calls", "function_call", "refusal")
_CALL = ("id", "type", "function", "custom")
_REASONING = ("reasoning_content", "reasoning")
_SIGNATURES = "extra_content"
_PREFIX = "prefix"

Reasoning = Literal["drop", "with-tools", "keep"]
SameRole = Literal["keep", "merge"]
LateSystem = Literal["keep", "user"]
Developer = Literal["keep", "system"]
AssistantParts = Literal["keep", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is done to messages that are put back; `dialects.toml` says what each value means."""

    name: str
    reasoning: Reasoning = "drop"
    same_role: SameRole = "keep"
    late_system: LateSystem = "keep"
    developer: Developer = "keep"
    assistant_parts: AssistantParts = "keep"
    signatures: bool = False
    json_word: bool = False

    def sendable(self, message: Message, *, tools: bool) -> Message:
        """The form in which a journaled message goes back, by itself; what need not change is not copied.

        Args:
            message: as it was journaled.
            tools: whether the request offers tools.
        """
        role = message.get("role")
        if role == "assistant":
            return self._assistant(message, tools=tools)
        if role == "developer" and self.developer == "system":
            message = {**message, "role": "system"}
        return {key: message[key] for key in message if key != ITEMS} if ITEMS in message else message

    def _assistant(self, message: Message, *, tools: bool) -> Message:
        kept = {key: message[key] for key in _SENDABLE if message.get(key) is not None}
        calls: object = kept.get("tool_calls")
        if isinstance(calls, list):
            kept["tool_calls"] = [self._call(call) for call in cast("list[object]", calls)]
        if self.assistant_parts == "text" and isinstance(kept.get("content"), list):
            kept["content"] = text_of(message)
        if "content" not in kept and not kept.get("tool_calls") and "refusal" not in kept:
            kept["content"] = ""
        if self.reasoning == "with-tools" and tools:
            reasoning: object = message.get("reasoning_content")
            kept["reasoning_content"] = reasoning if isinstance(reasoning, str) else ""
        elif self.reasoning == "keep":
            kept |= {key: message[key] for key in _REASONING if isinstance(message.get(key), str)}
        if self.signatures and message.get(_SIGNATURES) is not None:
            kept[_SIGNATURES] = message[_SIGNATURES]
        if message.get(_PREFIX) is True:
            kept[_PREFIX] = True  # until `arranged` has put it together with what the model made of it
        return kept

    def _call(self, call: object) -> object:
        if not isinstance(call, dict):
            return call
        known = (*_CALL, _SIGNATURES) if self.signatures else _CALL
        made = cast("Message", call)
        return {key: made[key] for key in known if made.get(key) is not None}

    def arranged(self, messages: Sequence[tuple[Message, bool]]) -> list[Message]:
        """The turns of a request in the order in which they go out, made one where they have to be.

        Only what is put back changes: the beginning of a reply that a caller had the model continue
        (`prefix`) and the rest are one message again; messages of one role in a row become one where the
        dialect refuses them. What is put back right before the caller's own user message goes in front of
        its text.

        Args:
            messages: each with whether it is the caller's own, and not put back.
        """
        made: list[Message] = []
        open_ended = mergeable = False
        for message, own in messages:
            said = message if own else self._as_placed(message)
            glue = "" if open_ended else "\n\n" if self.same_role == "merge" else None
            if mergeable and glue is not None and _may_join(made[-1], said, own=own):
                made[-1] = _joined(made[-1], said, glue)
            else:
                made.append(said)
            open_ended = not own and message.get(_PREFIX) is True
            mergeable = not own
        return made

    def _as_placed(self, message: Message) -> Message:
        """A message that is put back, where it stands: no late system message, no reply to be continued."""
        if self.late_system == "user" and message.get("role") in SETTINGS_ROLES:
            return {**message, "role": "user"}
        return (
            {key: value for key, value in message.items() if key != _PREFIX}
            if _PREFIX in message
            else message
        )

    def breaks_json_mode(self, messages: Sequence[Message]) -> bool:
        """Whether JSON mode would be refused for these messages: none has the word."""
        return self.json_word and not any(_says_json(text_of(message)) for message in messages)


def _says_json(text: str) -> bool:
    """Whether a text has the word, in capitals or not, be it across two slices."""
    before = ""
    for piece in slices(text):
        if "json" in (before + piece).casefold():
            return True
        before = piece[-3:]
    return False


def _may_join(before: Message, after: Message, *, own: bool) -> bool:
    """Whether two messages in a row, the first of them put back, can be one."""
    role = after.get("role")
    if before.get("role") != role:
        return False
    return role == "user" or (role == "assistant" and not own and not before.get("tool_calls"))


def _joined(before: Message, after: Message, glue: str) -> Message:
    """Two messages of one role as one."""
    made = {**before, **after}
    if before.get("name") != after.get("name"):
        made.pop("name", None)
    for key in ("content", *_REASONING):
        if (value := _together(before.get(key), after.get(key), glue)) is not None:
            made[key] = value
    return made


def _together(before: object, after: object, glue: str) -> object:
    """Two contents as one: text as text, or as a list of parts when one of them is."""
    if not before or not after:
        return after or before
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}{glue}{after}"
    return [*_parts(before), *_parts(after)]


def _parts(content: object) -> list[object]:
    return cast("list[object]", content) if isinstance(content, list) else [{"type": "text", "text": content}]
