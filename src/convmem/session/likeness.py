"""Likeness: whether a message that came is a journaled one in other clothes; pure.

Digests of meaning tell equal messages. Frameworks change messages that they send back: a reply gets a `name`,
loses its `<think>…</think>`, or tells its tool calls as text; a user message loses the reminder, the clock or
the retrieved passages with which it went out. Such a message is compared here with the words that are
journaled *at its place*, and nowhere else. What is left of both when all that is taken off must be equal: a
reply with other words is another reply, and a question with other words is another question.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, cast

from convmem.wire.message import part_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from convmem.session.tree import Node
    from convmem.types import Message

__all__ = ["Dress", "Likeness", "Look", "alike", "look_of", "normal_text"]

_LONGEST = 1_000_000
"""Characters of a text that is looked at; a longer one is known by its digest alone. Work stays bounded."""

_THOUGHT_TAGS = "think|thinking|thought|thoughts|reasoning|reflection"
_THOUGHTS = re.compile(
    rf"<({_THOUGHT_TAGS})>.*?(?:</\1>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<details\b[^>]*\btype=\"reasoning\"[^>]*>.*?(?:</details>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_THOUGHT_END = re.compile(rf"</(?:{_THOUGHT_TAGS})>|\[/THINK\]|◁/think▷", re.IGNORECASE)
"""Closes thoughts that the chat template opened in the prompt, so that the reply has the end alone."""

_DAY = r"\d{4}\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}"
_HOUR = r"\d{1,2}[:：]\d{2}(?!\d)|\d{1,2}\s?[时点]\s?\d{1,2}\s?分"
_INSIDE = r"[^\[\]()【】（）<>{}\n]"
_STAMP = re.compile(
    rf"[\[【<{{](?={_INSIDE}{{0,80}}?(?:{_DAY}|{_HOUR})){_INSIDE}{{1,80}}[\]】>}}][ \t]*[:：]?"
    rf"|[(（](?={_INSIDE}{{0,80}}?{_DAY}){_INSIDE}{{1,80}}[)）][ \t]*[:：]?"
)
"""A clock in brackets. In round ones only with the day: people write "(10:30)" themselves."""
_CLOCK_LINE = re.compile(
    r"[\[(【（]?\W{0,3}(?:(?:the\s+)?(?:current|local|today'?s)\s+(?:date|time)[^\n:：]{0,20}|timestamp|now|today"
    r"|(?:当前|现在|本地|北京)[^\n:：]{0,4}(?:时间|日期|时刻)|现在|今天)\s*(?:is\b|[:：=是])"
    rf"[^\n]{{0,60}}?(?:{_DAY}|{_HOUR})[^\n]{{0,40}}",
    re.IGNORECASE,
)
_SURE_TAGS = (
    r"system[-_ ]?reminder|reminder|current[-_]?time|current[-_]?date|timestamp|datetime|clock|environment[-_]?details"
    r"|environment[-_]?context"
)
_SURE_BLOCK = re.compile(rf"<({_SURE_TAGS})\b[^<>]*>.*?</\1>", re.DOTALL | re.IGNORECASE)
"""What only programs write into a message, so nobody's question is another one by it."""

_ANY_BLOCK = re.compile(r"<([A-Za-z][\w.:-]*)\b[^<>]*>.*?</\1>|```[^\n]*\n.*?\n```", re.DOTALL)
_LABELS = re.compile(
    r"\W{0,4}(?:\w+\s){0,3}?(?:reminder|remember|note|context|background|reference|references|source|sources|document"
    r"|documents|passages?|excerpts?|snippets?|search results?|results|retrieved[^\n:：]{0,40}|knowledge|memory|memories|"
    r"facts?|profile|instructions?|system|hint|state|status|today|date|time|now|use the following[^\n:：]{0,60}|"
    r"提醒|提示|注意|请记住|记住|备注|上下文|背景|参考(?:资料|信息|内容)?|资料|来源|文档|检索(?:结果|内容)?|知识|记忆|已知信息"
    r"|相关(?:信息|内容|资料)|当前[^\n:：]{0,10}|时间|日期)[^\n:：]{0,40}[:：]",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:^|\n)[#*\s]{0,4}(?:(?:the|user'?s?)\s+)?(?:question|query|user|message|input|request|"
    r"用户(?:问题|提问|输入|消息)?|问题|提问)[ \t]*[:：][*]{0,2}[ \t]*\n?",
    re.IGNORECASE,
)
_DELIMITED = re.compile(r"\s*(?:[\[【][^\n]*[\]】]|[-=*_~#]{3,})\s*[:：]?\s*", re.DOTALL)

