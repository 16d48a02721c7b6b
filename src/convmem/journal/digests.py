"""Remembers the digests and token counts of messages seen lately, so that each is worked out once.

An app that sends its whole history sends the same messages with every call. `journal.begin` asks for their
digests, `context.frame` and `context.memo` for their token counts. Both are found by what a message says,
never by which object says it: the app may change its objects between two calls.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

from convmem.journal.align import Incoming
from convmem.tokens.count import count_message
from convmem.wire.identity import meaning_digest
from convmem.wire.message import weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from convmem.types import Message

__all__ = ["Seen", "SeenMessages", "counted"]

_CHARACTERS = 8_000_000
"""Characters of messages that one of the two halves holds: some twenty thousand messages of two hundred
characters, `_PER_MESSAGE` included. Smaller, a long history is digested again with every call."""

_PER_MESSAGE = 200
"""Characters that each message counts besides its own: what Python's objects for it take in memory."""
_LONGEST = 250_000
"""Characters of a message from which it is held apart: one picture would else push thousands of messages
out."""
_HUGE_CHARACTERS = 32_000_000
"""Characters held of messages longer than `_LONGEST`: a book, a log, a few pictures. An app that keeps its
history holds the same strings itself, so they take no room of their own then."""


class Seen:
    """One message with its digest and its token count, each worked out when it is first asked for.

    Args:
        message: the message as plain JSON; nobody changes it.
        key: the store's key, with which the meaning is digested.
        incoming: digest and role to answer with instead of the message's own: those of its plainer form, when
            the message cannot be journaled as it is.
    """

    __slots__ = ("_counted", "_incoming", "_key", "message")

    def __init__(self, message: Message, key: bytes, incoming: Incoming | None = None) -> None:
        self.message = message
        self._key = key
        self._incoming = incoming
        self._counted: tuple[Callable[[str], int] | None, int] = (None, 0)

    @property
    def incoming(self) -> Incoming:
        """The message's digest and role, worked out on demand: nobody asks them of restored messages."""
        if self._incoming is None:
            self._incoming = Incoming(meaning_digest(self._key, self.message), str(self.message.get("role")))
        return self._incoming

    def tokens(self, count: Callable[[str], int]) -> int:
        """The message's tokens; counted anew only when `count` is another counter than the last one."""
        by, tokens = self._counted
        if by is not count:
            tokens = count_message(self.message, count)
            self._counted = (count, tokens)
        return tokens


def counted(messages: Iterable[Seen], count: Callable[[str], int]) -> list[int]:
    """The tokens of each message, by this counter."""
    return [each.tokens(count) for each in messages]


class SeenMessages:
    """The messages seen lately, found by all they say.

    They are held in two halves. When the younger half is full, the older one is dropped; a message that was
    asked for meanwhile has moved to the younger by then. Messages longer than 250,000 characters are held
    apart, the latest few. There is no lock, so none is held across a fork: each step on a dict is atomic, and
    a message that is lost between two threads is only worked out again.

    Args:
        key: the store's key, with which meanings are digested.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.clear()

    def clear(self) -> None:
        """Drop all messages, because something was forgotten."""
        self._young: dict[Hashable, Seen] = {}
        self._old: dict[Hashable, Seen] = {}
        self._weight = 0
        self._huge: OrderedDict[Hashable, tuple[Seen | None, int]] = OrderedDict()

    def of(self, message: Message) -> Seen:
        """The `Seen` of a message, known or new; the message must not be changed from now on."""
        name, weight = _name(message)
        if name is None:
            return Seen(message, self._key)
        if weight > _LONGEST:
            return self._of_huge(name, weight, message)
        seen = self._young.get(name)
        if seen is None:
            seen = self._old.get(name) or Seen(message, self._key)
            self._weight += weight + _PER_MESSAGE
            if self._weight > _CHARACTERS:
                self._old, self._young, self._weight = self._young, {}, weight + _PER_MESSAGE
            self._young[name] = seen
        return seen

    def _of_huge(self, name: Hashable, weight: int, message: Message) -> Seen:
        # One step each, since calls of other threads come between any two: pop, and put back at the end.
        seen, _ = self._huge.pop(name, (None, 0))
        seen = seen or Seen(message, self._key)
        if weight > _HUGE_CHARACTERS:
            return seen
        self._huge[name] = (seen, weight)
        while sum(held for _, held in tuple(self._huge.values())) > _HUGE_CHARACTERS:
            try:
                self._huge.popitem(last=False)
            except KeyError:  # another thread took the last one
                break
        return seen


def _name(message: Message) -> tuple[Hashable, int]:
    """A dictionary key that tells a message from every other one, and the message's size in characters.

    Types and the order of fields count. A message whose fields are all texts is named by those texts: Python
    has hashed them already while the app keeps them. Any other one is named by its bytes, which `marshal`
    writes quickest and for no two values alike; the key is None for what marshal cannot write. Of a message
    longer than 250,000 characters no bytes are made: the key holds its own strings.
    """
    weight = 0
    for text in message.values():
        if type(text) is not str:
            break
        weight += len(text)
    else:
        return (*message, *message.values()), weight
    if (weight := weight_of(message)) > _LONGEST:
        return _frozen(message), weight
    try:
        written = marshal.dumps(
            message, 2
        )  # the last version without references, which depend on the objects
    except ValueError:
        return None, 0
    return written, len(written)


def _frozen(value: object) -> Hashable:
    """A JSON value as a dictionary key: strings as they are, numbers with their type, as 1 == True."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return ("{", *fields, *map(_frozen, fields.values()))
    if isinstance(value, list):
        return ("[", *map(_frozen, cast("list[object]", value)))
    return (type(value).__name__, repr(value))
