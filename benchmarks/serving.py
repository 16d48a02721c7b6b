"""The local provider in a process of its own, for programs that measure the process beside it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["provider"]


@contextmanager
def provider() -> Iterator[str]:
    """Start a provider in a process of its own, so that its work is not measured, and give its base URL."""
    command = [sys.executable, "-m", "convmem.testing.provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own)
        try:
            yield (process.stdout.readline() if process.stdout is not None else "").strip()
        finally:
            process.terminate()
