"""A cut: the rounds that leave the window, and the summary that stands for them."""

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
"""Of a summary's tokens, what pins may take of them: at least half is for the rounds that left."""
_ANY = ("…",)
"""Some pin, to count what stands around pins."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands for the rounds before the window; bytes that must not change until the next cut."""

    text: str = ""
    pins: tuple[str, ...] = ()
    chinese: bool = False

    def block(self) -> str:
        """As it is sent."""
        return summary_block(self.text, self.pins, chinese=self.chinese)

    def unpinned(self) -> str:
        """As it would be without its pins."""
        return summary_block(self.text, (), chinese=self.chinese)

    def dumped(self) -> str:
        """As it is kept."""
        return json.dumps([self.text, self.pins, self.chinese], ensure_ascii=False) if self.block() else ""

    @staticmethod
    def loaded(text: str) -> Summary:
        """As it was kept."""
        said, pins, chinese = json.loads(text) if text else ("", (), False)
        return Summary(said, tuple(pins), chinese)


class Cut:
    """Rounds about to leave a window.

    Attributes:
        start: the identity of the first turn that stays.
        redaction: the owner's before anything of it was read; another one since voids it.
        make: makes what stands for them, and notes on it.
        made: what it made.
        stood_in: sentences were extracted in its place, because it was late.
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
    """Rounds that leave a window.

    Attributes:
        start: the identity of the first turn that stays.
        turns: identities of the turns that leave, oldest first.
        tokens: what their summary may have.
        before: what stands for those that left before them.
        newest: the newest text of all, whose language the summary's heading is in.
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
    """What stands for rounds that leave, and for those that left before them; and what to note.

    Args:
        leaving: the rounds.
        turns: gives journaled turns in full; asked for nothing where there is no room for a summary.
        pins: the owner's, the oldest first; the summary carries those that fit.
        compressor: writes it.
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
    """What a compressor writes, if that is a text within its budget."""
    text = cast("object", compressor.compress(request))
    if not isinstance(text, str):
        raise TypeError(f"it gave {type(text).__name__}, not a text")
    if (tokens := request.count(text)) > request.tokens:
        raise ValueError(f"it gave {tokens} tokens where {request.tokens} are the most")
    return text
