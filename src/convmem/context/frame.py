"""What is known of a request before anything is read for it: its place, its dialect, its room; pure."""

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
"""Kept for the reply where a call does not say how long it may be: what most providers give by default."""
_LEAST_REPLY_SHARE = 4
"""Of a small model's window a quarter is kept for the reply, where a call does not say how long it may be."""


class Item(NamedTuple):
    """One message of the conversation as it stands for this call.

    Attributes:
        identity: its place in the session's tree.
        message: as it is sent; nobody changes it.
        own: the caller sent it with this call, and it is not put back.
        tokens: what it counts.
    """

    identity: bytes
    message: Message
    own: bool
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What is known of a request before anything is read.

    Attributes:
        request: what the body asks.
        placement: where its turns stand in the journal.
        policy: how much of what is sent.
        which: its session, host and model.
        dialect: what its provider asks of messages that are put back.
        count: counts tokens for its model.
        seen: token counts of messages seen lately.
        limit: tokens that the model takes, input and output; None where nobody knows.
        now: when it was made, in the zone in which dates are shown.
        own: the turns that the caller sent.
        settings_tokens: tokens of each leading system message.
        tools_tokens: tokens of the tools.
        budget: the most tokens recall may add, instead of the policy's.
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
        """Whose memory it is."""
        return OwnerRef.of(self.placement.ref)

    @property
    def tools(self) -> bool:
        """Whether the request offers tools."""
        return bool(self.request.tools)

    @property
    def system(self) -> int:
        """Tokens of the system text and the tools."""
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
        """Tokens that the conversation may have; None where the model's limit is not known."""
        return None if self.limit is None else max(0, self.limit - self.system - self.reply)

    def limit_for(self, sent: int) -> int:
        """The limit at which a request of so many tokens leaves just the room that is kept for its reply."""
        share = sent // (_LEAST_REPLY_SHARE - 1)
        return sent + (self.request.max_output or min(_REPLY_TOKENS, share))

    def item(self, identity: bytes, message: Message) -> Item:
        """A message that is put back."""
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
    """The frame of a request, with what its own messages and its tools count."""
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
