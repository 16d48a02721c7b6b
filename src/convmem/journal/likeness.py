"""Tells whether a message that came is a journaled one in another form ("in other clothes"); pure.

Equal messages have equal digests and never get here. Frameworks change messages that they send back: a reply
gets a `name`, loses its `<think>…</think>`, or tells its tool calls as text; a user message loses the
reminder, the clock or the retrieved passages with which it went out. `journal.align` compares such a message
with the words that are journaled *at its place*, and nowhere else. `journal.look` takes off what programs
write; the rest of both messages must be equal: a reply with other words is another reply, and a question with
other words is another question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, cast

from convmem.journal.look import core, is_block, look_of, normal_text, undecorated, without_thoughts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from convmem.journal.look import Look
    from convmem.protocols import Node
    from convmem.types import Message

__all__ = ["Dress", "Likeness", "alike"]

_DELIMITED = re.compile(r"\s*(?:[\[【][^\n]*[\]】]|[-=*_~#]{3,})\s*[:：]?\s*", re.DOTALL)
"""A piece in square brackets, or a rule such as `-----`: what programs put beside a message."""

_CALL_WORDS = re.compile(
    r"calling|called|calls|call|tools|tool|uses|used|using|use|functions|function|func|type|index|id|name|arguments|"
    r"argument|args|kwargs|parameters|params|parameter|inputs|input|actions|action|invoke|invoking|invoked|running|"
    r"ran|run|executing|executed|with|and|the|json|assistant|to|"
    r"调用|使用|工具|函数|参数|执行|名称|输入|动作|的",
    re.IGNORECASE,
)
"""The words with which frameworks tell a tool call as text, which are taken off before the rest is compared.
A word that is missing here makes such a call another reply; a word too many hides something that was said."""
_PLACES = 16
"""Places at which a short message ("ok") is tried inside a longer one, the last first: each is looked at
whole."""
_LEAST_SHARED = 4
"""Characters that two decorations must have in common to be one framework's; fewer would match by chance."""

_TOOLS = frozenset({"tool", "function"})
"""Roles of a message that holds a tool's result."""


@dataclass(frozen=True, slots=True)
class Dress:
    """How a message that came is recognized as a journaled one.

    Attributes:
        sure: it is that one whatever stands around it; False: only where the reply that is journaled follows.
        hidden: the journal has words of the message that did not come.
    """

    sure: bool
    hidden: bool


class Likeness:
    """Compares the messages of one list with journaled ones, whose words it reads when they are needed.

    Args:
        messages: the messages that came.
        read: reads journaled messages by identity; forgotten ones are missing from its result.
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
        """Read the words of these turns with one read, instead of one read for each."""
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
        """How message `i` is this journaled turn; None when it is another one."""
        came = self._look(i)
        if node.forgotten or came is None:
            return None
        if node.role != came.role and not (node.role in _TOOLS and self._told_before(i)):
            return None
        self.prepare((node,))
        known = self._known[node.identity]
        return alike(known, came, self._others(i)) if known is not None else None

    def _told_before(self, i: int) -> bool:
        """Whether message `i` may tell tool results as text: the message before it may tell the calls so."""
        came, before = self._look(i), self._look(i - 1) if i else None
        if came is None or before is None or came.calls:
            return False
        return not before.calls and (before.role == "assistant" or i > 1)

    def calls_tools(self, i: int) -> bool:
        """Whether message `i` makes tool calls."""
        look = self._look(i) if i >= 0 else None
        return look is not None and bool(look.calls)

    def _look(self, i: int) -> Look | None:
        if i not in self._came:
            self._came[i] = look_of(self._messages[i])
        return self._came[i]

    def _others(self, i: int) -> tuple[str, ...]:
        """The texts of the user messages besides message `i`, in which an app's decoration occurs again."""
        if self._frames is None:
            looks = (self._look(k) for k, m in enumerate(self._messages) if m.get("role") == "user")
            self._frames = tuple(look.text for look in looks if look is not None)
        mine = self._look(i)
        frames = list(self._frames)
        if mine is not None and mine.text in frames:
            frames.remove(mine.text)
        return tuple(frames)


