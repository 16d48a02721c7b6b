"""Takes out of a message what programs write into it (thoughts, clocks, tags), to compare its words; pure.

`journal.likeness` compares the `Look` of a journaled message with that of one that came. `journal.forest`
names a reply by its look. Every pattern here is one that an app or framework was seen to write;
docs/design.md tells what may differ.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from convmem.wire.message import part_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Look", "core", "is_block", "look_of", "normal_text", "undecorated", "without_thoughts"]

_LONGEST = 250_000
"""Characters of a text that is looked at, at most: the patterns below would take seconds on a longer one,
which is recognized by its digest alone."""

_THOUGHT_TAGS = "think|thinking|thought|thoughts|reasoning|reflection"
"""Tags in which models and frameworks write thoughts into a reply."""
_THOUGHTS = re.compile(
    rf"<({_THOUGHT_TAGS})>.*?(?:</\1>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<details\b[^>]*\btype=\"reasoning\"[^>]*>.*?(?:</details>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""A thought in any of the forms in which models and front ends write it into a reply."""
_THOUGHT_END = re.compile(rf"</(?:{_THOUGHT_TAGS})>|\[/THINK\]|◁/think▷", re.IGNORECASE)
"""The end of thoughts that the chat template opened in the prompt, so that the reply has the end alone."""

_DAY = r"\d{4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}"
_HOUR = r"\d{1,2}[:：]\d{2}(?!\d)|\d{1,2}\s?[时点]\s?\d{1,2}\s?分"
_INSIDE = r"[^\[\]()【】（）<>{}\n]"
"""A character inside brackets: no bracket and no line break, so that a match stays within one pair."""
_STAMP = re.compile(
    rf"[\[【<{{](?={_INSIDE}{{0,80}}?(?:{_DAY}|{_HOUR})){_INSIDE}{{1,80}}[\]】>}}][ \t]*[:：]?"
    rf"|[(（](?={_INSIDE}{{0,80}}?{_DAY}){_INSIDE}{{1,80}}[)）][ \t]*[:：]?"
)
"""A date or time in brackets. In round brackets only with the day: people write "(10:30)" themselves. All
lengths are bounded (80 characters), so that a text full of open brackets takes no quadratic time."""
_CLOCK_LINE = re.compile(
    r"[\[(【（]?\W{0,3}(?:(?:the\s+)?(?:current|local|today'?s)\s+(?:date|time)[^\n:：]{0,20}|timestamp|now|today"
    r"|(?:当前|现在|本地|北京)[^\n:：]{0,4}(?:时间|日期|时刻)|现在|今天)\s*(?:is\b|[:：=是])"
    rf"[^\n]{{0,60}}?(?:{_DAY}|{_HOUR})[^\n]{{0,40}}",
    re.IGNORECASE,
)
"""A line that tells the time, such as "Current date: 2026-03-05 10:30" or "当前时间：2026年3月5日"."""
_SURE_TAGS = (
    r"system[-_ ]?reminder|reminder|current[-_]?time|current[-_]?date|timestamp|datetime|clock"
    r"|environment[-_]?details|environment[-_]?context"
)
_SURE_TAG = re.compile(rf"<({_SURE_TAGS})\b[^<>]{{0,200}}>", re.IGNORECASE)
"""Tags that only programs write into a message: a question with another reminder is still the same
question."""

