"""What a provider asks of the messages that memory puts back; never of those the caller sends.

`putback.py` makes the form of one message, `order.py` puts several in their places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.providers import order, putback
from convmem.providers.profile import Profile
from convmem.wire.message import slices, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.wire.values import Message

__all__ = ["Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(Profile):
    """What is done to messages that are put back, and the verbs that do it."""

    def sendable(self, message: Message, *, tools: bool) -> Message | None:
        """The form in which a journaled message goes back, by itself; what need not change is not copied.

        Args:
            message: as it was journaled.
            tools: whether the request offers tools.

        Returns:
            None when it is left out: a reply cut before its first word, a call cut in its arguments, a
            message that says nothing, a role that no provider knows.
        """
        return putback.form(self, message, tools=tools)

    def takes(self, message: Message, *, tools: bool) -> bool:
        """Whether a message may go back in the form in which a caller sent it before.

        A caller may have been refused for it, and must not be again for what memory puts back.

        Args:
            message: as the caller sent it.
            tools: whether the request offers tools.
        """
        return putback.may_return(self, message, tools=tools)

    def kept(self, messages: Sequence[tuple[Message, bool]]) -> list[tuple[int, Message]]:
        """The messages of a request that may go out beside each other, each with its place among those given.

        Of those put back, calls that were never answered and results of no call are left out, results stand
        right behind their calls, and the dialect's `first` and `after_tool` hold. The caller's own stay.

        Args:
            messages: each with whether it is the caller's own, and not put back.
        """
        return order.kept(self, messages)

    def arranged(self, messages: Sequence[tuple[Message, bool]]) -> list[Message]:
        """The turns of a request in the order in which they go out, made one where they have to be.

        Only what is put back changes, as `kept` says; besides, the beginning of a reply that a caller had
        the model continue (`prefix`) and the rest are one message again, ids of calls are what the dialect
        takes, and messages of one role in a row become one where the dialect refuses them. What is put back
        right before the caller's own user message goes in front of its text.

        Args:
            messages: each with whether it is the caller's own, and not put back.
        """
        return order.arranged(self, messages)

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
