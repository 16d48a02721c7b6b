"""The window of a request: the rounds that are sent, and the summary of those that are not.

A cut moves the beginning of the window. The call that comes upon it waits for the compressor once, and not
long: where a model that writes the summary is late, sentences are extracted at once and stand in for it. What
the model wrote takes their place when the prefix changes anyway: at the next cut, or once no cache holds it.
"""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from convmem.abilities import Epoch, EpochRef, OwnerRef, Pins
from convmem.compress.extractive import Extractive
from convmem.compress.protocol import CompressRequest
from convmem.context import media
from convmem.context.cut import Cut, Summary
from convmem.context.render import recall_fence, speaks_chinese, summary_fence
from convmem.errors import ConvmemError, noted
from convmem.policy import MEDIA, MEDIA_BYTES, MediaPolicy, Plan, PolicyRequest
from convmem.protocols import TurnsRequest
from convmem.providers.limits import context_limit
from convmem.threads.once import lazy
from convmem.tokens.count import count_message
from convmem.wire.message import text_of
from convmem.wire.quoting import neutral

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from convmem.compress.protocol import Compressor
    from convmem.context.kept import Composer
    from convmem.journal.placed import Call, Placement
    from convmem.policy import Policy
    from convmem.protocols import SessionRef
    from convmem.types import Message, Turn

__all__ = ["Item", "Window", "Windowing"]

_REPLY_TOKENS = 4_096
_READ_TURNS = 200
_READ_TOKENS = 64_000
"""History read to fill a window, at most, when neither an epoch nor the model's limit says where to stop."""
_LEAST_REPLY_SHARE = 4
"""Of a small model's window a quarter is kept for the reply, where a call does not say how long it may be."""
_BEGINNING = 2_000
"""Characters of a reply that is put back though the round it belongs to has no room: enough to know what it
was about."""
_PINS_TOKENS = 1_024
"""For pins in front of the newest user turn, where the policy quotes nothing and so gives no number."""
_PINS_SHARE = 0.5
"""Of a summary's tokens, what pins may take of them."""
_ANY = ("…",)
"""Some pin, to count what stands around pins."""
_STOOD_IN = (
    "the compressor was late: sentences were extracted, and what it writes is used from the next cut on"
)


