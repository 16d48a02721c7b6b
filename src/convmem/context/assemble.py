"""Puts a request together from its window, the summary before it, and the block of recalled turns; pure.

`context.compose` asks `question_of` and `riding_pins` before it recalls, and `assemble` at the end. `sealed`
is the request of a call to which nothing may be added.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.context.prefix import Sent
from convmem.context.render import SEPARATOR, fitting_pins, in_front, recall_fence
from convmem.context.request import Composed
from convmem.retrieve.recaller import Question
from convmem.tokens.count import count_message
from convmem.types import Tokens
from convmem.wire.message import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from convmem.context.frame import Frame, Item
    from convmem.context.gather import Gathered
    from convmem.context.request import Block
    from convmem.context.window import Window
    from convmem.types import Message

__all__ = ["Assembly", "as_made", "assemble", "block_tokens", "question_of", "riding_pins", "sealed"]

_CONTEXT_TURNS = 2
"""Turns before the question that are searched with too, at a lower weight: "and where is it?" means them.
More bring in words of a topic that is over."""
_PINS_TOKENS = 1_024
"""Tokens for pins in front of the newest user turn, at most, where the policy gives recall no tokens."""
_ANY = ("…",)
"""A stand-in for pins, with which the text around pins is counted."""
_LEFT_OUT = "pins left out: {}; the newest go first, as many as fit (memory.unpin takes one away)"
_SEALED = (
    "neither a user nor a session was named, and the history came back without some of its words:"
    " nothing is added to the call"
)
_JSON_MODE = "JSON mode needs the word JSON, which memory left out: the call goes out as it was made"


@dataclass(frozen=True, slots=True)
class Assembly:
    """A request as it goes out.

    Attributes:
        composed: the messages to send, and the account of them.
        placed: each message of the window, with True where the caller sent it.
        sent: the request as a provider's cache sees it; None where the provider keeps the history.
    """

    composed: Composed
    placed: list[tuple[Message, bool]]
    sent: Sent | None


def assemble(
    frame: Frame,
    window: Window,
    block: Block,
    *,
    notes: Sequence[str],
    told: Sequence[str],
    ms: dict[str, float],
) -> Assembly:
    """Put a request together, and count it.

    Where memory adds nothing and leaves nothing out, `messages` of the result stays None, and the caller's
    body goes out byte for byte.

    Args:
        frame: the frame of the request.
        window: the rounds to send, and the summary of those before.
        block: the recalled turns and pins that go in front of the newest user turn.
        notes: notes for the receipt.
        told: further notes, of which an event has told already.
        ms: milliseconds that each step took, by its name.
    """
    request, items, at = frame.request, window.items, window.at
    tokens = [item.tokens for item in items]
    own = sum(item.own for item in items)
    summary_text = window.summary.block()
    summary_tokens = block_tokens(summary_text, frame.count)
    summary_pins = 0
    if window.summary.pins:
        summary_pins = summary_tokens - block_tokens(window.summary.unpinned(), frame.count)
    newest = at if at is not None else 0
    out = Composed(
        restored=len(items) - own,
        dropped=len(request.turns) - own,
        tokens=Tokens(
            system=frame.system,
            pins=summary_pins + block.pins,
            summary=summary_tokens - summary_pins,
            window=sum(tokens[:newest]),
            recall=block.tokens - block.pins,
            new=sum(tokens[newest:]),
        ),
        recalled=block.recalled,
        cut=window.cut > 0,
        cut_rounds=window.cut,
        media_left=window.media_left,
        notes=[*notes, *told, *([_LEFT_OUT.format(block.left_out)] if block.left_out else [])],
        told=frozenset(told),
        ms=ms,
    )
    messages = [item.message for item in items]
    if at is not None:
        first = next(i for i, message in enumerate(messages) if message.get("role") == "user")
        # The recall block before the summary: where both go in front of the same turn, the only one, the
        # summary ends up first, as the bytes that stay the same from call to call must come first.
        messages[at] = in_front(messages[at], block.text)
        messages[first] = in_front(messages[first], summary_text)
        tokens[at] += block.tokens
        tokens[first] += summary_tokens
    placed = [(message, item.own) for message, item in zip(messages, items, strict=True)]
    everything = [*request.settings, *frame.dialect.arranged(placed)]
    if out.restored or out.dropped or summary_text or block.text:
        if _breaks_json_mode(frame, everything):
            everything = [*request.settings, *request.turns]
            out = dataclasses.replace(
                out,
                restored=0,
                dropped=0,
                recalled=(),
                media_left=0,
                tokens=as_made(frame),
                notes=[*out.notes, _JSON_MODE],
            )
        else:
            out.messages = everything
    sent = None
    if request.held is None:
        counted = dict(zip(map(id, messages), tokens, strict=True))
        counted |= dict(zip(map(id, request.settings), frame.settings_tokens, strict=True))
        each = tuple(counted.get(id(m)) or count_message(m, frame.count) for m in everything)
        sent = Sent(request.tools, tuple(everything), each, frame.tools_tokens)
    return Assembly(out, placed, sent)


def _breaks_json_mode(frame: Frame, messages: Sequence[Message]) -> bool:
    """Whether these messages lack the word "JSON", which JSON mode asks for, while the caller's have it."""
    dialect, request = frame.dialect, frame.request
    if not request.json_mode or not dialect.breaks_json_mode(messages):
        return False
    return not dialect.breaks_json_mode([*request.settings, *request.turns])


