"""Reads the data of server-sent events from bytes that come in chunks of any size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EventData"]

# A carriage return at the end of a chunk is no line end yet: the next chunk may begin with its line feed.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")


class EventData:
    """Yields each event's data, the closing `[DONE]` included, once the event is whole."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Take some bytes, cut anywhere, and yield the data of the events that they complete."""
        self._line.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            return
        *lines, rest = _LINE_END.split(b"".join(self._line))
        self._line = [rest]
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
            elif not line and self._data:
                data = "\n".join(self._data)
                self._data.clear()
                yield data
