"""How far a long run is: a bar with the time left in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Progress"]

_LINE_EVERY_S = 30.0


class Progress:
    """Counts up to a total on standard error; with tqdm, where it is installed, in a terminal."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._began = self._shown = time.monotonic()
        self._bar: Any = None
        if sys.stderr.isatty() and find_spec("tqdm") is not None:
            self._bar = import_module("tqdm").tqdm(
                total=total, desc=label, unit=f" {unit}", dynamic_ncols=True
            )

    def add(self, n: int = 1) -> None:
        """So many more are done."""
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
            return
        now = time.monotonic()
        if now - self._shown >= _LINE_EVERY_S:
            self._shown = now
            left = (now - self._began) / self._done * (self._total - self._done)
            print(
                f"{self._label}: {self._done}/{self._total} {self._unit}, {left / 60:.1f} min left",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
