"""Threads, processes and forks on one file: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import sqlite3

import pytest
from tests.stores.processes import finish, run, running, start

from convmem.journal.tree import Tree
from convmem.protocols import SessionsRequest, TurnsRequest
from convmem.stores.sqlite import SQLiteStore
from convmem.testing._store.base import ALICE, add, nodes, said

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def sound(path):
    """The file's sessions and how many turns each has; the file is in order."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
    store = SQLiteStore(path)
    found = {session.name: session.turns for session in store.sessions(SessionsRequest())}
    store.close()
    return found


@needs_fork
def test_eight_processes_open_a_new_file_at_once(tmp_path):
    keys = run(
        """
        def work(n):
            os.read(reader, 1)
            store = SQLiteStore(path, busy_ms=10_000)
            add(store, SessionRef("u", str(n)), *line(*range(5)))
            tell(store.key.hex())
            store.close()

        reader, writer = os.pipe()
        children = [child(work, n) for n in range(8)]
        os.write(writer, b"x" * 8)
        wait(*children)
        """,
        tmp_path / "a.db",
    ).split()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    store = SQLiteStore(tmp_path / "a.db")
    assert sorted((s.name, s.turns) for s in store.sessions(SessionsRequest())) == [
        (str(n), 5) for n in range(8)
    ]
    store.close()


# Each writer appends to the end that it sees, and tries again when another was first. Each turn is written a
# second time, as one does who did not hear whether the first time worked.
WRITER = """
def append(store, who, count):
    since, tail = 0, None
    for n in range(count):
        while True:
            reply = store.nodes(NodesRequest(ALICE, since))
            if reply.nodes:
                tail = reply.nodes[-1].identity
            since = reply.generation
            turn = said(f"{who} {n}") if tail is None else said(f"{who} {n}", after=End(tail))
            try:
                written = add(store, ALICE, turn, expect=since)
                if written.ids is None:
                    continue
                while True:
                    try:
                        assert add(store, ALICE, turn).ids == written.ids
                        break
                    except StoreLockedError:
                        pass
                break
            except StoreLockedError:
                pass

class End:
    def __init__(self, identity):
        self.identity = identity

store = SQLiteStore(path, busy_ms=int(rest[2]))
threads = [threading.Thread(target=append, args=(store, f"{rest[0]} {t}", 25)) for t in range(int(rest[1]))]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
store.close()
"""


