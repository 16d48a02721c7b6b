"""What memory does to a stream: the wait for its first chunk, and the room that a long one takes.

    python benchmarks/streams.py

The provider is a process of its own, on this machine, and answers at once: all that is added is memory's. The
first chunk waits for the journal and for what is recalled; the difference of the medians is stated beside the
receipts' own account of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

import convmem
from convmem.testing import LocalProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

LONG = 10_000_000
PIECE = 256
SUBJECTS = ("the lease", "Kyoto", "the piano", "my knee", "the garden", "the budget", "京都", "钢琴", "预算")


def serve() -> None:
    """Answer shortly, or with ten megabytes when asked for them, until the input ends."""
    long = Reply("x" * LONG, chunk_size=PIECE)
    with LocalProvider() as provider:
        provider.default = lambda request: long if "ten megabytes" in str(request.json) else Reply("ok then")
        sys.stdout.write(provider.base_url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


@contextmanager
def provider() -> Generator[str]:
    """The base URL of a provider in a process of its own."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101
        yield process.stdout.readline().strip()
        process.communicate()


def streamed(client: openai.OpenAI, api: str, text: str) -> Iterator[Any]:
    """The chunks of one streamed reply."""
    if api == "chat":
        asked = [{"role": "user", "content": text}]
        return iter(client.chat.completions.create(model="m", messages=asked, stream=True))  # type: ignore[arg-type]
    return iter(client.responses.create(model="m", input=text, stream=True))


def first_chunk(client: openai.OpenAI, api: str, text: str) -> float:
    """Milliseconds until the first chunk is there."""
    started = time.perf_counter()
    chunks = streamed(client, api, text)
    next(chunks)
    took = (time.perf_counter() - started) * 1_000
    for _ in chunks:
        pass
    return took


def waits(url: str, api: str, calls: int, turns: int) -> None:
    """Print the wait for the first chunk, without and with memory, call by call in turns."""
    with (
        tempfile.TemporaryDirectory() as folder,
        convmem.Memory(Path(folder) / "m.db") as memory,
        openai.OpenAI(base_url=url, api_key="x") as bare,
    ):
        past = [
            {"role": "user", "content": f"Note {n}: {SUBJECTS[n % len(SUBJECTS)]}, matter {n * 7919 % 1000}."}
            for n in range(turns)
        ]
        memory.record(past, user="u", session="past")
        memory.flush()
        plain, ours, account = [], [], []
        for n in range(calls):
            question = f"What did I note about {SUBJECTS[n % len(SUBJECTS)]}, matter {n}?"
            with memory.scope(session=f"s{n}"):
                client = memory.wrap(bare, user="u")
                plain.append(first_chunk(bare, api, question))
                ours.append(first_chunk(client, api, question))
            receipt = memory.last_receipt()
            account.append(sum(ms for step, ms in receipt.ms.items() if step not in {"provider", "reply"}))
        recalled = len(receipt.recalled)
    without, with_memory = statistics.median(plain), statistics.median(ours)
    print(
        f"{api:10} first chunk, median of {calls}: bare {without:.1f} ms, with memory {with_memory:.1f} ms"
        f" (+{with_memory - without:.1f}); its receipts say {statistics.median(account):.1f} ms"
        f" ({turns} turns, {recalled} quoted)"
    )


def room(url: str, api: str) -> None:
    """Print what a stream of ten megabytes takes at most, and what of it memory holds while it comes."""
    with (
        convmem.Memory(":memory:", embedder="none") as memory,
        openai.OpenAI(base_url=url, api_key="x") as bare,
    ):
        for name, client in (("bare", bare), ("with memory", memory.wrap(bare, user="u", session="s"))):
            chunks = streamed(client, api, "ten megabytes, please")
            next(chunks)
            seen, marks = 0, []
            tracemalloc.start()
            for n, _ in enumerate(chunks):
                seen = n
                if n % 8_000 == 0:
                    marks.append(tracemalloc.get_traced_memory()[0] / 1_000_000)
            peak = tracemalloc.get_traced_memory()[1] / 1_000_000
            tracemalloc.stop()
            held = ", ".join(f"{mark:.1f}" for mark in marks)
            print(f"{api:10} {name}: {seen} chunks of {PIECE}; MB held as it came: {held}; most {peak:.1f}")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="The wait for a stream's first chunk, and its room.")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--turns", type=int, default=1_000)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    with provider() as url:
        for api in ("chat", "responses"):
            waits(url, api, options.calls, options.turns)
            room(url, api)


if __name__ == "__main__":
    main()
