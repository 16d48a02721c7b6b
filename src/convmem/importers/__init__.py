"""Reading conversations that were held elsewhere: OpenAI-style JSON Lines, exports of ChatGPT, Claude, mem0.

The readers are pure functions from text to messages; `read` opens a file and finds the right one.

```python
from convmem.importers import by_session, read

for session, (messages, times) in by_session(read("conversations.json")).items():
    memory.record(messages, user="alice", session=session, at=times)
```
"""

from __future__ import annotations

from convmem.importers import chatgpt, claude, jsonl, mem0
from convmem.importers.files import FORMATS, Format, is_own_export, read
from convmem.importers.message import Imported, by_session

__all__ = [
    "FORMATS",
    "Format",
    "Imported",
    "by_session",
    "chatgpt",
    "claude",
    "is_own_export",
    "jsonl",
    "mem0",
    "read",
]