@pytest.mark.parametrize("busy_ms", [1, 250])
def test_many_writers_of_one_session(tmp_path, busy_ms):
    """Four threads of one process and one of each of two others."""
    path = tmp_path / "a.db"
    processes = [
        start(WRITER, path, who, threads, busy_ms) for who, threads in (("a", 4), ("b", 1), ("c", 1))
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        finish(process)
    assert sound(path) == {"kyoto": 150}
    store = SQLiteStore(path)
    found = store.turns(TurnsRequest(ref=ALICE))
    assert len({turn.text for turn in found}) == 150
    for who in ("a 0", "a 1", "a 2", "a 3", "b 0", "c 0"):
        own = [turn.text for turn in found if turn.text.startswith(who)]
        assert own == [f"{who} {n}" for n in range(25)]
    # Each continued what was there: one chain, without branches.
    tree = Tree(nodes(store, ALICE))
    assert [node.seq for node in tree.path(tree.head().identity)] == [turn.seq for turn in found]
    store.close()


@needs_fork
def test_a_child_goes_on_when_its_parent_has_closed(tmp_path):
    """The parent's leaving, and a third process that comes, do not take the child's log away."""
    path = tmp_path / "a.db"
    with running(
        """
        def work():
            add(store, SessionRef("u", "child"), said("first"))
            os.read(reader, 1)
            for n in range(20):
                add(store, SessionRef("u", "child"), said(n))
            print(store.stats().turns)
            store.close()

        store = SQLiteStore(path)
        add(store, SessionRef("u", "parent"), said("a"))
        reader, writer = os.pipe()
        pid = child(work)
        while store.stats().turns < 2:
            time.sleep(0.01)
        store.close()
        print("closed", flush=True)
        sys.stdin.readline()
        os.write(writer, b"x")
        wait(pid)
        """,
        path,
    ):
        third = SQLiteStore(path)
        third.close()
        third = SQLiteStore(path)
    assert sound(path) == {"parent": 1, "child": 21}
    assert len(third.turns(TurnsRequest())) == 22
    third.close()


@needs_fork
def test_forking_while_threads_write_and_read(tmp_path):
    """Neither side hangs, fails or loses a turn; the key stays the same."""
    path = tmp_path / "a.db"
    told = run(
        """
        def many(name, count):
            ref = SessionRef("u", name)
            done = 0
            while done < count:
                try:
                    add(store, ref, said(done))
                    done += 1
                except StoreLockedError:
                    pass
                store.turns(TurnsRequest(ref=ref, limit=5))
            tell(store.key.hex())

        store = SQLiteStore(path)
        threads = [threading.Thread(target=many, args=(f"thread {n}", 60)) for n in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for n in range(5):
            children.append(child(many, f"child {n}", 20))
            many(f"parent {n}", 5)
        for thread in threads:
            thread.join()
        wait(*children)
        store.close()
        """,
        path,
    )
    assert len(set(told.split())) == 1
    expected = {f"thread {n}": 60 for n in range(3)}
    expected |= {f"child {n}": 20 for n in range(5)} | {f"parent {n}": 5 for n in range(5)}
    assert sound(path) == expected


@needs_fork
def test_a_daemon_that_leaves_its_folder(tmp_path):
    """A relative path means what it meant when the store was opened."""
    (tmp_path / "elsewhere").mkdir()
    run(
        """
        os.chdir(path)
        store = SQLiteStore("a.db")

        def work():
            os.chdir("elsewhere")
            add(store, SessionRef("u", "child"), said("a"))
            store.close()

        wait(child(work))
        add(store, SessionRef("u", "parent"), said("a"))
        store.close()
        """,
        tmp_path,
    )
    assert sound(tmp_path / "a.db") == {"child": 1, "parent": 1}
    assert not list((tmp_path / "elsewhere").iterdir())


@needs_fork
def test_a_child_of_a_child_and_a_closed_store(tmp_path):
    path = tmp_path / "a.db"
    told = run(
        """
        def grandchild():
            add(store, SessionRef("u", "grandchild"), said("a"))
            try:
                closed.stats()
            except StoreError as error:
                print(error)

        def work():
            wait(child(grandchild))
            add(store, SessionRef("u", "child"), said("a"))

        closed, store = SQLiteStore(path), SQLiteStore(path)
        closed.close()
        wait(child(work))
        store.close()
        """,
        path,
    )
    assert "this store is closed" in told
    assert sound(path) == {"grandchild": 1, "child": 1}


def test_killed_while_writing(tmp_path):
    """What was acknowledged before kill -9 is there, and the file is in order."""
    path = tmp_path / "a.db"
    process = start(
        """
        store = SQLiteStore(path)
        n = 0
        while True:
            add(store, ALICE, said(n))
            print(n, flush=True)
            n += 1
        """,
        path,
    )
    for _ in range(30):
        process.stdout.readline()
    process.kill()
    rest, _ = process.communicate(timeout=60)
    assert sound(path)["kyoto"] >= 30 + len(rest.splitlines())


def test_opening_it_again_keeps_the_locks_of_the_first(tmp_path):
    """A file that is opened and closed beside SQLite takes this process's locks along.

    Then another process that closes the database takes itself for the last and removes the log, and what is
    committed to that is lost.
    """
    path = tmp_path / "a.db"
    first = SQLiteStore(path)
    add(first, ALICE, said("one"))
    second = SQLiteStore(path)
    look = "store = SQLiteStore(path); print([t.text for t in store.turns(TurnsRequest())]); store.close()"
    assert run(look, path) == "['one']"
    add(first, ALICE, said("two"))
    assert run(look, path) == "['one', 'two']"
    second.close()
    run(look, path)
    add(first, ALICE, said("three"))
    first.close()
    assert run(look, path) == "['one', 'two', 'three']"
