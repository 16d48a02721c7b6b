"""A Memory that nobody holds any more is closed: its threads end, its files are let go, its words written."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import pytest

import convmem
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.filterwarnings("ignore:unclosed Memory:ResourceWarning")

SAID = [{"role": "user", "content": "My boat is called Tern."}, {"role": "assistant", "content": "号角"}]


def gone(reference):
    """Wait until what nobody holds is collected; a thread may hold it for a moment."""
    for _ in range(500):
        gc.collect()
        if reference() is None:
            return True
        time.sleep(0.02)
    return False


def settled(condition):
    """Wait until something holds that threads bring about."""
    for _ in range(1_000):
        if condition():
            return True
        time.sleep(0.02)
    return False


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("convmem")]


def ask(client, text="hello"):
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])


def test_its_threads_end_and_its_files_are_let_go(tmp_path, bare):
    before = set(our_threads())
    for n in range(4):
        memory = convmem.Memory(tmp_path / f"{n}.db", embedder="none", deadline_ms=10_000)
        ask(memory.wrap(bare, user="ana", session="s"), f"call {n}")
        assert memory.last_receipt().journaled
        memory.recall("call", user="ana")
        held = weakref.ref(memory)
        del memory
        assert gone(held), "the context of its last call holds no Memory"
    assert settled(lambda: set(our_threads()) <= before)
    if (files := Path("/proc/self/fd")).is_dir():
        assert settled(lambda: not [f for f in files.iterdir() if str(tmp_path) in os.path.realpath(f)])
    for n in range(4):
        with convmem.Memory(tmp_path / f"{n}.db", embedder="none") as memory:
            texts = [turn.text for turn in memory.turns(user="ana", session="s")]
            assert texts == [f"call {n}", f"echo: call {n}"]


def test_dropping_it_is_told(tmp_path):
    memory = convmem.Memory(tmp_path / "a.db", embedder="none")
    held = weakref.ref(memory)
    with pytest.warns(ResourceWarning, match="unclosed Memory on SQLiteStore"):  # noqa: PT031 (it may take a collection)
        del memory
        assert gone(held)


def test_a_client_holds_it(tmp_path, bare):
    memory = convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=10_000)
    client = memory.wrap(bare, user="ana", session="s")
    held = weakref.ref(memory)
    del memory
    gc.collect()
    ask(client)
    assert held() is not None
    assert held().last_receipt().journaled
    del client
    assert gone(held)


def test_a_store_of_somebody_elses_stays_open(tmp_path):
    stores = [SQLiteStore(tmp_path / "a.db"), InMemoryStore()]
    for store in stores:
        memory = convmem.Memory(store, embedder="none")
        memory.record(SAID, user="ana", session="s")
        held = weakref.ref(memory)
        del memory
        assert gone(held)
        assert settled(lambda: not our_threads())
        assert store.stats().turns == 2
        store.close()


def test_a_new_memory_does_not_tell_the_receipts_of_one_that_is_gone(bare):
    for _ in range(20):  # some of them come to lie where another was
        memory = convmem.Memory(":memory:", embedder="none", deadline_ms=10_000)
        assert memory.last_receipt() is None
        ask(memory.wrap(bare, user="ana", session="s"))
        assert memory.last_receipt() is not None
        held = weakref.ref(memory)
        del memory
        assert gone(held)


def test_closed_by_hand_it_is_not_closed_again(tmp_path, monkeypatch):
    closed = []
    close = SQLiteStore.close
    monkeypatch.setattr(SQLiteStore, "close", lambda store: (closed.append(store._path), close(store)))
    memory = convmem.Memory(tmp_path / "a.db", embedder="none")
    memory.close()
    held = weakref.ref(memory)
    del memory
    assert gone(held)
    other = convmem.Memory(tmp_path / "b.db", embedder="none")
    held = weakref.ref(other)
    del other
    assert gone(held)
    assert settled(lambda: len(closed) == 2)
    assert [Path(path).name for path in closed] == ["a.db", "b.db"]


def run(script, *options):
    """A script in a process that shows what Python usually keeps to itself."""
    return subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-X", "dev", *options, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_memory_that_is_closed_or_open_at_the_end_is_nothing_to_warn_of(tmp_path):
    done = run(
        f"""
        import gc, convmem
        path = {str(tmp_path / "a.db")!r}
        with convmem.Memory(path, embedder="none") as memory:
            memory.record([{{"role": "user", "content": "closed"}}], user="ana", session="s")
        del memory
        gc.collect()
        left = convmem.Memory(path, embedder="none")
        left.record([{{"role": "user", "content": "left open"}}], user="ana", session="s")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        assert [turn.text for turn in memory.turns(user="ana", session="s")] == ["closed", "left open"]


def test_where_warnings_are_errors_it_is_written_all_the_same(tmp_path):
    done = run(
        f"""
        import gc, convmem
        memory = convmem.Memory({str(tmp_path / "a.db")!r}, embedder="none")
        memory.record([{{"role": "user", "content": "word"}}], user="ana", session="s")
        del memory
        gc.collect()
        """,
        "-W",
        "error",
    )
    assert done.returncode == 0
    assert "ResourceWarning" in done.stderr
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        assert [turn.text for turn in memory.turns(user="ana", session="s")] == ["word"]


@pytest.mark.parametrize("collected", ["gc.collect()", ""])
def test_what_was_said_is_written_also_when_the_process_ends_at_once(tmp_path, collected):
    script = f"""
        import gc, convmem
        for n in range(5):
            memory = convmem.Memory({str(tmp_path / "a.db")!r}, embedder="none")
            memory.record([{{"role": "user", "content": f"word {{n}}"}}], user="ana", session="s")
            del memory
            {collected}
    """
    done = run(script)
    assert done.returncode == 0
    told = [line for line in done.stderr.splitlines() if "ResourceWarning" in line]
    assert told
    assert all(f"unclosed Memory on SQLiteStore({str(tmp_path / 'a.db')!r})" in line for line in told)
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        assert [turn.text for turn in memory.turns(user="ana", session="s")] == [
            f"word {n}" for n in range(5)
        ]
