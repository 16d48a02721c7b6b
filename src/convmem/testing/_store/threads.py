"""One thread writes, others read: they see whole batches, in order, and never an error."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

from convmem.protocols import FindRequest, NodesRequest, SessionsRequest, TurnsRequest, Write
from convmem.testing._store.base import ALICE, BOB, StoreTests, add, check, line, same, turns

if TYPE_CHECKING:
    from convmem.protocols import NewTurn, Store

__all__ = ["Threads"]


class Threads(StoreTests):
    """Reading while another thread writes.

    Attributes:
        writes: how many batches are written meanwhile.
        readers: how many threads read meanwhile.
    """

    writes: ClassVar[int] = 80
    readers: ClassVar[int] = 3

    def test_reading_while_writing(self) -> None:
        """No reader sees half a batch, a hole, or fewer turns than before."""
        pairs = list(zip(*[iter(line(*range(2 * self.writes)))] * 2, strict=True))
        with self.opened() as store, ThreadPoolExecutor(self.readers + 1) as pool:
            done = threading.Event()
            reading = [pool.submit(_read, store, pairs[0][0], done) for _ in range(self.readers)]
            try:
                for a, b in pairs:
                    store.write([Write(ref=ref, turns=(a, b)) for ref in (ALICE, BOB)])
                    generation = store.nodes(NodesRequest(ALICE)).generation
                    state = add(store, ALICE, states=[(a.identity, "partial")], expect=generation)
                    check(state.ids is not None, "the generation moved while nobody else wrote")
            finally:
                done.set()
            for reader in reading:
                check(reader.result(60) > 0, "a reader never came to read")
            same(len(store.turns(TurnsRequest(limit=10_000))), 4 * self.writes, "turns in the end")

    def test_written_in_one_thread_and_read_in_another(self) -> None:
        """What `write` returned is seen by whoever reads next."""
        with self.opened() as store, ThreadPoolExecutor(1) as pool:
            last: NewTurn | None = None
            for n in range(20):
                (last,) = line(n, after=last)
                add(store, ALICE, last)
                found = pool.submit(turns, store, ALICE).result(60)
                same(len(found), n + 1, "turns that another thread sees")
                add(store, ALICE, states=[(last.identity, "partial")])
                found = pool.submit(turns, store, ALICE).result(60)
                same(found[-1].state, "partial", "the state that another thread sees")


def _read(store: Store, first: NewTurn, done: threading.Event) -> int:
    """Read until the writer is done; returns how often."""
    rounds = seen = 0
    while not done.is_set() or rounds == 0:
        counts = {session.user: session.turns for session in store.sessions(SessionsRequest())}
        same(counts.get("alice"), counts.get("bob"), "turns of two sessions that are written together")
        found = store.turns(TurnsRequest(ref=ALICE, limit=10_000))
        same([turn.payload["content"] for turn in found], list(range(len(found))), "what a reader sees")
        check(len(found) % 2 == 0, f"a reader sees half of a write: {len(found)} turns")
        check(len(found) >= seen, f"a reader sees {len(found)} turns after {seen}")
        seen = len(found)
        stats = store.stats()
        same(stats.turns % 4, 0, "turns beyond whole batches, as counted")
        if seen:
            same(set(store.find(FindRequest("alice", (first.identity,)))), {ALICE}, "sessions found")
        rounds += 1
    return rounds
