"""How far a long run is: a bar with the time left in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Progress"]

_LINE_EVERY_S = 30.0
_BAR_EVERY_S = 0.1
_WIDTH = 24


class Progress:
    """Counts up to a total on standard error."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._bar = sys.stderr.isatty()
        self._began = time.monotonic()
        self._shown = 0.0 if self._bar else self._began

    def add(self, n: int = 1) -> None:
        """So many more are done."""
        self._done += n
        now = time.monotonic()
        if now - self._shown < (_BAR_EVERY_S if self._bar else _LINE_EVERY_S) and self._done < self._total:
            return
        if self._bar or self._done < self._total:
            self._shown = now
            self._show((now - self._began) / self._done * (self._total - self._done))

    def _show(self, left_s: float) -> None:
        text = f"{self._done}/{self._total} {self._unit}, {left_s / 60:.1f} min left"
        if self._bar:
            filled = round(_WIDTH * self._done / max(1, self._total))
            text = f"\r{self._label} [{'█' * filled}{'·' * (_WIDTH - filled)}] {text}\x1b[K"
            print(text, end="", file=sys.stderr, flush=True)
        else:
            print(f"{self._label}: {text}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            print(file=sys.stderr, flush=True)
