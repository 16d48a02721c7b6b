"""Looking for turns without a view comes to an end, however much other processes write meanwhile."""

from __future__ import annotations

from dataclasses import replace

import convmem
from convmem.protocols import Write
from convmem.stores.sqlite import SQLiteStore
from convmem.testing._store.base import ALICE, said


class Busy(SQLiteStore):
    """A store to which somebody else has written whenever turns without a view are looked for."""

    def __init__(self, path):
        super().__init__(path)
        self.other = SQLiteStore(path)
        self.written = 0

    def unindexed(self, request):
        if self.written < 10_000:
            self.written += 1
            turn = replace(said(f"remark {self.written}"), saying=self.written)
            self.other.write([Write(ref=ALICE, turns=(turn,))])
        return super().unindexed(request)


def test_flush_does_not_wait_for_what_others_go_on_writing(tmp_path):
    store = Busy(tmp_path / "chat.db")
    with convmem.Memory(store, embedder=None) as memory:
        memory.flush()
        assert 0 < store.written < 100
    store.other.close()
    store.close()