_OPENED = re.compile(r"<([A-Za-z][\w.:-]{0,60})\b[^<>]{0,400}>|(```)[^\n]*\n")
_CLOSED = re.compile(r"</([A-Za-z][\w.:-]{0,60})>\Z|\n(```)\Z")
"""The beginning, and the end, of a tagged or fenced block; the lengths are bounded so that a search is
linear."""
_LABELS = re.compile(
    r"\W{0,4}(?:\w{1,20}\s){0,3}?(?:reminder|remember|note|context|background|references?|sources?"
    r"|documents?|passages?|excerpts?|snippets?|search results?|results|retrieved[^\n:：]{0,40}|knowledge"
    r"|memory|memories|facts?|profile|instructions?|system|hint|state|status|today|date|time|now"
    r"|use the following[^\n:：]{0,60}"
    r"|提醒|提示|注意|请记住|记住|备注|上下文|背景|参考(?:资料|信息|内容)?|资料|来源|文档|检索(?:结果|内容)?"
    r"|知识|记忆|已知信息|相关(?:信息|内容|资料)|当前[^\n:：]{0,10}|时间|日期)[^\n:：]{0,40}[:：]",
    re.IGNORECASE,
)
"""The label that begins a paragraph of retrieved passages, or of what the model is to keep in mind."""
_QUESTION = re.compile(
    r"(?:^|\n)[#*\s]{0,4}(?:(?:the|user'?s?)\s+)?(?:question|query|user|message|input|request|"
    r"用户(?:问题|提问|输入|消息)?|问题|提问)[ \t]*[:：][*]{0,2}[ \t]*\n?",
    re.IGNORECASE,
)
"""The label that an app writes before the user's own words, after retrieved passages."""

_MOST_BLOCKS = 100
"""Blocks that are taken off a message, at most; each costs a look at all of the rest. A hundred retrieved
passages are more than apps send; a pasted page of HTML has thousands of elements, and took minutes without
this bound."""

_NO_FIELDS: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """The parts of a message that are compared with another message.

    Attributes:
        role: the message's role.
        name: the message's name; None without one.
        text: the message's text, its lines kept.
        said: the text without thoughts and decoration that only programs write, white space collapsed.
        media: digests of the content parts that are no text.
        calls: the message's tool calls: id, name and arguments.
        answers: the id of the tool call whose result the message is; None for any other message.
        audio: the id of the audio of a spoken reply; None without one.
        whole: the message came whole; False for a reply that was broken off.
    """

    role: str
    name: str | None
    text: str
    said: str
    media: tuple[str, ...]
    calls: tuple[tuple[str, str, Any], ...]
    answers: str | None
    audio: str | None = None
    whole: bool = True


def look_of(message: Mapping[str, Any], *, whole: bool = True) -> Look | None:
    """The look of a message; None for one that is longer than 250,000 characters."""
    text, media = _told(message.get("content"))
    spoken = _fields(message.get("audio"))
    text = text or _text(message.get("refusal")) or _text(spoken.get("transcript"))
    if len(text) > _LONGEST:
        return None
    role = str(message.get("role"))
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    said = without_thoughts(text) if role == "assistant" else undecorated(text)
    return Look(
        role=role,
        name=_text(message.get("name")) or None,
        text=text,
        said=normal_text(said),
        media=media,
        calls=tuple(_calls(message.get("tool_calls"))),
        answers=_text(message.get("tool_call_id")) or None,
        audio=_text(spoken.get("id")) or None,
        whole=whole,
    )


