"""Messages seen lately, and what was worked out about each of them once.

An app that sends its whole history sends the same messages with every call. Their digests and token counts
are kept by what the messages say, never by which object says it: the app may change its objects meanwhile.
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
"""What one of the two halves holds: some twenty thousand messages of two hundred characters."""

_PER_MESSAGE = 200
_LONGEST = 250_000
_HUGE_CHARACTERS = 32_000_000
"""What is held of messages longer than 250,000 characters: a book, a log, a few pictures. An app that keeps
its history holds the same strings itself, so they take no room of their own then."""


class Seen:
    """One message.

    Args:
        message: as plain JSON; nobody changes it.
        key: the store's, under which its meaning is digested.
        incoming: its meaning and its role, where they are another message's.
    """

    __slots__ = ("_counted", "_incoming", "_key", "message")

    def __init__(self, message: Message, key: bytes, incoming: Incoming | None = None) -> None:
        self.message = message
        self._key = key
        self._incoming = incoming
        self._counted: tuple[Callable[[str], int] | None, int] = (None, 0)

    @property
    def incoming(self) -> Incoming:
        """Its meaning and its role; worked out when asked for, as nobody asks it of what is put back."""
        if self._incoming is None:
            self._incoming = Incoming(meaning_digest(self._key, self.message), str(self.message.get("role")))
        return self._incoming

    def tokens(self, count: Callable[[str], int]) -> int:
        """Its tokens; counted anew only for another counter than the last one."""
        by, tokens = self._counted
        if by is not count:
            tokens = count_message(self.message, count)
            self._counted = (count, tokens)
        return tokens


def counted(messages: Iterable[Seen], count: Callable[[str], int]) -> list[int]:
    """Tokens of each message."""
    return [each.tokens(count) for each in messages]


class SeenMessages:
    """The messages seen lately, by all they say.

    When the younger of its two halves is full, the older is dropped; what was asked for meanwhile had moved
    to the younger. Huge messages are held apart, the latest few. No lock, so none is held across a fork.

    Args:
        key: the store's, under which meanings are digested.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.clear()

    def clear(self) -> None:
        """Something was forgotten: hold no words."""
        self._young: dict[Hashable, Seen] = {}
        self._old: dict[Hashable, Seen] = {}
        self._weight = 0
        self._huge: OrderedDict[Hashable, tuple[Seen | None, int]] = OrderedDict()

    def of(self, message: Message) -> Seen:
        """What is known of a message, which must not be changed from now on."""
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
    """What tells a message from every other one, types and order of its fields included; and its size.

    Of texts the texts themselves: their hashes are known while the app keeps them. Of anything else its
    bytes, which `marshal` writes quickest and for no two values alike; None for what it cannot write. Of a
    huge message no bytes are made: its name holds its own strings.
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
    """A JSON value as a key: strings as they are; numbers with their type, for 1 is True to Python."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return ("{", *fields, *map(_frozen, fields.values()))
    if isinstance(value, list):
        return ("[", *map(_frozen, cast("list[object]", value)))
    return (type(value).__name__, repr(value))