_CALL_WORDS = re.compile(
    r"calling|called|calls|call|tools|tool|uses|used|using|use|functions|function|func|type|index|id|name|arguments|"
    r"argument|args|kwargs|parameters|params|parameter|inputs|input|actions|action|invoke|invoking|invoked|running|ran|run|"
    r"executing|executed|with|and|the|json|assistant|to|"
    r"调用|使用|工具|函数|参数|执行|名称|输入|动作|的",
    re.IGNORECASE,
)
_LEAST_SHARED = 4
"""Characters that two decorations have in common, at least, to be one framework's."""

_TOOLS = frozenset({"tool", "function"})


@dataclass(frozen=True, slots=True)
class Look:
    """What of a message is compared.

    Attributes:
        role: its role.
        name: its name.
        text: what it says, lines kept.
        said: the same without thoughts and decoration that only programs write, white space collapsed.
        media: digests of its parts that are no text.
        calls: its tool calls: id, name and arguments.
        answers: the id of the call whose result it is.
        whole: whether it came whole; False for a reply that was broken off.
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


@dataclass(frozen=True, slots=True)
class Dress:
    """How a message that came is a journaled one.

    Attributes:
        sure: whatever stands around it; else only where the reply that is known follows it.
        hidden: the journal has words of it that did not come.
    """

    sure: bool
    hidden: bool


class Likeness:
    """Compares the messages of one list with journaled ones, whose words it reads when they are needed.

    Args:
        messages: the messages that came.
        read: gives journaled messages by identity; those that are gone are left out.
    """

    def __init__(
        self, messages: Sequence[Message], read: Callable[[Sequence[bytes]], Mapping[bytes, Message]]
    ) -> None:
        self._messages = messages
        self._read = read
        self._known: dict[bytes, Look | None] = {}
        self._came: dict[int, Look | None] = {}
        self._frames: tuple[str, ...] | None = None

    def prepare(self, nodes: Iterable[Node]) -> None:
        """Read the words of these turns together: one read instead of one for each."""
        missing = {
            node.identity: node for node in nodes if not node.forgotten and node.identity not in self._known
        }
        if not missing:
            return
        read = self._read(tuple(missing))
        for identity, node in missing.items():
            message = read.get(identity)
            self._known[identity] = (
                look_of(message, whole=node.state != "partial") if message is not None else None
            )

    def judge(self, node: Node, i: int) -> Dress | None:
        """How the message of that index is this turn; None when it is not."""
        came = self._look(i)
        if node.forgotten or came is None:
            return None
        if node.role != came.role and (node.role not in _TOOLS or came.calls or self.calls_tools(i - 1)):
            return None
        self.prepare((node,))
        known = self._known[node.identity]
        return alike(known, came, self._others(i)) if known is not None else None

    def calls_tools(self, i: int) -> bool:
        """Whether the message of that index makes tool calls."""
        look = self._look(i) if i >= 0 else None
        return look is not None and bool(look.calls)

    def _look(self, i: int) -> Look | None:
        if i not in self._came:
            self._came[i] = look_of(self._messages[i])
        return self._came[i]

    def _others(self, i: int) -> tuple[str, ...]:
        """The texts of the other user messages: what an app writes around one it writes around more."""
        if self._frames is None:
            looks = (self._look(k) for k, m in enumerate(self._messages) if m.get("role") == "user")
            self._frames = tuple(look.text for look in looks if look is not None)
        mine = self._look(i)
        frames = list(self._frames)
        if mine is not None and mine.text in frames:
            frames.remove(mine.text)
        return tuple(frames)


# Looking at one message.


def look_of(message: Mapping[str, Any], *, whole: bool = True) -> Look | None:
    """What of a message is compared; None for one that is too long to be looked at."""
    text, media = _told(message.get("content"))
    audio = message.get("audio")
    spoken = cast("Mapping[str, object]", audio) if isinstance(audio, Mapping) else {}
    text = text or _text(message.get("refusal")) or _text(spoken.get("transcript"))
    if len(text) > _LONGEST:
        return None
    role = str(message.get("role"))
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    said = _without_thoughts(text) if role == "assistant" else _undecorated(text)
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


def _told(content: object) -> tuple[str, tuple[str, ...]]:
    """The text of a content, and digests of its parts that are no text."""
    if not isinstance(content, Sequence) or isinstance(content, str):
        return _text(content), ()
    texts: list[str] = []
    media: list[str] = []
    for part in cast("Sequence[object]", content):
        fields = cast("Mapping[str, object]", part) if isinstance(part, Mapping) else {}
        if (
            isinstance(part, str)
            or isinstance(fields.get("text"), str)
            or isinstance(fields.get("refusal"), str)
        ):
            texts.append(part_text(part))
        else:
            said = json.dumps(part, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
            media.append(hashlib.sha256(said).hexdigest())
    return "\n".join(texts), tuple(media)


def _calls(calls: object) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return
    for call in cast("Sequence[object]", calls):
        fields = cast("Mapping[str, object]", call) if isinstance(call, Mapping) else {}
        function = fields.get("function")
        made = cast("Mapping[str, object]", function) if isinstance(function, Mapping) else fields
        arguments = made.get("arguments", made.get("input"))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = arguments.strip()
        yield _text(fields.get("id")), _text(made.get("name")), arguments


def _without_thoughts(text: str) -> str:
    text = _THOUGHTS.sub("", text)
    ends = [match.end() for match in _THOUGHT_END.finditer(text)]
    return text[ends[-1] :] if ends else text


def _undecorated(text: str) -> str:
    """The text without what only programs write: reminders in tags and clocks, before or after it."""
    bare = _SURE_BLOCK.sub("\n", text).strip()
    while True:
        stripped = _unstamped(bare)
        if stripped == bare:
            return bare or text
        bare = stripped


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


# Comparing two.


def alike(known: Look, came: Look, others: Sequence[str] = ()) -> Dress | None:
    """How what came is what is known; None when it is not.

    Args:
        known: a journaled message.
        came: the one that stands at its place.
        others: the texts of the other user messages that came with it.
    """
    if known.name is not None and came.name is not None and known.name != came.name:
        return None  # another speaker
    if known.role in _TOOLS:
        return _alike_result(known, came)
    if known.role == "assistant":
        return _alike_reply(known, came)
    if known.role == "user":
        return _alike_question(known, came, others)
    return Dress(sure=True, hidden=False) if known.said == came.said else None


def _dress(known: Look, came: Look, *, sure: bool) -> Dress:
    """With `hidden`: whether everything the journal has was in what came."""
    hidden = normal_text(known.text) not in normal_text(came.text) or bool(set(known.media) - set(came.media))
    return Dress(sure=sure, hidden=hidden)


def _alike_reply(known: Look, came: Look) -> Dress | None:
    if known.audio is not None and known.audio == came.audio:
        return Dress(sure=True, hidden=False)
    if known.calls and not came.calls:
        return _dress_of_calls(known, came)
    if not _same_calls(known.calls, came.calls):
        return None
    if known.said == came.said and set(came.media) <= set(known.media):
        return _dress(known, came, sure=True)
    if known.calls and not came.said:  # a framework that drops what was said beside a call
        return _dress(known, came, sure=[call[0] for call in known.calls] == [call[0] for call in came.calls])
    if not known.whole and came.said and known.said.startswith(came.said):
        return Dress(sure=True, hidden=True)  # the app saw less of a reply that was broken off
    return None


def _same_calls(known: Sequence[tuple[str, str, Any]], came: Sequence[tuple[str, str, Any]]) -> bool:
    """Whether two messages make the same calls; frameworks give them ids of their own."""
    return [call[1:] for call in known] == [call[1:] for call in came]


def _dress_of_calls(known: Look, came: Look) -> Dress | None:
    """Calls told as text: names and arguments, and besides them nothing but the words of calling."""
    text = came.text
    left = _taken_out(_without_thoughts(text), known.said.split())
    if left is None:
        return None
    for call_id, name, arguments in known.calls:
        if not name or name not in text:
            return None
        told = [name, *_leaves(arguments)]
        if not all(_found(leaf, text) for leaf in told):
            return None
        if call_id and call_id in text:  # nobody but a program tells an id
            left = ""
        for leaf in sorted({call_id, *told, *_keys(arguments)}, key=len, reverse=True):
            for form in _forms(leaf):
                left = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", " ", left) if form else left
    letters = re.sub(r"\\[nrt]|None|null", " ", left)
    if any(character.isalnum() for character in _CALL_WORDS.sub(" ", letters)):
        return None
    return Dress(sure=True, hidden=normal_text(known.text) not in normal_text(text))


def _taken_out(text: str, words: Sequence[str]) -> str | None:
    """The text without these words, which must stand in it in this order."""
    kept: list[str] = []
    at = 0
    for word in words:
        found = text.find(word, at)
        if found < 0:
            return None
        kept.append(text[at:found])
        at = found + len(word)
    return " ".join((*kept, text[at:]))


def _leaves(value: object) -> Iterator[str]:
    """The texts and numbers in a JSON value."""
    if isinstance(value, Mapping):
        for item in cast("Mapping[str, object]", value).values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _leaves(item)
    elif isinstance(value, bool) or value is None:
        yield from ()
    elif isinstance(value, str):
        yield value
    else:
        yield json.dumps(value)


def _keys(value: object) -> Iterator[str]:
    """The names, and the words for true and false, in a JSON value: however those are written."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _keys(item)
    elif isinstance(value, bool):
        yield from (str(value), json.dumps(value))


