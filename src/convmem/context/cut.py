"""Makes the summary of the rounds that leave a window in a cut.

`context.window` says which rounds leave (`Leaving`), `context.compose` makes a `Cut` of them, and
`context.cuts` runs it: `summarized` reads the turns, has a compressor write the text, and adds pins.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from convmem.compress.extractive import Extractive
from convmem.compress.protocol import CompressRequest
from convmem.context.render import fitting_pins, speaks_chinese, summary_block, summary_fence
from convmem.errors import noted
from convmem.wire.quoting import neutral

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convmem.compress.protocol import Compressor
    from convmem.types import Turn

__all__ = ["Cut", "Leaving", "Summary", "summarized"]

_PINS_SHARE = 0.5
"""Share of a summary's tokens that pins may take: at least half is left for the rounds that left."""
_ANY = ("…",)
"""A stand-in for pins, with which the text around pins is counted."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of the rounds before a window; its bytes must not change until the next cut.

    Attributes:
        text: what a compressor wrote; empty when there was no room.
        pins: the pins that the summary shows, the oldest first.
        chinese: its heading is Chinese, else English.
    """

    text: str = ""
    pins: tuple[str, ...] = ()
    chinese: bool = False

    def block(self) -> str:
        """The text of the block that is sent; empty for an empty summary."""
        return summary_block(self.text, self.pins, chinese=self.chinese)

    def unpinned(self) -> str:
        """The text of the block without its pins."""
        return summary_block(self.text, (), chinese=self.chinese)

    def dumped(self) -> str:
        """The summary as the JSON text that an epoch keeps; empty for an empty summary."""
        return json.dumps([self.text, self.pins, self.chinese], ensure_ascii=False) if self.block() else ""

    @staticmethod
    def loaded(text: str) -> Summary:
        """The summary of a JSON text that an epoch kept."""
        said, pins, chinese = json.loads(text) if text else ("", (), False)
        return Summary(said, tuple(pins), chinese)


class Cut:
    """A cut while it is made: the summary of the rounds that leave a window, and the turn that comes after.

    Attributes:
        start: the identity of the first turn that stays.
        redaction: the owner's number of forgettings before any turn was read; a greater one voids the cut.
        make: makes the summary, and notes about it; runs once.
        made: resolved with what `make` gave.
        stood_in: the summary was late, so extracted sentences took its place.
    """

    def __init__(
        self, start: bytes, redaction: int, make: Callable[[], tuple[Summary, tuple[str, ...]]]
    ) -> None:
        self.start = start
        self.redaction = redaction
        self.make = make
        self.made: Future[tuple[Summary, tuple[str, ...]]] = Future()
        self.stood_in = False


@dataclass(frozen=True, slots=True)
class Leaving:
    """The rounds that leave a window.

    Attributes:
        start: the identity of the first turn that stays.
        turns: identities of the turns that leave, oldest first.
        tokens: the most tokens of their summary.
        before: the summary of the rounds that left before, which the new summary takes in.
        newest: the text of the newest user turn: the summary's heading is in its language.
    """

    start: bytes
    turns: tuple[bytes, ...]
    tokens: int
    before: Summary
    newest: str


def summarized(
    leaving: Leaving,
    turns: Callable[[Sequence[bytes]], Sequence[Turn]],
    pins: Sequence[str],
    compressor: Compressor,
    count: Callable[[str], int],
) -> tuple[Summary, tuple[str, ...]]:
    """The summary of the rounds that leave and of those that left before them, and notes about it.

    Args:
        leaving: the rounds that leave.
        turns: reads journaled turns in full; not called where there is no room for a summary.
        pins: the owner's pins, the oldest first; the summary shows those that fit.
        compressor: writes the text.
        count: counts tokens.
    """
    text, notes = "", tuple[str, ...]()
    chinese = speaks_chinese(leaving.newest)
    room = int(_PINS_SHARE * leaving.tokens) - summary_fence(count, _ANY, chinese=chinese)
    shown = fitting_pins(pins, room, count)
    budget = leaving.tokens - summary_fence(count, shown, chinese=chinese)
    if budget > 0:
        journaled = tuple(turns(leaving.turns))
        request = CompressRequest(journaled, leaving.before.text, budget, lambda text: count(neutral(text)))
        try:
            text = _written(compressor, request)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a compressor that fails leaves it to the one that cannot)
            text = Extractive().compress(request)
            notes = (noted(f"the compressor failed ({error}): sentences were extracted instead", error),)
    return Summary(text, shown, chinese), notes


def _written(compressor: Compressor, request: CompressRequest) -> str:
    """The text that a compressor writes.

    Raises:
        TypeError: it gave no text.
        ValueError: it gave more tokens than its budget.
    """
    text = cast("object", compressor.compress(request))
    if not isinstance(text, str):
        raise TypeError(f"it gave {type(text).__name__}, not a text")
    if (tokens := request.count(text)) > request.tokens:
        raise ValueError(f"it gave {tokens} tokens where {request.tokens} are the most")
    return text
