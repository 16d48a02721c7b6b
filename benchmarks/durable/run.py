"""Child processes that talk in lines, the clients they use, and the provider's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, OpenAI

from convmem.testing.provider import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convmem.testing.provider import ReceivedRequest

__all__ = ["MODEL", "PATIENT_MS", "TOOLS", "Child", "answer", "async_client", "client", "say"]

MODEL = "local"
PATIENT_MS = 60_000
"""A deadline that no machine misses, for what is not about deadlines: a call that missed it goes out without
what memory would have added, and says so by an event of its own."""
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look something up.",
            "parameters": {"type": "object", "properties": {"words": {"type": "string"}}},
        },
    }
]

_SCRIPT = Path(__file__).parents[1] / "durability.py"


def answer(request: ReceivedRequest) -> Reply:
    """Echo; call a tool for a text that asks for it, and say what the tool said."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return Reply(f"it says {last['content']}")
    text = request.newest_user_words
    if text.startswith("look up"):
        return Reply(tool_calls=[ToolCall("look_up", {"words": text})])
    return Reply(f"echo: {text}", chunk_size=16)


def client(base_url: str) -> OpenAI:
    """A client that does not retry, so that one call is one request."""
    return OpenAI(base_url=base_url, api_key="local", max_retries=0, timeout=60)


def async_client(base_url: str) -> AsyncOpenAI:
    """The same for asyncio."""
    return AsyncOpenAI(base_url=base_url, api_key="local", max_retries=0, timeout=60)


def say(**fields: Any) -> None:  # noqa: ANN401 (anything that is JSON)
    """One line to whoever started this process, at once and in one piece."""
    os.write(1, (json.dumps(fields) + "\n").encode())


class Child:
    """This script run again as a child process, doing one piece of work.

    Its standard output is read on a thread, so it never waits for its parent.
    """

    def __init__(self, work: str, **arguments: Any) -> None:  # noqa: ANN401 (anything that is JSON)
        self.process = subprocess.Popen(  # noqa: S603 (our own script)
            [sys.executable, str(_SCRIPT), "child", work, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 (asked for above)
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 (asked for above)
        self._errors.append(self.process.stderr.read())

    @property
    def errors(self) -> str:
        """What it wrote to standard error, once it has ended."""
        return "".join(self._errors)

    def said(self) -> list[dict[str, Any]]:
        """Every whole line so far."""
        return list(_parsed(self.lines))

    def wait_for(self, name: str, timeout: float = 120.0) -> dict[str, Any]:
        """Wait for the first line that has this field.

        Raises:
            RuntimeError: it ended, or took too long, without saying so.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or any(name in line for line in self.said()), timeout)
        for line in self.said():
            if name in line:
                return line
        self.kill()
        raise RuntimeError(f"a child did not say {name!r}: {self.errors or 'it took too long'}")

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None  # noqa: S101 (asked for above)
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and take what it had said."""
        self.process.kill()
        self.wait()

    def wait(self, timeout: float = 600.0) -> int:
        """Wait for its end; its return code."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(10)
        return code


def _parsed(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in list(lines):
        if line.endswith("\n"):
            yield json.loads(line)