def _forms(text: str) -> tuple[str, ...]:
    """How a text may stand in a rendered call: as it is, as in JSON, as in Python."""
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
    return tuple(dict.fromkeys(forms))


def _found(leaf: str, text: str) -> bool:
    return any(form in text for form in _forms(leaf))


def _alike_result(known: Look, came: Look) -> Dress | None:
    """A tool's result: known by its call where the reply to it follows, else by its words; or told as text."""
    if came.role in _TOOLS:
        same = known.answers == came.answers
        if known.said == came.said and known.media == came.media:
            return _dress(known, came, sure=True)
        return _dress(known, came, sure=False) if same and known.answers else None
    told = normal_text(came.text)
    result = normal_text(known.text)
    return Dress(sure=True, hidden=False) if result and result in told else None


def _alike_question(known: Look, came: Look, others: Sequence[str]) -> Dress | None:
    if not set(came.media) <= set(known.media):
        return None
    if known.said == came.said:
        return _dress(known, came, sure=known.media == came.media)
    if not came.said or not known.said:
        return None
    # From here on the words differ. That is decoration that went, came or changed only where what is known
    # to answer the message follows it: whoever changes a question wants another answer.
    lost = _around(came.text, known.text)
    if lost is not None and all(
        _decorates(piece, others, first=i == 0, gone=True) for i, piece in enumerate(lost)
    ):
        return _dress(known, came, sure=False)
    added = _around(known.text, came.text)
    if added is not None and all(
        _decorates(piece, others, first=i == 0, gone=False) for i, piece in enumerate(added)
    ):
        return _dress(known, came, sure=False)
    mine, theirs = _core(came.text), _core(known.text)
    changed = mine != came.text and theirs != known.text and normal_text(mine) == normal_text(theirs)
    return _dress(known, came, sure=False) if changed else None


