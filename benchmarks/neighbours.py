"""How much longer does a user's call take while others keep the same Memory busy?

    python benchmarks/neighbours.py
    python benchmarks/neighbours.py --turns 2000 --megabytes 5 --rounds 1

One file holds a big owner of many turns, who has not been recalled from yet, a pile of long turns that make
the file large, and a small owner, the neighbour. In each round a Memory is opened on it; the neighbour makes
calls alone, and then goes on while the big owner's first call is made, `check()` looks the file over and
`export()` writes it out. The program prints how long a call of the neighbour's took in both, with memory and
a provider that answers at once, and the ratio of their slow ends: what 95 of 100 calls do not exceed. It ends
with 1 when the ratio is above `--most`.

The provider is a process of its own; the embedder is none, or a stand-in that needs no model.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

import convmem
from convmem.testing.fakes import FakeEmbedder
from serving import provider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

QUESTION = "What did Mara say about the harbour?"
SAID = "I met {0} at the {1} on day {2}; we talked about the {1} and the price of {3}, and {0} said {2}."
NAMES = ("Mara", "Tom", "Li", "Sven", "Ana")
PLACES = ("harbour", "station", "museum", "lake")
_BATCH = 1_000
_LONG = 100_000
_PATIENT_MS = 60_000
"""A deadline that no machine misses: each call waits for its memory, and the whole wait is seen."""


def turns(count: int) -> list[dict[str, str]]:
    """A conversation of so many messages."""
    return [
        {
            "role": ("user", "assistant")[i % 2],
            "content": SAID.format(NAMES[i % 5], PLACES[i % 4], i, i * 7),
        }
        for i in range(count)
    ]


def fill(path: Path, options: argparse.Namespace) -> None:
    """Make the file: the big owner, the long turns, the neighbour; all with their views."""
    with opened(path, options) as memory:
        said = turns(options.turns)
        for begin in range(0, len(said), _BATCH):
            memory.record(said[begin : begin + _BATCH], user="big", session=f"s{begin // _BATCH}")
        memory.record(turns(40), user="neighbour", session="before")
        words = " ".join(turn["content"] for turn in turns(_LONG // 80))
        for n in range(options.megabytes * 1_000_000 // len(words)):
            memory.record([{"role": "user", "content": f"{n} {words}"}], user=f"long {n % 50}", session="s")
        memory.flush()


def opened(path: Path, options: argparse.Namespace) -> convmem.Memory:
    """A Memory on the file."""
    embedder: Any = FakeEmbedder(dim=384) if options.vectors else "none"
    return convmem.Memory(path, embedder=embedder, deadline_ms=_PATIENT_MS)


def asking(memory: convmem.Memory, url: str, user: str) -> Callable[[str], float]:
    """What makes a call and tells the milliseconds it took."""
    inner = openai.OpenAI(base_url=url, api_key="local", max_retries=0, timeout=120)

    def ask(session: str) -> float:
        wrapped: Any = memory.wrap(inner, user=user, session=session)
        began = time.perf_counter()
        reply = wrapped.chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
        took = (time.perf_counter() - began) * 1_000
        receipt = memory.receipt_for(reply)
        if receipt is None or not receipt.journaled or not receipt.recalled:
            raise AssertionError(f"a call of {user} went without memory: {receipt}")
        return took

    return ask


def one_round(
    path: Path, url: str, options: argparse.Namespace, n: int
) -> tuple[list[float], list[float], dict[str, float]]:
    """Milliseconds of the neighbour's calls alone, and beside the others; seconds that those took."""
    with opened(path, options) as memory:
        ask, ask_big = asking(memory, url, "neighbour"), asking(memory, url, "big")
        ask(f"round {n} first")
        alone = [ask(f"round {n} alone {i}") for i in range(options.calls)]
        seconds: dict[str, float] = {}
        works: dict[str, Callable[[], object]] = {
            "first call of the big owner": lambda: ask_big(f"round {n}"),
            "check()": memory.check,
            "export()": lambda: sum(map(len, memory.export())),
        }
        chosen = {name: work for name, work in works.items() if options.only in {"", name.split()[0]}}

        def run(name: str, work: Callable[[], object]) -> None:
            began = time.perf_counter()
            work()
            seconds[name] = time.perf_counter() - began

        threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in chosen.items()]
        for thread in threads:
            thread.start()
        beside: list[float] = []
        while any(thread.is_alive() for thread in threads):
            beside.append(ask(f"round {n} beside {len(beside)}"))
    if len(seconds) < len(threads):
        raise AssertionError(f"of {list(chosen)} only {list(seconds)} came to an end")
    return alone, beside, seconds


def slow_end(ms: Sequence[float]) -> float:
    """What 95 of 100 calls do not exceed."""
    return statistics.quantiles(ms, n=20, method="inclusive")[-1] if len(ms) > 1 else ms[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when the neighbour did not wait much longer."""
    parser = argparse.ArgumentParser(description="How much longer does a call take beside busy others?")
    parser.add_argument("--turns", type=int, default=40_000, help="of the big owner")
    parser.add_argument("--megabytes", type=int, default=200, help="of long turns of others")
    parser.add_argument("--calls", type=int, default=60, help="of the neighbour alone, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vectors", action="store_true", help="with vectors of a stand-in for an embedder")
    parser.add_argument("--most", type=float, default=1.3, help="the ratio above which it ends with 1")
    parser.add_argument("--only", default="", help="first, check() or export(): only one of the others")
    parser.add_argument("--file", type=Path, help="keep the file here, and use it when it is there")
    options = parser.parse_args(arguments)
    alone: list[float] = []
    beside: list[float] = []
    with tempfile.TemporaryDirectory(prefix="convmem-neighbours-") as folder, provider() as url:
        path = options.file or Path(folder) / "neighbours.db"
        if not path.exists():
            fill(path, options)
        print(f"{options.turns} turns of one owner, a file of {path.stat().st_size / 1e6:.0f} MB")
        for n in range(options.rounds):
            one, other, seconds = one_round(path, url, options, int(time.time()) + n)
            alone += one
            beside += other
            print("  " + ", ".join(f"{name} took {took:.1f} s" for name, took in seconds.items()))
    ratio = slow_end(beside) / slow_end(alone)
    print("a call of the neighbour's | calls | middle, ms | slow end, ms | longest, ms")
    for name, ms in (("alone", alone), ("beside the others", beside)):
        print(f"{name} | {len(ms)} | {statistics.median(ms):.1f} | {slow_end(ms):.1f} | {max(ms):.1f}")
    print(f"ratio of the slow ends: {ratio:.2f}")
    return 0 if ratio <= options.most else 1


if __name__ == "__main__":
    raise SystemExit(main())