def as_made(frame: Frame) -> Tokens:
    """The token counts of a call that goes out as the caller made it."""
    return Tokens(system=frame.system, new=sum(item.tokens for item in frame.own))


def sealed(frame: Frame) -> Composed:
    """The request of a sealed call (`Placement.sealed`): as the caller made it, with a note that says why."""
    return Composed(tokens=as_made(frame), notes=[_SEALED], told=frozenset({_SEALED}))


def block_tokens(block: str, count: Callable[[str], int]) -> int:
    """Tokens of a block and of the empty line after it; 0 for an empty block."""
    return count(block) + SEPARATOR if block else 0


def question_of(frame: Frame, gathered: Gathered, window: Window, newest: Item) -> Question:
    """The question to the owner's memory: the newest user turn, without the turns that the model sees anyway.

    Args:
        frame: the frame of the request.
        gathered: what was read for the request.
        window: the rounds to send.
        newest: the newest user turn.
    """
    placement = frame.placement
    path = {node.identity for node in placement.before} | set(placement.alignment.identities)
    seqs = {node.identity: node.seq for node in placement.before} | dict(placement.seqs)
    visible = {f"t{seqs[item.identity]}" for item in window.items if item.identity in seqs}
    before = window.items[: window.at]
    return Question(
        owner=frame.owner,
        text=text_of(newest.message),
        now=frame.now,
        context=tuple(text_of(item.message) for item in before[-_CONTEXT_TURNS:]),
        session=placement.ref.session,
        path=path,
        exclude=visible | gathered.held,
    )


def riding_pins(
    frame: Frame, pins: Sequence[str], window: Window, *, today: date, chinese: bool
) -> tuple[tuple[str, ...], int]:
    """The pins in front of the newest user turn: those that the summary does not show.

    Args:
        frame: the frame of the request.
        pins: the owner's pins, the oldest first.
        window: the rounds to send, and their summary.
        today: the date in the block's heading, which counts too.
        chinese: the heading is Chinese, else English.

    Returns:
        As many pins as fit the tokens that the policy gives recall, and how many are left out.
    """
    pins = [pin for pin in pins if pin not in window.summary.pins]
    if not pins:
        return (), 0
    room = (window.recall or _spare(frame, window)) - recall_fence(
        frame.count, _ANY, today=today, chinese=chinese
    )
    shown = fitting_pins(pins, room, frame.count)
    return shown, len(pins) - len(shown)


def _spare(frame: Frame, window: Window) -> int:
    """Tokens for pins where the policy gives recall none: it wants no recall, or sees no room for it."""
    if (room := frame.room) is None:
        return _PINS_TOKENS
    sent = sum(item.tokens for item in window.items) + frame.count(window.summary.block())
    return min(_PINS_TOKENS, room - sent)