def _around(inner: str, outer: str) -> tuple[str, str] | None:
    """What stands before and after a text in a longer one; at its end sooner than at its beginning."""
    if len(inner) >= len(outer):
        return None
    if outer.endswith(inner):
        return outer[: -len(inner)], ""
    at = outer.find(inner)
    return (outer[:at], outer[at + len(inner) :]) if at >= 0 else None


def _decorates(piece: str, others: Sequence[str], *, first: bool, gone: bool) -> bool:
    """Whether what stands before (first) or after a message was put there by a program.

    What went is decoration when a line of its own held it. What came is decoration only when it says so
    itself, or when another message has it as well: people add sentences to what they said before.
    """
    if (
        not piece.strip()
        or _DELIMITED.fullmatch(piece) is not None
        or _ANY_BLOCK.fullmatch(piece.strip()) is not None
    ):
        return True
    beside = f"{piece}x" if first else f"x{piece}"
    if _undecorated(beside) == "x" or any(
        _shares(piece, other, first=first, whole=not gone) for other in others
    ):
        return True
    if not gone:
        return False
    on_lines = piece.rstrip(" \t").endswith("\n") if first else piece.lstrip(" \t").startswith("\n")
    return on_lines or _core(beside) == "x"


def _shares(piece: str, other: str, *, first: bool, whole: bool) -> bool:
    """Whether another message has the same around it: all of it, or, unless it must be whole, half of it."""
    bare = piece.strip()
    if len(bare) >= _LEAST_SHARED and bare in other:
        return True
    pairs = zip(piece, other, strict=False) if first else zip(reversed(piece), reversed(other), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return not whole and same >= max(_LEAST_SHARED, len(bare) // 2)


def _core(text: str) -> str:
    """A user message without labelled paragraphs, tagged blocks and clocks before and after it."""
    while True:
        text = _undecorated(text.strip())
        bare = _unblocked(text)
        if bare == text or not bare:
            return text
        text = bare


def _unblocked(text: str) -> str:
    """The text without the first labelled paragraph or tagged block that begins or ends it."""
    questions = list(_QUESTION.finditer(text))
    if questions and questions[-1].end() < len(text):
        return text[questions[-1].end() :].strip()
    if (block := _ANY_BLOCK.match(text)) is not None and block.end() < len(text):
        return text[block.end() :].strip()
    for block in _ANY_BLOCK.finditer(text):
        if block.end() == len(text) and block.start():
            return text[: block.start()].strip()
    paragraphs = re.split(r"\n[ \t]*\n", text)
    if len(paragraphs) > 1:
        if _LABELS.match(paragraphs[0]) is not None:
            return "\n\n".join(paragraphs[1:]).strip()
        if _LABELS.match(paragraphs[-1]) is not None:
            return "\n\n".join(paragraphs[:-1]).strip()
    return text
