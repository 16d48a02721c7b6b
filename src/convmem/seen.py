"""Messages seen lately, and what was worked out about each of them once.

An app that sends its whole history sends the same messages with every call. Their digests and token counts
are kept by what the messages say, never by which object says it: the app may change its objects meanwhile.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

from convmem.context.tokens import count_message
from convmem.session.align import Incoming
from convmem.wire.identity import meaning_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from convmem.types import Message

__all__ = ["Seen", "SeenMessages"]

_CHARACTERS = 8_000_000
"""What one of the two halves holds: some twenty thousand messages of two hundred characters."""

_PER_MESSAGE = 200
_LONGEST = 250_000


class Seen:
    """One message.

    Attributes:
        message: as plain JSON; nobody changes it.
        incoming: its meaning and its role.
    """

    __slots__ = ("_counted", "incoming", "message")

    def __init__(self, message: Message, incoming: Incoming) -> None:
        self.message = message
        self.incoming = incoming
        self._counted: tuple[Callable[[str], int] | None, int] = (None, 0)

    def tokens(self, count: Callable[[str], int]) -> int:
        """Its tokens; counted anew only for another counter than the last one."""
        by, tokens = self._counted
        if by is not count:
            tokens = count_message(self.message, count)
            self._counted = (count, tokens)
        return tokens


class SeenMessages:
    """The messages seen lately, by all they say.

    When the younger of its two halves is full, the older is dropped; what was asked for meanwhile had moved
    to the younger. No lock, so none is held across a fork.

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

    def of(self, message: Message) -> Seen:
        """What is known of a message, which must not be changed from now on."""
        name, weight = _name(message)
        if name is None or weight > _LONGEST:
            return self._looked_at(message)
        seen = self._young.get(name)
        if seen is None:
            seen = self._old.get(name) or self._looked_at(message)
            self._weight += weight + _PER_MESSAGE
            if self._weight > _CHARACTERS:
                self._old, self._young, self._weight = self._young, {}, weight + _PER_MESSAGE
            self._young[name] = seen
        return seen

    def _looked_at(self, message: Message) -> Seen:
        return Seen(message, Incoming(meaning_digest(self._key, message), str(message.get("role"))))


def _name(message: Message) -> tuple[Hashable, int]:
    """What tells a message from every other one, types and order of its fields included; and its size.

    Of texts the texts themselves: their hashes are known while the app keeps them. Of anything else its
    bytes, which `marshal` writes quickest and for no two values alike; None for what it cannot write.
    """
    weight = 0
    for text in message.values():
        if type(text) is not str:
            break
        weight += len(text)
    else:
        return (*message, *message.values()), weight
    try:
        written = marshal.dumps(
            message, 2
        )  # the last version without references, which depend on the objects
    except ValueError:
        return None, 0
    return written, len(written)
