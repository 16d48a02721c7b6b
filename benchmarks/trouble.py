"""What does a call cost while memory is in trouble, and is everything there when the trouble is over?

    python benchmarks/trouble.py
    python benchmarks/trouble.py --calls 50 --deadline-ms 300

For each trouble it prints the milliseconds a call waited for memory, what its receipt said, and whether the
memory healed; it ends with 1 when something was lost, a deadline was missed by more than a half, or something
did not heal.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

import convmem
from convmem.abilities import NewView
from convmem.stores.sqlite import SQLiteStore
from convmem.testing import LocalProvider
from convmem.testing.fakes import FakeEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FACT = "My locker code at the pool is 7719."
SLOW_S = 2.0


class TroubledStore(SQLiteStore):
    """A file that is slow to write or to read."""

    write_s = read_s = 0.0
    call_reads = None  # type: ignore[assignment]  # the views are read by themselves

    def write(self, batch: Any) -> Any:  # noqa: ANN401 (as the Store protocol has it)
        """Wait, then write."""
        time.sleep(self.write_s)
        return super().write(batch)

    def views(self, request: Any) -> Any:  # noqa: ANN401 (as the Views protocol has it)
        """Wait, then read."""
        time.sleep(self.read_s)
        return super().views(request)


class TroubledEmbedder(FakeEmbedder):
    """An embedder whose questions take their time, or fail."""

    question_s = 0.0

    def embed(self, texts: Sequence[str], kind: Any) -> Any:  # noqa: ANN401 (as the Embedder protocol has it)
        """Wait, then embed."""
        if kind == "query":
            time.sleep(self.question_s)
        return super().embed(texts, kind)


class World:
    """A memory with a fact of another session, and a client."""

    def __init__(self, folder: Path, base_url: str, deadline_ms: float) -> None:
        self.store = TroubledStore(folder / "chat.db")
        self.embedder = TroubledEmbedder()
        self.asked = 0
        self._bare = openai.OpenAI(base_url=base_url, api_key="x", max_retries=0)
        self._deadline_ms = deadline_ms
        self.open()
        self.memory.record([{"role": "user", "content": FACT}], user="alice", session="before")
        self.memory.flush()

    def open(self) -> None:
        """Open a memory that has nothing of the store loaded yet."""
        self.memory = convmem.Memory(self.store, embedder=self.embedder, deadline_ms=self._deadline_ms)
        self.client = self.memory.wrap(self._bare, user="alice", session="now")

    def call(self) -> tuple[float, convmem.Receipt]:
        """One question, newest message only: the milliseconds besides the provider's, and the receipt."""
        self.asked += 1
        message: Any = {"role": "user", "content": f"what is my locker code, for the {self.asked}th time?"}
        started = time.perf_counter()
        reply = self.client.chat.completions.create(model="local", messages=[message])
        ms = (time.perf_counter() - started) * 1_000
        receipt = self.memory.receipt_for(reply)
        assert receipt is not None  # noqa: S101 (it was made by our client)
        return ms - receipt.ms["provider"], receipt

    def whole(self) -> bool:
        """Whether every turn that was said is there."""
        self.memory.flush()
        return self.memory.stats().turns == 1 + 2 * self.asked


def _none(_: World) -> Callable[[], None]:
    return lambda: None


def _dead(world: World) -> Callable[[], None]:
    world.embedder.fail = True
    return lambda: setattr(world.embedder, "fail", False)


def _slow(world: World) -> Callable[[], None]:
    world.embedder.question_s = SLOW_S
    return lambda: setattr(world.embedder, "question_s", 0.0)


def _damaged(world: World) -> Callable[[], None]:
    (turn,) = world.memory.turns(user="alice", session="before")
    world.memory.close()
    world.store.put_views([NewView(seq=turn.seq, entry=b"no longer what it was")])
    world.open()
    return lambda: None


def _slow_reading(world: World) -> Callable[[], None]:
    world.store.read_s = SLOW_S
    return lambda: setattr(world.store, "read_s", 0.0)


def _slow_writing(world: World) -> Callable[[], None]:
    world.store.write_s = SLOW_S
    return lambda: setattr(world.store, "write_s", 0.0)


TROUBLES: dict[str, Callable[[World], Callable[[], None]]] = {
    "none": _none,
    "embedder dead": _dead,
    f"embedder slow ({SLOW_S:.0f} s)": _slow,
    "views damaged": _damaged,
    f"disk slow to read ({SLOW_S:.0f} s)": _slow_reading,
    f"disk slow to write ({SLOW_S:.0f} s)": _slow_writing,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the troubles; 0 when all was well in the end."""
    parser = argparse.ArgumentParser(description="What a call costs while memory is in trouble.")
    parser.add_argument("--calls", type=int, default=10, help="calls in each trouble")
    parser.add_argument("--deadline-ms", type=float, default=300)
    options = parser.parse_args(arguments)
    logging.getLogger("convmem").addHandler(logging.NullHandler())
    logging.getLogger("convmem").propagate = False
    print(f"{options.calls} calls each, a deadline of {options.deadline_ms:.0f} ms; milliseconds for memory")
    print(
        f"{'trouble':24} {'first':>6} {'p50':>6} {'max':>6}  journaled recalled  healed lost  noted at first"
    )
    with LocalProvider() as provider:
        fine = [_tried(name, provider.base_url, options) for name in TROUBLES]
    return 0 if all(fine) else 1


def _tried(name: str, base_url: str, options: argparse.Namespace) -> bool:
    with _world(base_url, options.deadline_ms) as world:
        world.call()
        mend = TROUBLES[name](world)
        calls = [world.call() for _ in range(options.calls)]
        mend()
        whole = _within(30, world.whole)
        healed = _within(30, lambda: bool((last := world.call()[1]).recalled and not last.notes))
    ms = [cost for cost, _ in calls]
    receipts = [receipt for _, receipt in calls]
    print(
        f"{name:24} {ms[0]:6.1f} {statistics.median(ms):6.1f} {max(ms):6.1f}"
        f"  {sum(r.journaled for r in receipts):9} {sum(bool(r.recalled) for r in receipts):8}"
        f"  {'yes' if healed else 'NO':>6} {'no' if whole else 'YES':>4}  {'; '.join(receipts[0].notes)[:90]}"
    )
    return healed and whole and max(ms) < 1.5 * options.deadline_ms


@contextmanager
def _world(base_url: str, deadline_ms: float) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="convmem-trouble-") as folder:
        world = World(Path(folder), base_url, deadline_ms)
        try:
            yield world
        finally:
            world.memory.close()
            world.store.close()


def _within(seconds: float, ready: Callable[[], bool]) -> bool:
    """Whether it comes true in that time."""
    until = time.monotonic() + seconds
    tick = threading.Event()
    while not ready():
        if time.monotonic() > until:
            return False
        tick.wait(0.2)
    return True


if __name__ == "__main__":
    sys.exit(main())
