"""Does every child that is forked from a busy process answer?

    python benchmarks/forks.py
    python benchmarks/forks.py --forks 20 --store memory

Threads of the parent make wrapped calls that recall, record turns that are embedded, search, read receipts
and turns, and look the store over, all on one Memory, while its main thread forks. Each child makes a wrapped
call with that Memory: it must be journaled, and something recalled for it. A child that has not ended after a
minute hangs, and says where. The program prints how the children ended, and how long forking and answering
took; it ends with 1 when a child hung or went wrong, or a thread of the parent did.

The provider is a process of its own. The embedder is a stand-in that needs no model.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import openai

import convmem
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder
from serving import provider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FACT = "My locker code at the pool is 7719."
QUESTION = "What is my locker code at the pool?"
_HANGS_S = 60
_PATIENT_MS = 60_000
"""A deadline that no machine misses: this asks whether children answer, not how fast."""


def client(url: str) -> openai.OpenAI:
    """A client that asks once."""
    return openai.OpenAI(base_url=url, api_key="local", max_retries=0, timeout=60)


def ask(wrapped: Any, text: str) -> Any:  # noqa: ANN401 (a wrapped client, and what it returns)
    """One wrapped call."""
    return wrapped.chat.completions.create(model="local", messages=[{"role": "user", "content": text}])


class Load:
    """Threads that do the same over and over, until they are told to end."""

    def __init__(self, *works: Callable[[int], object]) -> None:
        self._ended = threading.Event()
        self._count = threading.Lock()
        self.rounds = 0
        self.troubles: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[int], object]) -> None:
        n = 0
        while not self._ended.is_set():
            n += 1
            try:
                work(n)
            except Exception as error:  # noqa: BLE001 (told in the end, where it fails the program)
                self.troubles.append(f"{type(error).__name__}: {error}")
            with self._count:
                self.rounds += 1


def works(memory: convmem.Memory, url: str) -> list[Callable[[int], object]]:
    """What the threads of the parent do."""
    wrapped = [memory.wrap(client(url), user=user, session="calls") for user in ("ana", "ben")]
    for each in wrapped:
        ask(each, FACT)  # what is imported and set up at first use is there before anything forks

    def record(n: int) -> object:
        said = [{"role": "user", "content": f"On day {n} we walked to the harbour."}]
        return memory.record(said, user="ana", session=f"day {n % 5}", append=True)

    def receipts(n: int) -> object:
        reply = ask(wrapped[1], f"{QUESTION} {n}")
        return memory.receipt_for(reply), memory.last_receipt(), memory.receipts(user="ben", limit=5)

    return [
        lambda n: ask(wrapped[0], f"{QUESTION} {n}"),
        record,
        receipts,
        lambda _: memory.recall(QUESTION, user="ana"),
        lambda _: (memory.turns(user="ben", session="calls"), memory.stats(), memory.check()),
    ]


def answers(memory: convmem.Memory, url: str, n: int) -> int:
    """A child's whole life; 0 when its call was journaled and something was recalled for it."""
    faulthandler.dump_traceback_later(_HANGS_S - 5, exit=True)
    wrapped = memory.wrap(client(url), user="ana", session=f"child {n}")
    receipt = memory.receipt_for(ask(wrapped, QUESTION))
    if receipt is None or not receipt.journaled:
        return 2
    return 0 if receipt.recalled else 3


def fork_once(memory: convmem.Memory, url: str, n: int) -> tuple[str, float, float]:
    """How a child ended, and the milliseconds that forking and answering took."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = answers(memory, url, n)
        finally:
            os._exit(code)
    forked = time.perf_counter()
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.perf_counter() - forked > _HANGS_S:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return "hung", (forked - began) * 1_000, _HANGS_S * 1_000
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(ended[1])
    how = {0: "answered", 2: "not journaled", 3: "nothing recalled"}.get(code, f"ended with {code}")
    return how, (forked - began) * 1_000, (time.perf_counter() - forked) * 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when every child answered."""
    parser = argparse.ArgumentParser(description="Does every child of a busy process answer?")
    parser.add_argument("--forks", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="convmem-forks-") as folder, provider() as url:
        store = Path(folder) / "forks.db" if options.store == "sqlite" else InMemoryStore()
        with convmem.Memory(store, embedder=FakeEmbedder(), deadline_ms=_PATIENT_MS) as memory:
            memory.record([{"role": "user", "content": FACT}], user="ana", session="facts")
            memory.flush()
            with Load(*works(memory, url)) as load:
                ends = [fork_once(memory, url, n) for n in range(options.forks)]
            health = memory.check()
    hows = [how for how, _, _ in ends]
    told = ", ".join(f"{hows.count(how)} {how}" for how in sorted(set(hows)))
    print(f"{options.forks} forks from {load.rounds} rounds of 5 threads on {options.store}: {told}")
    for name, ms in (("forking", [f for _, f, _ in ends]), ("the child's answer", [a for _, _, a in ends])):
        print(f"  {name}: {statistics.median(ms):.0f} ms in the middle, {max(ms):.0f} ms at most")
    for trouble in dict.fromkeys(load.troubles):
        print(f"  a thread of the parent: {trouble}")
    for problem in health.problems:
        print(f"  the store: {problem}")
    return 0 if set(hows) == {"answered"} and not load.troubles and not health.problems else 1


if __name__ == "__main__":
    raise SystemExit(main())