class Item(NamedTuple):
    """One message of the conversation as it stands for this call."""

    identity: bytes
    message: Message
    own: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is sent of the conversation.

    Attributes:
        items: its messages, whole rounds, oldest first.
        summary: what stands for those before them.
        recall: the most tokens for recalled turns.
        cut: how many rounds left it just now.
        notes: what a person should know.
        media_left: how many pictures and files stand as a mark in it.
        complete: nothing of the conversation that should be sent is missing.
    """

    items: tuple[Item, ...]
    summary: Summary
    recall: int
    cut: int = 0
    notes: tuple[str, ...] = ()
    media_left: int = 0
    complete: bool = True

    @property
    def newest(self) -> Item | None:
        """The newest user turn: what is recalled goes in front of its text."""
        return next((item for item in reversed(self.items) if item.message.get("role") == "user"), None)


class _Leaving:
    """Rounds that leave a window.

    Attributes:
        start: the identity of the first turn that stays.
        rounds: those that leave.
        tokens: what their summary may have.
        before: what stands for those that left before them.
        newest: the newest text of all, whose language the summary's heading is in.
    """

    def __init__(
        self, rounds: list[list[Item]], first: int, stays: int, tokens: int, before: Summary
    ) -> None:
        self.start = rounds[stays][0].identity
        self.rounds = rounds[first:stays]
        self.tokens = tokens
        self.before = before
        self.newest = text_of(rounds[-1][0].message)


class Windowing:
    """Decides the window of one request."""

    def __init__(self, composer: Composer, call: Call, placement: Placement, policy: Policy) -> None:
        self.composer = composer
        self.policy = policy
        self.placement = placement
        self.request = call.request
        self.count = composer.ratios.counter(self.request.model)
        self.ref: SessionRef = placement.ref
        self.which = EpochRef(placement.ref, call.host or "", self.request.model or "")
        self.dialect = composer.dialect(self.which, call.at)
        self.owner = OwnerRef.of(placement.ref)
        self._complete = True

    @lazy
    def settings_tokens(self) -> tuple[int, ...]:
        """Tokens of each leading system message."""
        return tuple(count_message(m, self.count) for m in self.request.settings)

    @lazy
    def tools_tokens(self) -> int:
        """Tokens of the tools."""
        return self.count(self.request.tools) if self.request.tools else 0

    @property
    def system(self) -> int:
        """Tokens of the system text and the tools."""
        return sum(self.settings_tokens) + self.tools_tokens

    def decide(self, *, patience_s: float | None) -> Window:
        """Read what there is, and cut it when it is time.

        Args:
            patience_s: seconds to wait for a compressor; None waits as long as it takes.
        """
        if self.request.held is not None:
            return self._held_window()
        epoch = self.composer.epoch(self.which)
        rounds = self._rounds(epoch)
        begins = _begins(rounds, epoch)
        start = begins or 0
        room = self._room()
        rounds = self._fitting(rounds, room)
        shown, left_media = self._lightened(rounds, start)
        tokens = tuple(map(_tokens, shown))
        plan = self._planned(PolicyRequest(tokens, start, room))
        before = Summary()
        if epoch is not None and begins is not None:
            before = self._summary(epoch, cuts=plan.start > start)
        if plan.start <= start:
            return Window(
                _flat(shown[plan.start :]),
                before,
                plan.recall,
                complete=self._complete,
                media_left=left_media,
            )
        leaving = _Leaving(rounds, start, plan.start, plan.summary, before)
        summary, notes = self._cut(leaving, patience_s)
        if summary is None and (room is None or sum(tokens[start:]) <= room):  # once more as it was
            return Window(
                _flat(shown[start:]),
                before,
                plan.recall,
                notes=notes,
                complete=self._complete,
                media_left=left_media,
            )
        if summary is not None:
            shown, left_media = self._lightened(rounds, plan.start)  # as all calls of the new epoch will
        return Window(
            _flat(shown[plan.start :]),
            before if summary is None else summary,
            plan.recall,
            cut=plan.start - start if summary is not None else 0,
            notes=notes,
            complete=self._complete,
            media_left=left_media,
        )

    def _summary(self, epoch: Epoch, *, cuts: bool) -> Summary:
        """What stands for the rounds before the epoch: what was written late, where that costs no cache."""
        late = self.composer.written_late(self.which, epoch.start, cuts=cuts)
        return late if late is not None else Summary.loaded(epoch.summary)

    def cut_behind(self, newest: bytes) -> None:
        """Begin a new epoch with the round of that turn, in the background.

        For requests that a provider refused without saying what of them: the rounds before this one are not
        sent as messages again, only summarized and quoted.
        """
        rounds = self._rounds(self.composer.epoch(self.which))
        stays = next((i for i, r in enumerate(rounds) if any(item.identity == newest for item in r)), 0)
        if not stays:
            return
        tokens = self._planned(
            PolicyRequest(tuple(sum(item.tokens for item in r) for r in rounds), stays, self._room())
        ).summary
        leaving = _Leaving(rounds, 0, stays, tokens, Summary())
        self.composer.cut(self.which, self._cutting(leaving, Extractive()))

    def _held_window(self) -> Window:
        """The caller's own turns, all of them: the provider keeps the rest, and says when it is too long."""
        items = self._own()
        plan = self._planned(PolicyRequest((sum(item.tokens for item in items),), 0, self._room()))
        return Window(items, Summary(), plan.recall)

    def _planned(self, request: PolicyRequest) -> Plan:
        """What the policy wants, or an error that names it: it may be somebody's own."""
        name = f"policy {getattr(self.policy, 'name', type(self.policy).__name__)!r}"
        try:
            plan = cast("object", self.policy.plan(request))
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

    def held(self) -> frozenset[str]:
        """Ids of the turns that the provider has in a history it keeps, among them those quoted before."""
        if self.request.held is None:
            return frozenset()
        epoch = self.composer.epoch(self.which)
        nodes = self.placement.before
        starts = [i for i, node in enumerate(nodes) if epoch is not None and node.identity == epoch.start]
        nodes = nodes[starts[0] :] if starts else nodes
        blocks = (self.composer.block(self.which, node.identity) for node in nodes)
        quoted = (turn.id for block in blocks if block is not None for turn in block.recalled)
        return frozenset((*quoted, *(f"t{node.seq}" for node in nodes if not node.forgotten)))

    def _room(self) -> int | None:
        limit = self.limit
        if limit is None:
            return None
        return max(0, limit - self.system - self.reply)

    @property
    def reply(self) -> int:
        """Tokens kept for the reply."""
        limit = self.limit
        most = _REPLY_TOKENS if limit is None else min(_REPLY_TOKENS, limit // _LEAST_REPLY_SHARE)
        return self.request.max_output or most

    def limit_for(self, sent: int) -> int:
        """The limit at which a request of so many tokens leaves just the room that is kept for its reply."""
        share = sent // (_LEAST_REPLY_SHARE - 1)
        return sent + (self.request.max_output or min(_REPLY_TOKENS, share))

    @property
    def limit(self) -> int | None:
        """Tokens that the model takes: as its provider said when it refused a request, else by the table."""
        learnt = self.composer.limit(self.which)
        return learnt if learnt is not None else context_limit(self.request.model)

    def _lightened(self, rounds: list[list[Item]], start: int) -> tuple[list[list[Item]], int]:
        """The rounds with marks for the oldest pictures and files, and how many those are.

        Only what is put back changes, and nothing in the newest round: the caller's messages are the
        caller's.
        """
        back = [[item for item in r if not item.own] for r in rounds[start:-1]]
        found = [[size for item in r for size in media.sizes(item.message)] for r in back]
        limits = self.policy if isinstance(self.policy, MediaPolicy) else None
        most, most_bytes = (limits.media, limits.media_bytes) if limits is not None else (MEDIA, MEDIA_BYTES)
        leave = left = media.leaving(found, most, most_bytes)
        if not left:
            return rounds, 0
        shown = list(rounds)
        chinese = False
        for place, items in enumerate(back, start):
            spoken = media.speaks_chinese_in(item.message for item in rounds[place])
            chinese = chinese if spoken is None else spoken
            changed: list[Item] = []
            for item in rounds[place]:
                inside = 0 if item.own else min(leave, len(media.sizes(item.message)))
                leave -= inside
                changed.append(self._marked(item, inside, chinese=chinese) if inside else item)
            shown[place] = changed if items else rounds[place]
        return shown, left

    def _marked(self, item: Item, leave: int, *, chinese: bool) -> Item:
        said = self.composer.said_at(self.ref, item.identity).astimezone(self.composer.tz).date()
        seen = self.composer.seen.of(media.without(item.message, leave, said, chinese=chinese))
        return Item(item.identity, seen.message, False, seen.tokens(self.count))

    # The conversation as it stands.

    def _rounds(self, epoch: Epoch | None) -> list[list[Item]]:
        """The rounds that may be sent: from the start of the epoch, or as far back as there is room."""
        own = self._own()
        items = self._legal([*self._earlier(epoch, sum(item.tokens for item in own)), *own])
        split: list[list[Item]] = []
        for item in items:
            if not split or item.message.get("role") == "user":
                split.append([])
            split[-1].append(item)
        refused = self.composer.refused(self.which)
        if not any(item.identity in refused for item in items):
            return split
        self._complete = False
        return [r for r in split if r[-1].own or not any(item.identity in refused for item in r)]

    def _fitting(self, rounds: list[list[Item]], room: int | None) -> list[list[Item]]:
        """The rounds; replies of the one before the newest by their beginning where it does not fit whole.

        Whoever pastes a book and asks about it has the book in the request, whatever the model said about it.
        """
        if room is None or len(rounds) < 2 or _tokens(rounds[-2]) + _tokens(rounds[-1]) <= room:  # noqa: PLR2004
            return rounds
        short = [self._by_its_beginning(item) for item in rounds[-2]]
        if _tokens(short) + _tokens(rounds[-1]) > room:
            return rounds
        return [*rounds[:-2], short, rounds[-1]]

    def _by_its_beginning(self, item: Item) -> Item:
        """A long reply that is put back, cut short with a mark."""
        said: object = item.message.get("content")
        if item.own or item.message.get("role") != "assistant" or not isinstance(said, str):
            return item
        if len(said) <= _BEGINNING:
            return item
        return self._item(item.identity, {**item.message, "content": f"{said[:_BEGINNING]}\n[…]"})

    def _legal(self, items: list[Item]) -> list[Item]:
        """Items that may go out beside each other: no calls without results, nor results without calls."""
        kept = self.dialect.kept([(item.message, item.own) for item in items])
        return [
            items[i] if message is items[i].message else self._item(items[i].identity, message)
            for i, message in kept
        ]

    def _own(self) -> tuple[Item, ...]:
        sent = zip(self.placement.alignment.identities, self.placement.own, strict=True)
        return tuple(Item(identity, seen.message, True, seen.tokens(self.count)) for identity, seen in sent)

    def _earlier(self, epoch: Epoch | None, own_tokens: int) -> list[Item]:
        nodes = [node for node in self.placement.before if node.settled]
        room = self._room()
        left = (room if room is not None else _READ_TOKENS) - own_tokens
        if epoch is not None:
            starts = [i for i, node in enumerate(nodes) if node.identity == epoch.start]
            if starts:
                nodes = nodes[starts[0] :]
            elif epoch.start in self.placement.alignment.identities:
                nodes = []
        items: list[Item] = []
        while nodes and left > 0:
            nodes, piece = nodes[:-_READ_TURNS], nodes[-_READ_TURNS:]
            messages = self.composer.messages(self.ref, [node.identity for node in piece])
            self._complete = self._complete and len(messages) == len(piece)
            back = (
                self._put_back(node.identity, messages[node.identity])
                for node in piece
                if node.identity in messages
            )
            read = [item for item in back if item is not None]
            items = [*read, *items]
            left -= sum(item.tokens for item in read)
        return items

    def _put_back(self, identity: bytes, message: Message) -> Item | None:
        """A journaled message as the caller sent it to this provider before, or as this provider takes it.

        None when it may not go back at all: a reply that was cut before its first word.
        """
        tools = bool(self.request.tools)
        form = self.composer.form(self.which, identity, tools=tools)
        if form is None or not self.dialect.takes(form, tools=tools):
            form = self.sendable(message)
        return self._item(identity, form) if form is not None else None

    def _item(self, identity: bytes, message: Message) -> Item:
        """A message that is put back."""
        seen = self.composer.seen.of(message)
        return Item(identity, seen.message, False, seen.tokens(self.count))

    def sendable(self, message: Message) -> Message | None:
        """A journaled message as this provider takes it; None when it is left out."""
        return self.dialect.sendable(message, tools=bool(self.request.tools))

    # Cutting.

    def _cut(self, leaving: _Leaving, patience_s: float | None) -> tuple[Summary | None, tuple[str, ...]]:
        """Rounds leave the window; what stands for them is written once and stays until the next cut.

        Returns:
            The summary, None when the store cannot keep it; and what to note.
        """
        composer, compressor = self.composer, self.composer.compressor
        quick = isinstance(compressor, Extractive)
        cut = self._cutting(leaving, compressor)
        begun = composer.cut(self.which, cut, here=quick)
        late = begun.start != cut.start or begun.stood_in
        if not late:
            wait((begun.made,), timeout=None if quick else patience_s)
        try:
            if not late and begun.made.done():
                return begun.made.result()
            summary, notes = composer.stand_in(self.which, begun, self._cutting(leaving, Extractive()))
        except Exception as error:  # noqa: BLE001 (trouble with a cut never breaks the chat)
            return None, (noted(f"the window could not be cut ({error}); it is tried again", error),)
        return summary, (*notes, _STOOD_IN)

    def _cutting(self, leaving: _Leaving, compressor: Compressor) -> Cut:
        return Cut(leaving.start, self.placement.redaction, lambda: self._summarized(leaving, compressor))

    def _summarized(self, leaving: _Leaving, compressor: Compressor) -> tuple[Summary, tuple[str, ...]]:
        """What stands for these rounds, and for those that left before them."""
        text, notes = "", tuple[str, ...]()
        chinese = speaks_chinese(leaving.newest)
        room = int(_PINS_SHARE * leaving.tokens) - summary_fence(self.count, _ANY, chinese=chinese)
        pins = self._newest_pins(self.pins, room)
        budget = leaving.tokens - summary_fence(self.count, pins, chinese=chinese)
        if budget > 0:
            turns = self._journaled(_flat(leaving.rounds))
            request = CompressRequest(turns, leaving.before.text, budget, self._as_sent)
            try:
                text = _written(compressor, request)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (a compressor that fails leaves it to the one that cannot)
                text = Extractive().compress(request)
                notes = (noted(f"the compressor failed ({error}): sentences were extracted instead", error),)
        return Summary(text, pins, chinese), notes

    def _as_sent(self, summary: str) -> int:
        return self.count(neutral(summary))

    def _journaled(self, items: tuple[Item, ...]) -> tuple[Turn, ...]:
        rows: list[Turn] = []
        for i in range(0, len(items), _READ_TURNS):
            wanted = tuple(item.identity for item in items[i : i + _READ_TURNS])
            rows += self.composer.store.turns(
                TurnsRequest(ref=self.ref, identities=wanted, limit=2 * len(wanted))
            )
        return tuple({row.branch: row for row in reversed(rows)}.values())[::-1]

    # Pins.

    @lazy
    def pins(self) -> tuple[str, ...]:
        """The owner's pins, the oldest first."""
        store = self.composer.store
        return tuple(pin.text for pin in store.pins(self.owner)) if isinstance(store, Pins) else ()

    def riding(self, window: Window, *, today: date, chinese: bool) -> tuple[tuple[str, ...], int]:
        """The pins in front of the newest user turn: those that the summary has not.

        Returns:
            As many as fit what the policy gives recall, and how many are left out.
        """
        pins = [pin for pin in self.pins if pin not in window.summary.pins]
        if not pins:
            return (), 0
        room = (window.recall or self._spare(window)) - recall_fence(
            self.count, _ANY, today=today, chinese=chinese
        )
        shown = self._newest_pins(pins, room)
        return shown, len(pins) - len(shown)

    def _spare(self, window: Window) -> int:
        """Tokens for pins where the policy gives recall none: it may want none, or see no room."""
        room = self._room()
        if room is None:
            return _PINS_TOKENS
        sent = sum(item.tokens for item in window.items) + self.count(window.summary.block())
        return min(_PINS_TOKENS, room - sent)

    def _newest_pins(self, pins: Sequence[str], room: int) -> tuple[str, ...]:
        """Those that fit so many tokens, the newest first; in their order."""
        shown: list[str] = []
        for pin in reversed(pins):
            tokens = self.count(f"- {pin}") + 1  # and the end of its line
            if tokens <= room:
                room -= tokens
                shown.append(pin)
        return tuple(reversed(shown))


def _written(compressor: Compressor, request: CompressRequest) -> str:
    """What a compressor writes, if that is a text within its budget."""
    text = cast("object", compressor.compress(request))
    if not isinstance(text, str):
        raise TypeError(f"it gave {type(text).__name__}, not a text")
    if (tokens := request.count(text)) > request.tokens:
        raise ValueError(f"it gave {tokens} tokens where {request.tokens} are the most")
    return text


def _tokens(items: Sequence[Item]) -> int:
    return sum(item.tokens for item in items)


def _flat(rounds: list[list[Item]]) -> tuple[Item, ...]:
    return tuple(item for r in rounds for item in r)


def _begins(rounds: list[list[Item]], epoch: Epoch | None) -> int | None:
    """The round with which the epoch's window begins; None before the first cut, and on another branch."""
    if epoch is None:
        return None
    return next((i for i, r in enumerate(rounds) if any(item.identity == epoch.start for item in r)), None)
