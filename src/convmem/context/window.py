"""The window of a request: the rounds that are sent, and the summary of those that are not; pure.

A cut moves the beginning of the window. What stands for the rounds that leave is made by `context.cut`; here
is decided which rounds those are, and what is sent with it and without.
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
"""Characters of a reply that is put back though the round it belongs to has no room: enough to know what it
was about."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is sent of the conversation.

    Attributes:
        items: its messages, whole rounds, oldest first.
        summary: what stands for those before them.
        recall: the most tokens for recalled turns.
        at: the place of the newest user turn among the items: what is recalled goes in front of its text.
        cut: how many rounds left it just now.
        notes: what a person should know.
        media_left: how many pictures and files stand as a mark in it.
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
        rounds: those that could be sent.
        shown: the same with marks for the oldest pictures and files.
        media_left: how many of these marks there are.
        start: the round with which the window began so far.
        plan: what the policy wants.
        before: what stands for the rounds before `start`.
        complete: nothing of the conversation was missing.
        leaving: the rounds that leave, when it is time for a cut.
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
        """What is sent.

        Args:
            frame: of the request.
            gathered: what it was decided by.
            summary: what stands for the rounds that leave; None where none leave, or the cut failed.
            notes: what to note about the cut.
        """
        shown, left, begins = self.shown, self.media_left, self.plan.start
        if self.leaving is not None:
            if summary is not None:  # marks as all calls of the new epoch will have them
                shown, left = _lightened(frame, gathered, self.rounds, self.plan.start)
            elif frame.room is None or sum(map(_tokens, self.shown[self.start :])) <= frame.room:
                begins = self.start  # once more as it was
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
        # The caller's own turns, all of them: the provider keeps the rest, and says when it is too long.
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
        )  # used where that costs no cache: where the prefix changes anyway, or none holds it
        usable = late is not None and (late.free or cuts)
        before = late.summary if late is not None and usable else Summary.loaded(gathered.epoch.summary)
    leaving = _leaving(rounds, start, plan.start, plan.summary, before) if cuts else None
    return Decision(rounds, shown, left, start, plan, before, complete, leaving)


def leaving_behind(frame: Frame, gathered: Gathered, newest: bytes) -> Leaving | None:
    """All rounds before that of a turn, when nothing before it is to be sent as messages again.

    For requests that a provider refused without saying what of them: the rounds before this one are only
    summarized and quoted from now on. None where there are no rounds before it.
    """
    rounds, _ = _rounds(frame, gathered)
    stays = next((i for i, r in enumerate(rounds) if any(item.identity == newest for item in r)), 0)
    if not stays:
        return None
    plan = _planned(frame.policy, PolicyRequest(tuple(map(_tokens, rounds)), stays, frame.room))
    return _leaving(rounds, 0, stays, plan.summary, Summary())


def _leaving(rounds: list[list[Item]], first: int, stays: int, tokens: int, before: Summary) -> Leaving:
    return Leaving(
        rounds[stays][0].identity,
        tuple(item.identity for r in rounds[first:stays] for item in r),
        tokens,
        before,
        text_of(rounds[-1][0].message),
    )


def _planned(policy: Policy, request: PolicyRequest) -> Plan:
    """What the policy wants, or an error that names it: it may be somebody's own."""
    name = f"policy {getattr(policy, 'name', type(policy).__name__)!r}"
    try:
        plan = cast("object", policy.plan(request))
    except Exception as error:
        raise ConvmemError(f"{name} failed ({type(error).__name__}: {error})") from error
    if not isinstance(plan, Plan):
        raise ConvmemError(f"{name} gave {type(plan).__name__}, not a Plan")
    if not 0 <= plan.start < max(1, len(request.rounds)):
        raise ConvmemError(f"{name}: start {plan.start} of {len(request.rounds)} rounds")
    for part in ("summary", "recall"):
        if getattr(plan, part) < 0:
            raise ConvmemError(f"{name}: {part} of {getattr(plan, part)} tokens")
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
    """Items that may go out beside each other: no calls without results, nor results without calls."""
    kept = frame.dialect.kept([(item.message, item.own) for item in items])
    return [
        items[i] if message is items[i].message else frame.item(items[i].identity, message)
        for i, message in kept
    ]


def _begins(rounds: list[list[Item]], epoch: Epoch | None) -> int | None:
    """The round with which the epoch's window begins; None before the first cut, and on another branch."""
    if epoch is None:
        return None
    return next((i for i, r in enumerate(rounds) if any(item.identity == epoch.start for item in r)), None)


def _fitting(frame: Frame, rounds: list[list[Item]]) -> list[list[Item]]:
    """The rounds; replies of the one before the newest by their beginning where it does not fit whole.

    Whoever pastes a book and asks about it has the book in the request, whatever the model said about it.
    """
    room = frame.room
    if room is None or len(rounds) < 2 or _tokens(rounds[-2]) + _tokens(rounds[-1]) <= room:  # noqa: PLR2004
        return rounds
    short = [_by_its_beginning(frame, item) for item in rounds[-2]]
    if _tokens(short) + _tokens(rounds[-1]) > room:
        return rounds
    return [*rounds[:-2], short, rounds[-1]]


def _by_its_beginning(frame: Frame, item: Item) -> Item:
    """A long reply that is put back, cut short with a mark."""
    said: object = item.message.get("content")
    if item.own or item.message.get("role") != "assistant" or not isinstance(said, str):
        return item
    if len(said) <= _BEGINNING:
        return item
    return frame.item(item.identity, {**item.message, "content": f"{said[:_BEGINNING]}\n[…]"})


def _lightened(
    frame: Frame, gathered: Gathered, rounds: list[list[Item]], start: int
) -> tuple[list[list[Item]], int]:
    """The rounds with marks for the oldest pictures and files, and how many those are.

    Only what is put back changes, and nothing in the newest round: the caller's messages are the caller's.
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
    said = gathered.said[item.identity].at.astimezone(frame.now.tzinfo).date()
    return frame.item(item.identity, media.without(item.message, leave, said, chinese=chinese))


def _tokens(items: Iterable[Item]) -> int:
    return sum(item.tokens for item in items)
