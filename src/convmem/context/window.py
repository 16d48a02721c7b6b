"""Decides the window of a request: the rounds that are sent, and those that leave when it is full; pure.

`context.compose` calls `decide`, has `context.cuts` make the summary of the rounds that leave, if any, and
asks the `Decision` for the `Window`, with the summary or without it. A cut moves the beginning of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from convmem.context import media
from convmem.context.cut import Leaving, Summary
from convmem.errors import ConvmemError
from convmem.policy import MEDIA, MEDIA_BYTES, MediaPolicy, Plan, PolicyRequest
from convmem.wire.message import newest_user, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convmem.abilities import Epoch
    from convmem.context.frame import Frame, Item
    from convmem.context.gather import Gathered
    from convmem.policy import Policy

__all__ = ["Decision", "Window", "decide", "leaving_behind"]

_BEGINNING = 2_000
"""Characters that are kept of a long reply in the last round but one, when that round does not fit whole:
enough to know what the reply was about."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the conversation that is sent.

    Attributes:
        items: the messages of whole rounds, oldest first.
        summary: the summary of the rounds before them.
        recall: the most tokens for the recall block.
        at: the index of the newest user turn among the items, in front of which the recall block goes; None
            without a user turn.
        cut: how many rounds left the window in this call.
        notes: notes for the receipt.
        media_left: how many pictures and files are replaced by a mark.
        complete: nothing of the conversation that should be sent is missing.
    """

    items: tuple[Item, ...]
    summary: Summary
    recall: int
    at: int | None
    cut: int = 0
    notes: tuple[str, ...] = ()
    media_left: int = 0
    complete: bool = True

    @property
    def newest(self) -> Item | None:
        """The newest user turn."""
        return self.items[self.at] if self.at is not None else None


@dataclass(frozen=True, slots=True)
class Decision:
    """Which rounds are sent, and which leave the window.

    Attributes:
        rounds: the rounds that could be sent, oldest first.
        shown: the same rounds with marks for the oldest pictures and files.
        media_left: how many of these marks there are.
        start: the index of the round with which the window began so far.
        plan: what the policy wants: the new start, and tokens for summary and recall.
        before: the summary of the rounds before `start`.
        complete: nothing of the conversation was missing.
        leaving: the rounds that leave in a cut; None when there is no cut.
    """

    rounds: list[list[Item]]
    shown: list[list[Item]]
    media_left: int
    start: int
    plan: Plan
    before: Summary
    complete: bool = True
    leaving: Leaving | None = None

    def window(
        self,
        frame: Frame,
        gathered: Gathered,
        summary: Summary | None = None,
        notes: tuple[str, ...] = (),
    ) -> Window:
        """The window that is sent.

        Args:
            frame: the frame of the request.
            gathered: what was read for the request.
            summary: the summary of the rounds that leave; None where none leave, or the cut failed.
            notes: notes about the cut.
        """
        shown, left, begins = self.shown, self.media_left, self.plan.start
        if self.leaving is not None:
            if summary is not None:  # place the marks as all calls of the new epoch will
                shown, left = _lightened(frame, gathered, self.rounds, self.plan.start)
            elif frame.room is None or sum(map(_tokens, self.shown[self.start :])) <= frame.room:
                begins = self.start  # the cut failed, and the window still fits: send it once more as it was
        items = tuple(item for r in shown[begins:] for item in r)
        return Window(
            items,
            summary if summary is not None else self.before,
            self.plan.recall,
            newest_user([item.message for item in items]),
            cut=self.plan.start - self.start if summary is not None else 0,
            notes=notes,
            media_left=left,
            complete=self.complete,
        )


def decide(frame: Frame, gathered: Gathered) -> Decision:
    """Which rounds are sent, and which leave the window because it is full.

    Raises:
        ConvmemError: the policy failed, or gave no plan.
    """
    room = frame.room
    if frame.request.held is not None:
        # Send all turns of the caller: the provider keeps the rest, and says when the whole is too long.
        own = [list(frame.own)]
        plan = _planned(frame.policy, PolicyRequest((_tokens(frame.own),), 0, room))
        return Decision(own, own, 0, 0, plan, Summary())
    rounds, complete = _rounds(frame, gathered)
    begins = _begins(rounds, gathered.epoch)
    start = begins or 0
    rounds = _fitting(frame, rounds)
    shown, left = _lightened(frame, gathered, rounds, start)
    plan = _planned(frame.policy, PolicyRequest(tuple(map(_tokens, shown)), start, room))
    cuts = plan.start > start
    before = Summary()
    if gathered.epoch is not None and begins is not None:
        late = (
            gathered.late
        )  # used where it costs no cache: where the prefix changes anyway, or no cache holds it any more
        usable = late is not None and (late.free or cuts)
        before = late.summary if late is not None and usable else Summary.loaded(gathered.epoch.summary)
    leaving = _leaving(rounds, start, plan.start, plan.summary, before) if cuts else None
    return Decision(rounds, shown, left, start, plan, before, complete, leaving)


def leaving_behind(frame: Frame, gathered: Gathered, newest: bytes) -> Leaving | None:
    """All rounds before that of a turn, to leave the window; None where there are none.

    This is for requests that a provider refused without naming the message: the rounds before this one are
    only summarized and quoted from now on, and not sent as messages again.

    Args:
        frame: the frame of the request.
        gathered: what was read for the request.
        newest: the identity of a turn of the round that stays.
    """
    rounds, _ = _rounds(frame, gathered)
    stays = next((i for i, r in enumerate(rounds) if any(item.identity == newest for item in r)), 0)
    if not stays:
        return None
    plan = _planned(frame.policy, PolicyRequest(tuple(map(_tokens, rounds)), stays, frame.room))
    return _leaving(rounds, 0, stays, plan.summary, Summary())


def _leaving(rounds: list[list[Item]], first: int, stays: int, tokens: int, before: Summary) -> Leaving:
    """The rounds from `first` up to the one that stays, with the tokens of their summary."""
    return Leaving(
        rounds[stays][0].identity,
        tuple(item.identity for r in rounds[first:stays] for item in r),
        tokens,
        before,
        text_of(rounds[-1][0].message),
    )


def _planned(policy: Policy, request: PolicyRequest) -> Plan:
    """The policy's plan.

    Raises:
        ConvmemError: the policy failed or gave no plan; the text names it, as it may be the user's own.
    """
    name = f"policy {getattr(policy, 'name', type(policy).__name__)!r}"
    try:
        plan = cast("object", policy.plan(request))
    except Exception as error:
        raise ConvmemError(f"{name} failed ({type(error).__name__}: {error})") from error
    if not isinstance(plan, Plan):
        raise ConvmemError(f"{name} gave {type(plan).__name__}, not a Plan")
    if not 0 <= plan.start < max(1, len(request.rounds)):
        raise ConvmemError(
            f"{name} gave start {plan.start}: not the index of one of {len(request.rounds)} rounds"
        )
    for part in ("summary", "recall"):
        if getattr(plan, part) < 0:
            raise ConvmemError(f"{name} gave {part} {getattr(plan, part)}: tokens cannot be negative")
    return plan


# The conversation as it stands.


def _rounds(frame: Frame, gathered: Gathered) -> tuple[list[list[Item]], bool]:
    """The rounds that may be sent, and whether all of the conversation is in them."""
    items = _legal(frame, [*gathered.earlier, *frame.own])
    split: list[list[Item]] = []
    for item in items:
        if not split or item.message.get("role") == "user":
            split.append([])
        split[-1].append(item)
    refused = gathered.refused
    if not any(item.identity in refused for item in items):
        return split, gathered.whole
    return [r for r in split if r[-1].own or not any(item.identity in refused for item in r)], False


def _legal(frame: Frame, items: list[Item]) -> list[Item]:
    """The items without those that a provider refuses: calls without results, and results without calls."""
    kept = frame.dialect.kept([(item.message, item.own) for item in items])
    return [
        items[i] if message is items[i].message else frame.item(items[i].identity, message)
        for i, message in kept
    ]


def _begins(rounds: list[list[Item]], epoch: Epoch | None) -> int | None:
    """The index of the round with which the epoch begins; None before the first cut or on another branch."""
    if epoch is None:
        return None
    return next((i for i, r in enumerate(rounds) if any(item.identity == epoch.start for item in r)), None)


def _fitting(frame: Frame, rounds: list[list[Item]]) -> list[list[Item]]:
    """The rounds, with long replies of the last but one cut short where it does not fit beside the newest.

    So whoever pastes a book and asks about it again has the book in the request, however long the reply was.
    """
    room = frame.room
    if room is None or len(rounds) < 2 or _tokens(rounds[-2]) + _tokens(rounds[-1]) <= room:  # noqa: PLR2004
        return rounds
    short = [_by_its_beginning(frame, item) for item in rounds[-2]]
    if _tokens(short) + _tokens(rounds[-1]) > room:
        return rounds
    return [*rounds[:-2], short, rounds[-1]]


def _by_its_beginning(frame: Frame, item: Item) -> Item:
    """An item cut to its first 2,000 characters and a mark, if it is a longer reply that is put back."""
    said: object = item.message.get("content")
    if item.own or item.message.get("role") != "assistant" or not isinstance(said, str):
        return item
    if len(said) <= _BEGINNING:
        return item
    return frame.item(item.identity, {**item.message, "content": f"{said[:_BEGINNING]}\n[…]"})


def _lightened(
    frame: Frame, gathered: Gathered, rounds: list[list[Item]], start: int
) -> tuple[list[list[Item]], int]:
    """The rounds with marks for the oldest pictures and files, and how many marks there are.

    Only messages that are put back change, and none in the newest round: the caller's messages stay as they
    are.
    """
    back = [[item.message for item in r if not item.own] for r in rounds[start:-1]]
    policy = frame.policy
    limits = policy if isinstance(policy, MediaPolicy) else None
    most, most_bytes = (limits.media, limits.media_bytes) if limits is not None else (MEDIA, MEDIA_BYTES)
    leave = left = media.leaving(media.sizes_in(back), most, most_bytes)
    if not left:
        return rounds, 0
    shown = list(rounds)
    chinese = False
    for place, messages in enumerate(back, start):
        spoken = media.speaks_chinese_in(item.message for item in rounds[place])
        chinese = chinese if spoken is None else spoken
        changed: list[Item] = []
        for item in rounds[place]:
            inside = 0 if item.own else min(leave, len(media.sizes(item.message)))
            leave -= inside
            changed.append(_marked(frame, gathered, item, inside, chinese=chinese) if inside else item)
        shown[place] = changed if messages else rounds[place]
    return shown, left


def _marked(frame: Frame, gathered: Gathered, item: Item, leave: int, *, chinese: bool) -> Item:
    """An item with marks for its first `leave` pictures and files."""
    said = gathered.said[item.identity].at.astimezone(frame.now.tzinfo).date()
    return frame.item(item.identity, media.without(item.message, leave, said, chinese=chinese))


def _tokens(items: Iterable[Item]) -> int:
    return sum(item.tokens for item in items)