def alike(known: Look, came: Look, others: Sequence[str] = ()) -> Dress | None:
    """How the message that came is the journaled one; None when it is another one.

    Args:
        known: the journaled message.
        came: the message that came at the same place.
        others: the texts of the other user messages that came with it, the newest last.
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
    """The result with `hidden` worked out: whether the journal has text or media that did not come."""
    hidden = normal_text(known.text) not in normal_text(came.text) or bool(set(known.media) - set(came.media))
    return Dress(sure=sure, hidden=hidden)


def _alike_reply(known: Look, came: Look) -> Dress | None:
    if known.audio is not None and known.audio == came.audio:
        return Dress(sure=True, hidden=False)
    if known.calls and not came.calls:
        return _dress_of_calls(known, came)
    # Frameworks give calls ids of their own.
    if [call[1:] for call in known.calls] != [call[1:] for call in came.calls]:
        return None
    if known.said == came.said and set(came.media) <= set(known.media):
        return _dress(known, came, sure=True)
    if known.calls and not came.said:  # a framework that drops what was said beside a call
        return _dress(known, came, sure=[call[0] for call in known.calls] == [call[0] for call in came.calls])
    less = not known.whole and came.said and known.said.startswith(came.said)
    return Dress(sure=True, hidden=True) if less else None  # the app saw less of a reply that was broken off


def _dress_of_calls(known: Look, came: Look) -> Dress | None:
    """Recognizes tool calls told as text: names and arguments, and besides only the words of calling."""
    text = came.text
    left = _taken_out(without_thoughts(text), known.said.split())
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
    """The text without these words; None where they do not all stand in it in this order."""
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
    """The names of fields, and true and false as Python and as JSON write them, in a JSON value."""
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
    """Recognizes a tool's result: by equal words, inside a text, or by its call where its reply follows."""
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
        # With other words around, such as a date in brackets, it may be an edit: its answer must follow.
        same = normal_text(known.text) == normal_text(came.text)
        return _dress(known, came, sure=same and known.media == came.media)
    if not came.said or not known.said:
        return None
    # From here on the words differ. That is decoration that went, came or changed only where what is known
    # to answer the message follows it: whoever changes a question wants another answer.
    if _only_decorates(came.text, known.text, others, gone=True):
        return _dress(known, came, sure=False)
    if _only_decorates(known.text, came.text, others, gone=False):
        return _dress(known, came, sure=False)
    mine, theirs = core(came.text), core(known.text)
    changed = mine != came.text and theirs != known.text and normal_text(mine) == normal_text(theirs)
    return _dress(known, came, sure=False) if changed else None


def _only_decorates(inner: str, outer: str, others: Sequence[str], *, gone: bool) -> bool:
    """Whether the inner text stands in the outer one, and only decoration stands around it there.

    A short text ("ok") may stand inside the decoration too, so its last few places are tried.
    """
    at = len(outer)
    for _ in range(_PLACES if len(inner) < len(outer) else 0):
        at = outer.rfind(inner, 0, at + len(inner) - 1)
        if at < 0:
            return False
        before, after = outer[:at], outer[at + len(inner) :]
        if _decorates(before, others, first=True, gone=gone) and _decorates(
            after, others, first=False, gone=gone
        ):
            return True
    return False


def _decorates(piece: str, others: Sequence[str], *, first: bool, gone: bool) -> bool:
    """Whether a piece of text before or after a message was put there by a program.

    A piece that is gone from the message is decoration when a line of its own held it, or when the newest
    message has the like: the message went out as the newest one, too. A piece that was added is decoration
    only when its form says so (a tag, a clock), or when all messages have it: people add sentences to what
    they said.

    Args:
        piece: what stands beside the message.
        others: the texts of the other user messages, the newest last.
        first: the piece stands before the message, else after it.
        gone: the journaled message has the piece and the one that came has not; else the other way round.
    """
    if not piece.strip() or _DELIMITED.fullmatch(piece) is not None or is_block(piece.strip()):
        return True
    beside = f"{piece}x" if first else f"x{piece}"
    if undecorated(beside) == "x":
        return True
    shared = [_shares(piece, other, first=first, whole=not gone) for other in others]
    if not gone:  # a habit, not what one message has in common with another
        return len(shared) > 1 and all(shared)
    on_lines = piece.rstrip(" \t").endswith("\n") if first else piece.lstrip(" \t").startswith("\n")
    return on_lines or shared[-1:] == [True] or core(beside) == "x"


def _shares(piece: str, other: str, *, first: bool, whole: bool) -> bool:
    """Whether another message begins (or ends) with the same piece: with all of it, or with half of it.

    Only a piece that punctuation sets off counts: two questions that begin with "How" have no frame in
    common.

    Args:
        piece: what stands beside the message.
        other: the text of the other message.
        first: compare the beginnings, else the ends.
        whole: all of the piece must be the same, else half of it.
    """
    bare = piece.strip()
    if len(bare) < _LEAST_SHARED or (bare[-1] if first else bare[0]).isalnum():
        return False
    pairs = zip(bare, other, strict=False) if first else zip(reversed(bare), reversed(other), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return same >= (len(bare) if whole else max(_LEAST_SHARED, len(bare) // 2))
