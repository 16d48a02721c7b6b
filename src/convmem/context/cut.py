"""A cut: the rounds that leave the window, and the summary that stands for them."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convmem.context.render import summary_block

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Cut", "Summary"]


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
