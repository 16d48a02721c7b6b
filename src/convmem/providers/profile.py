"""What a provider asks of messages that are put back, as data; `dialects.toml` says what each value means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AfterTool",
    "AssistantParts",
    "Calls",
    "Content",
    "Developer",
    "First",
    "LateSystem",
    "Media",
    "Names",
    "Profile",
    "Reasoning",
    "ReasoningAs",
    "Refusals",
    "SameRole",
]

Reasoning = Literal["drop", "with-tools", "keep"]
ReasoningAs = Literal["as-it-came", "reasoning_content", "reasoning"]
Content = Literal["empty", "null", "absent"]
SameRole = Literal["keep", "merge"]
First = Literal["any", "user"]
AfterTool = Literal["any", "assistant"]
LateSystem = Literal["keep", "user"]
Developer = Literal["keep", "system"]
AssistantParts = Literal["keep", "text"]
Media = Literal["keep", "images", "text"]
Names = Literal["keep", "user", "tool"]
Calls = Literal["function", "all"]
Refusals = Literal["text", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A dialect as values: what is done to messages that are put back."""

    name: str
    reasoning: Reasoning = "drop"
    reasoning_as: ReasoningAs = "as-it-came"
    reasoning_filler: str = ""
    content: Content = "empty"
    same_role: SameRole = "keep"
    first: First = "any"
    after_tool: AfterTool = "any"
    late_system: LateSystem = "keep"
    developer: Developer = "keep"
    assistant_parts: AssistantParts = "keep"
    media: Media = "keep"
    names: Names = "keep"
    calls: Calls = "function"
    calls_need_tools: bool = False
    call_ids: str = ".*"
    refusals: Refusals = "text"
    own_fields: tuple[str, ...] = ()
    own_parts: tuple[str, ...] = ()
    details_format: str = "*"
    signatures: bool = False
    unsigned: str = ""
    json_word: bool = False