def normal_text(text: str) -> str:
    """The text with each run of white space as one space."""
    return " ".join(text.split())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fields(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else _NO_FIELDS


def _told(content: object) -> tuple[str, tuple[str, ...]]:
    """The text of a message's content, and digests of its parts that are no text."""
    if not isinstance(content, Sequence) or isinstance(content, str):
        return _text(content), ()
    texts: list[str] = []
    media: list[str] = []
    for part in cast("Sequence[object]", content):
        told = (part, _fields(part).get("text"), _fields(part).get("refusal"))
        if any(isinstance(text, str) for text in told):
            texts.append(part_text(part))
        else:
            said = json.dumps(part, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
            media.append(hashlib.sha256(said).hexdigest())
    return "\n".join(texts), tuple(media)


def _calls(calls: object) -> Iterator[tuple[str, str, Any]]:
    """Id, name and arguments of each tool call; the arguments as JSON values, where they can be read."""
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return
    for call in cast("Sequence[object]", calls):
        fields = _fields(call)
        made = _fields(fields.get("function")) or fields
        arguments = made.get("arguments", made.get("input"))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = arguments.strip()
        yield _text(fields.get("id")), _text(made.get("name")), arguments


def without_thoughts(text: str) -> str:
    """A reply without the thoughts that some models write into it."""
    text = _THOUGHTS.sub("", text)
    ends = [match.end() for match in _THOUGHT_END.finditer(text)]
    return text[ends[-1] :] if ends else text


def undecorated(text: str) -> str:
    """The text without what only programs write: reminders in tags and clocks, before or after it."""
    bare = _without_sure_blocks(text).strip()
    while True:
        stripped = _unstamped(bare)
        if stripped == bare:
            return bare or text
        bare = stripped


def _without_sure_blocks(text: str) -> str:
    """The text without the blocks in tags that only programs write."""
    at = 0
    while (opened := _SURE_TAG.search(text, at)) is not None:
        closing = f"</{opened[1]}>"
        end = text.find(closing, opened.end())
        if end < 0:  # looked for once, not for every tag that is open
            break
        text = f"{text[: opened.start()]}\n{text[end + len(closing) :]}"
        at = opened.start()
    return text


def _unstamped(text: str) -> str:
    """The text without a clock in brackets, or on a line of its own, at its beginning or its end."""
    if (match := _STAMP.match(text)) is not None:
        return text[match.end() :].strip()
    first, newline, rest = text.partition("\n")
    if newline and _CLOCK_LINE.fullmatch(first.strip()) is not None:
        return rest.strip()
    before, newline, last = text.rpartition("\n")
    if newline and _CLOCK_LINE.fullmatch(last.strip()) is not None:
        return before.strip()
    ends = [match for match in _STAMP.finditer(text, max(0, len(text) - 100)) if match.end() == len(text)]
    return text[: ends[0].start()].strip() if ends else text


def core(text: str) -> str:
    """A user message without labelled paragraphs, tagged blocks and clocks before and after it."""
    text = undecorated(text.strip())
    for _ in range(_MOST_BLOCKS):
        bare = _unblocked(text)
        if bare == text or not bare:
            break
        text = undecorated(bare.strip())
    return text


def _unblocked(text: str) -> str:
    """The text without the first labelled paragraph or tagged block that begins or ends it."""
    questions = list(_QUESTION.finditer(text))
    if questions and questions[-1].end() < len(text):
        return text[questions[-1].end() :].strip()
    if (end := _end_of_block(text)) and end < len(text):
        return text[end:].strip()
    if begin := _begin_of_block(text):
        return text[:begin].strip()
    paragraphs = re.split(r"\n[ \t]*\n", text)
    if len(paragraphs) > 1:
        if _LABELS.match(paragraphs[0]) is not None:
            return "\n\n".join(paragraphs[1:]).strip()
        if _LABELS.match(paragraphs[-1]) is not None:
            return "\n\n".join(paragraphs[:-1]).strip()
    return text


# The next two look for one closing or opening tag each, so that ten thousand open tags cost no more than one.


def is_block(text: str) -> bool:
    """Whether a text is one tagged or fenced block."""
    return bool(text) and _end_of_block(text) == len(text)


def _end_of_block(text: str) -> int:
    """Where the block ends with which a text begins, in characters; 0 when a text begins with none."""
    opened = _OPENED.match(text)
    if opened is None:
        return 0
    closing = f"</{opened[1]}>" if opened[1] else "\n```"
    end = text.find(closing, opened.end() - (not opened[1]))
    return end + len(closing) if end >= 0 else 0


def _begin_of_block(text: str) -> int:
    """Where the block begins with which a text ends; 0 when there is none, or when it is the whole text."""
    closed = _CLOSED.search(text, max(0, len(text) - 100))
    if closed is None:
        return 0
    begin = text.rfind(f"<{closed[1]}" if closed[1] else "\n```", 0, closed.start())
    return max(0, begin)
