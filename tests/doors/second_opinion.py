"""Another provider than our own: every chat door against llmock, which knows nothing of convmem.

    make second-opinion

Through each door a client without memory and one with it hold the same short conversation, with tools. They
must hear the same, the journal must hold what was heard, and llmock must have refused nothing. It has no
Responses API (0.2.2).
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import openai
from tests.doors.doors import DOORS, State

import convmem

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60


@contextmanager
def llmock() -> Iterator[str]:
    """The base URL of an llmock that is up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("llmock"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    """Return once something answers there."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


async def heard(door, client) -> list[dict]:
    """A conversation as an app keeps it: a question, a call of a tool when one is made, and thanks."""
    state, said = State(), [{"role": "user", "content": "Look up Kyoto, please."}]
    said.append(await door(client, said, state))
    said += [
        {"role": "tool", "tool_call_id": call["id"], "content": "a city"}
        for call in said[-1].get("tool_calls", [])
    ]
    if said[-1]["role"] == "tool":
        said.append(await door(client, said, state))
    said.append({"role": "user", "content": "谢谢！"})
    said.append(await door(client, said, state))
    return said


def content(said: list[dict]) -> list[tuple]:
    """What was said; ids of calls are new each time."""
    return [(m["role"], m["content"], [c["function"] for c in m.get("tool_calls", [])]) for m in said]


def main() -> int:
    """Print a line for each door and kind of client; 1 when one of them failed."""
    failed = 0
    with llmock() as url, asyncio.Runner() as runner:
        for kind in (openai.OpenAI, openai.AsyncOpenAI):
            bare = kind(base_url=url, api_key="x", max_retries=0)
            for name, door in DOORS.items():
                if not name.startswith("chat"):
                    continue
                with convmem.Memory(":memory:", embedder="none", deadline_ms=10_000) as memory:
                    expected = runner.run(heard(door, bare))
                    said = runner.run(heard(door, memory.wrap(bare, user="ana", session="s")))
                    memory.flush()
                    turns = [turn.payload for turn in memory.turns(user="ana", session="s")]
                kept = [(m["role"], m["content"], m.get("tool_call_id")) for m in turns]
                fine = content(said) == content(expected)
                fine = fine and kept == [(m["role"], m["content"], m.get("tool_call_id")) for m in said]
                sys.stdout.write(f"{kind.__name__:12} {name:40} {'ok' if fine else 'FAIL'}\n")
                failed += not fine
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
