"""Reading conversations that were held elsewhere: OpenAI-style JSON Lines, and ChatGPT's export.

The readers are pure functions from text to messages; `read` opens a file and finds the right one.

```python
from convmem.importers import by_session, read

for session, (messages, times) in by_session(read("conversations.json")).items():
    memory.record(messages, user="alice", session=session, at=times)
```
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from convmem.errors import InputError
from convmem.importers import chatgpt, jsonl
from convmem.importers.message import Imported, by_session

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Imported", "by_session", "chatgpt", "jsonl", "read"]


def read(path: str | Path, *, tz: tzinfo | None = None) -> list[Imported]:
    """Read the conversations of a file.

    A file that begins with `[` is ChatGPT's `conversations.json`, a ZIP archive its whole export; anything
    else is JSON Lines.

    Args:
        path: the file.
        tz: the zone of times that name none; this machine's when left out.

    Raises:
        InputError: the file cannot be read, or holds something else; the text says where.
    """
    file = Path(path)
    try:
        texts = list(_texts(file))
    except (OSError, zipfile.BadZipFile, ValueError) as error:  # a path with NUL, bytes that are no UTF-8
        raise InputError(f"{file} cannot be read: {error}") from error
    found: list[Imported] = []
    for text in texts:
        try:
            found += chatgpt.parse(text) if _is_export(text) else jsonl.parse(text, session=file.stem, tz=tz)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    if not found:
        raise InputError(f"{file} holds no messages")
    return found


def _is_export(text: str) -> bool:
    return text.lstrip()[:1] == "["


def _texts(file: Path) -> list[str]:
    if not zipfile.is_zipfile(file):
        return [file.read_text(encoding="utf-8-sig")]
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if Path(n).match("conversations*.json")]
        if not names:
            raise ValueError("the archive holds no conversations.json")
        return [archive.read(name).decode("utf-8-sig") for name in sorted(names)]
