"""Holds what is known of a request before anything is read for it: place, dialect, limits and counts; pure.

`context.compose` makes the `Frame` of a request first; `gather`, `window` and `assemble` work from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from convmem.abilities import OwnerRef
from convmem.journal.digests import counted
from convmem.tokens.count import count_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from convmem.abilities import EpochRef
    from convmem.journal.digests import SeenMessages
    from convmem.journal.placed import Placement
    from convmem.policy import Policy
    from convmem.providers.dialect import Dialect
    from convmem.types import Message
    from convmem.wire.values import ChatRequest

__all__ = ["Frame", "Item", "frame_of"]

_REPLY_TOKENS = 4_096
"""Tokens kept for the reply where a call does not say how long it may be: most providers' default."""
_LEAST_REPLY_SHARE = 4
"""The divisor of a small model's limit: one fourth of it is kept for the reply, where that is less than
`_REPLY_TOKENS` and the call does not say how long the reply may be."""


class Item(NamedTuple):
    """One message of the conversation, as it stands for this call.

    Attributes:
        identity: the identity of its turn: the turn's place in the session's tree.
        message: the message as it is sent; nobody changes it.
        own: True for a message that the caller sent with this call, False for one that memory puts back.
        tokens: the tokens of the message.
    """

    identity: bytes
    message: Message
    own: bool
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A request before anything is read for it.

    Attributes:
        request: the body as it was parsed.
        placement: the place of its turns in the journal.
        policy: says how much of the conversation is sent.
        which: the request's session, host and model.
        dialect: what the provider asks of messages that are put back.
        count: counts tokens of a text for the request's model.
        seen: token counts of messages seen lately.
        limit: tokens that the model takes, input and output together; None where nobody knows.
        now: when the call was made, in the zone in which dates are shown.
        own: the turns that the caller sent.
        settings_tokens: tokens of each leading system message.
        tools_tokens: tokens of the tools.
        budget: the most tokens that recall may add, instead of the policy's number.
    """

    request: ChatRequest
    placement: Placement
    policy: Policy
    which: EpochRef
    dialect: Dialect
    count: Callable[[str], int]
    seen: SeenMessages
    limit: int | None
    now: datetime
    own: tuple[Item, ...]
    settings_tokens: tuple[int, ...]
    tools_tokens: int
    budget: int | None = None

    @property
    def owner(self) -> OwnerRef:
        """The owner of the memory."""
        return OwnerRef.of(self.placement.ref)

    @property
    def tools(self) -> bool:
        """Whether the request offers tools."""
        return bool(self.request.tools)

    @property
    def system(self) -> int:
        """Tokens of the leading system messages and the tools."""
        return sum(self.settings_tokens) + self.tools_tokens

    @property
    def reply(self) -> int:
        """Tokens kept for the reply."""
        most = _REPLY_TOKENS
        if self.limit is not None:
            most = min(most, self.limit // _LEAST_REPLY_SHARE)
        return self.request.max_output or most

    @property
    def room(self) -> int | None:
        """Tokens for the conversation: the model's limit less system text and reply; None without a limit."""
        return None if self.limit is None else max(0, self.limit - self.system - self.reply)

    def limit_for(self, sent: int) -> int:
        """The limit, in tokens, at which a request of `sent` tokens leaves just the room for its reply."""
        share = sent // (_LEAST_REPLY_SHARE - 1)
        return sent + (self.request.max_output or min(_REPLY_TOKENS, share))

    def item(self, identity: bytes, message: Message) -> Item:
        """The item of a message that memory puts back."""
        seen = self.seen.of(message)
        return Item(identity, seen.message, False, seen.tokens(self.count))


def frame_of(
    request: ChatRequest,
    placement: Placement,
    *,
    policy: Policy,
    which: EpochRef,
    dialect: Dialect,
    count: Callable[[str], int],
    seen: SeenMessages,
    limit: int | None,
    now: datetime,
    budget: int | None = None,
) -> Frame:
    """Make the frame of a request: count the tokens of its own messages, system messages and tools.

    Args:
        request: the body as it was parsed.
        placement: the place of its turns in the journal.
        policy: says how much of the conversation is sent.
        which: the request's session, host and model.
        dialect: what the provider asks of messages that are put back.
        count: counts tokens of a text for the request's model.
        seen: token counts of messages seen lately.
        limit: tokens that the model takes; None where nobody knows.
        now: when the call was made, in the zone in which dates are shown.
        budget: the most tokens that recall may add, instead of the policy's number.
    """
    own = placement.own
    tokens = counted(own, count)
    return Frame(
        request=request,
        placement=placement,
        policy=policy,
        which=which,
        dialect=dialect,
        count=count,
        seen=seen,
        limit=limit,
        now=now,
        own=tuple(
            Item(identity, each.message, True, n)
            for identity, each, n in zip(placement.alignment.identities, own, tokens, strict=True)
        ),
        settings_tokens=tuple(count_message(message, count) for message in request.settings),
        tools_tokens=count(request.tools) if request.tools else 0,
        budget=budget,
    )
