"""Several connections read one file: none waits for another, and none outlives a fork or the store."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from convmem.errors import StoreError
from convmem.protocols import TurnsRequest
from convmem.stores.sqlite import SQLiteStore, connections
from convmem.testing._store.base import ALICE, add, said
from convmem.threads.living import Living

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


@pytest.fixture
def store(tmp_path):
    store = SQLiteStore(tmp_path / "a.db")
    add(store, ALICE, said("a"))
    yield store
    store.close()


class Reading:
    """A thread that is in the midst of reading."""

    def __init__(self, store):
        self._db, self._inside, self._leave = store._db, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self):
        with self._db.reading() as db:
            db.execute("SELECT count(*) FROM turns").fetchone()
            self._inside.set()
            self._leave.wait()

    def __enter__(self):
        self._thread.start()
        self._inside.wait()
        return self

    def __exit__(self, *error):
        self.leave()
        self._thread.join()

    def leave(self):
        self._leave.set()


def in_thread(work):
    """What a thread of its own gets; the first error it raised is raised here."""
    got = []

    def run():
        try:
            got.append((work(), None))
        except BaseException as error:  # noqa: BLE001 (raised by whoever asks)
            got.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert got, "it waits"
    value, error = got[0]
    if error is not None:
        raise error
    return value


def test_readers_do_not_wait_for_each_other(store):
    with Reading(store), Reading(store), Reading(store):
        assert len(in_thread(lambda: store.turns(TurnsRequest()))) == 1


def test_a_reader_sees_one_state_while_others_write_and_read(store):
    with store._db.reading() as db:
        before = db.execute("SELECT count(*) FROM turns").fetchone()
        in_thread(lambda: add(store, ALICE, said("b")))
        assert len(in_thread(lambda: store.turns(TurnsRequest()))) == 2
        assert db.execute("SELECT count(*) FROM turns").fetchone() == before == (1,)


def test_the_thread_that_writes_waits_for_no_reader(store):
    with Reading(store), Reading(store), Reading(store), Reading(store):

        def write_and_read():
            add(store, ALICE, said("b"))
            return len(store.turns(TurnsRequest()))

        assert in_thread(write_and_read) == 2


def test_who_finds_all_readers_lent_waits_for_one(store):
    readings = [Reading(store) for _ in range(connections._READERS)]
    for reading in readings:
        reading.__enter__()
    got = []
    thread = threading.Thread(target=lambda: got.append(len(store.turns(TurnsRequest()))))
    thread.start()
    assert not got
    readings[0].leave()
    thread.join(60)
    assert got == [1]
    for reading in readings:
        reading.__exit__()


def test_nothing_is_changed_through_a_reader(store):
    with pytest.raises(StoreError, match="cannot be written"), store._db.reading() as db:
        db.execute("DELETE FROM turns")
    assert len(store.turns(TurnsRequest())) == 1


def test_closing_waits_for_readers_and_closes_all(store, monkeypatch):
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: (opened.append(connect(*a, **k)), opened[-1])[1])
    with Reading(store), Reading(store) as last:
        closing = threading.Thread(target=store.close)
        closing.start()
        while not store._db.readers._closed:
            pass
        with pytest.raises(StoreError, match="this store is closed"):
            in_thread(store.stats)
        assert closing.is_alive()
        last.leave()
    closing.join(60)
    assert opened, "a second reader was opened for the second thread"
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_process_without_descriptors_reads_with_the_one_it_has(store, monkeypatch):
    def none_left(*args, **kwargs):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(sqlite3, "connect", none_left)
    got = []
    with Reading(store) as reading:
        thread = threading.Thread(target=lambda: got.append(len(store.turns(TurnsRequest()))))
        thread.start()
        assert not got
        reading.leave()
        thread.join(60)
    assert got == [1]
    assert not store.check().problems


def test_many_stores_do_not_take_all_descriptors(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "_MORE_READERS", 2)
    monkeypatch.setattr(connections, "_ALL", Living())  # other tests may have left stores that count too
    stores = [SQLiteStore(tmp_path / f"{n}.db") for n in range(3)]
    for store in stores:
        with Reading(store):
            pass
    with Reading(stores[0]) as first, Reading(stores[1]) as second:
        for store in stores[:2]:
            assert not in_thread(lambda store=store: store.turns(TurnsRequest()))
        with Reading(stores[2]) as third:
            thread = threading.Thread(target=stores[2].stats)
            thread.start()
            third.leave()
            thread.join(60)
            assert not thread.is_alive()
        first.leave()
        second.leave()
    assert connections._more_readers() <= 2
    for store in stores:
        store.close()


@needs_fork
def test_no_connection_crosses_a_fork_while_threads_read(store):
    at, begun = Path("/proc/self/fd"), threading.Event()
    if not at.is_dir():
        pytest.skip("needs /proc")
    ended = threading.Event()

    def read():
        while not ended.is_set():
            store.turns(TurnsRequest())
            begun.set()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    path, codes = store._path, []
    for _ in range(10):
        if (pid := os.fork()) == 0:
            open_here = [f for f in at.iterdir() if os.path.realpath(f).startswith(path)]
            os._exit(2 if open_here else len(store.turns(TurnsRequest())))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    ended.set()
    for thread in threads:
        thread.join()
    assert codes == [1] * 10


@needs_fork
def test_a_fork_interrupts_a_long_read_which_begins_again(store):
    begun, tries = threading.Event(), []

    def forever(db):
        tries.append(1)
        begun.set()
        if len(tries) > 1:
            return db.execute("SELECT count(*) FROM turns").fetchone()[0]
        counting = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        return db.execute(counting).fetchone()

    got = []
    thread = threading.Thread(target=lambda: got.append(store._db.apart(forever)))
    thread.start()
    begun.wait()
    if (pid := os.fork()) == 0:
        os._exit(len(store.turns(TurnsRequest())))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    thread.join(60)
    assert got == [1]
    assert len(tries) == 2


def test_closing_interrupts_a_long_read(store):
    begun, told = threading.Event(), []

    def read():
        counting = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

        def forever(db):
            begun.set()
            return db.execute(counting).fetchone()

        try:
            store._db.apart(forever)
        except StoreError as error:
            told.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait()
    store.close()
    thread.join(60)
    assert "this store is closed" in told[0]


def test_in_memory_one_connection_serves_all():
    store = SQLiteStore(":memory:")
    add(store, ALICE, said("a"))
    assert store._db.readers is None
    assert len(in_thread(lambda: store.turns(TurnsRequest()))) == 1
    assert not store.check().problems
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.stats()
