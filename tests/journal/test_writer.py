"""The writer thread: what it does first, what it keeps for later, and that nobody else changes the store."""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

import convmem
from convmem.abilities import LearntLimit, NewView
from convmem.errors import ClosedError, JournalError, StoreError, StoreLockedError, StoreUnavailableError
from convmem.hooks import DegradedEvent, HealedEvent
from convmem.journal.changes import LimitChange, ViewsChange, shares
from convmem.journal.job import Change, Job
from convmem.journal.writer import Journal
from convmem.policy import WindowPolicy
from convmem.protocols import NewTurn, SessionRef, TurnsRequest, Write
from convmem.stores.memory import InMemoryStore
from convmem.testing import Reply
from convmem.testing.fakes import FakeEmbedder
from convmem.wire.identity import ROOT, identity, meaning_digest

NOW = datetime(2026, 11, 29, tzinfo=UTC)
SMALL = WindowPolicy("small", high=300, low=100, summary=200, recall=100)
CHANGES = frozenset({"write", "forget", "put_views", "put_epoch", "put_pin", "drop_pin", "put_limit"})
READS = frozenset({"nodes", "turns", "find", "sessions", "views", "unindexed", "epoch", "pins", "response"})


class Watched(InMemoryStore):
    """Counts who calls what; can be shut, and told to fail."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()
        self.order = []
        self.fails = {}
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def changes_by(self, name):
        return {method for thread, method in self.seen if method in CHANGES and (thread == name)}


def _watched(method):
    inner = getattr(InMemoryStore, method)

    def call(self, *args, **options):
        caller = inspect.currentframe().f_back.f_code.co_filename
        if not caller.endswith("stores/memory.py"):  # the store's own use of itself is none
            self.seen[threading.current_thread().name, method] += 1
            self.order.append(method)
        if method in CHANGES:
            self.entered.set()
            assert self.gate.wait(120)
            if self.fails.get(method):
                raise self.fails[method].pop(0)
        return inner(self, *args, **options)

    return call


for name in CHANGES | READS:
    setattr(Watched, name, _watched(name))


class Line(Job):
    """One turn at the beginning of a session."""

    def __init__(self, store, text, user="alice", session="s", *, log=None):
        super().__init__()
        self.user = user
        self.log = log
        self.text = text
        self._ref = SessionRef(user, session)
        self._store = store

    @property
    def ref(self):
        return self._ref

    def plan(self, forest):
        generation, _ = forest.tree(self._ref)
        payload = {"role": "user", "content": self.text}
        meaning = meaning_digest(self._store.key, payload)
        turn = NewTurn(
            identity=identity(self._store.key, ROOT, meaning),
            parent=ROOT,
            meaning=meaning,
            payload=payload,
            state="answered",
            at=NOW,
        )
        return Write(ref=self._ref, expect=generation, turns=(turn,))

    def settle(self, written):
        if self.log is not None:
            self.log.append(self.text)
        return written.ids


class Mark(Change):
    """Writes its name into a log."""

    def __init__(self, name, log, user="alice", *, loose=False):
        super().__init__()
        self.user = user
        self.loose = loose
        self._name = name
        self._log = log

    def apply(self, _):
        self._log.append(self._name)
        return self._name


@pytest.fixture
def store():
    return Watched()


@pytest.fixture
def told():
    return []


@pytest.fixture
def journal(store, told):
    made = Journal(
        store,
        on_trouble=lambda detail: told.append(("trouble", detail)),
        on_healed=lambda n: told.append(("healed", n)),
    )
    yield made
    store.gate.set()
    made.close(60)


def shut(store, journal):
    """Keep the writer at a write, so that what comes next queues up behind it."""
    store.gate.clear()
    store.entered.clear()
    first = journal.submit(Line(store, "first", user="zoe"))
    assert store.entered.wait(60)
    return first


# Who changes the store.


def test_only_the_writer_thread_changes_the_store(store, provider, bare):
    with convmem.Memory(store, embedder=FakeEmbedder(), policy=SMALL, deadline_ms=5_000) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        pin = memory.pin("Answer in metric units.", user="alice")
        for n in range(8):
            provider.script(Reply("Fine."))
            said = [{"role": "user", "content": f"Round {n}: " + "words about the garden. " * 8}]
            client.chat.completions.create(model="m", messages=said)
        memory._engine.resources.lessons.limits.keep("host", "m", 4_000)
        memory.flush()
        memory.unpin(pin, user="alice")
        memory.record([{"role": "user", "content": "forget this"}], user="alice", session="t")
        memory.forget(user="alice", text="forget this")
    writers = {thread for thread, method in store.seen if method in CHANGES}
    assert writers == {"convmem-journal"}
    assert store.changes_by("convmem-journal") == CHANGES


def test_a_conversation_that_goes_on_reads_nothing_on_the_writer_thread(store, provider, bare):
    """Two writes a call: before the provider and after it."""
    with convmem.Memory(store, embedder="none", deadline_ms=5_000) as memory:
        client = memory.wrap(bare, user="alice", session="s")

        def ask(text):
            provider.script(Reply(f"You said: {text}"))
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])

        ask("hello")
        memory.flush()
        store.seen.clear()
        for n in range(5):
            ask(f"question {n}")
        on_writer = Counter({method: n for (thread, method), n in store.seen.items() if "journal" in thread})
        assert not {method: n for method, n in on_writer.items() if method in READS}
        assert on_writer["write"] == 10
        memory.flush()
        texts = [turn.text for turn in memory.turns(user="alice", session="s")]
        assert len(texts) == 12


@pytest.mark.parametrize("session", ["quoted", "s"])
def test_what_another_process_forgot_is_noticed_by_a_call_that_reads_nothing(
    session, tmp_path, provider, bare
):
    """The reply may repeat it, also where it was quoted from a session that the call does not touch."""
    path = tmp_path / "chat.db"
    with (
        convmem.Memory(path, embedder="none", deadline_ms=5_000) as memory,
        convmem.Memory(path, embedder="none") as other,
    ):
        memory.record(
            [{"role": "user", "content": "The vault in Porto has the code 4711"}],
            user="alice",
            session=session,
        )
        memory.flush()
        client = memory.wrap(bare, user="alice", session="s")
        asked = [{"role": "user", "content": "What is the code of the vault in Porto?"}]
        provider.script(Reply("It is 4711.", chunk_size=4))
        stream = client.chat.completions.create(model="m", stream=True, messages=asked)
        next(iter(stream))
        assert other.forget(user="alice", session=session, text="4711").turn_ids
        for _ in stream:
            pass
        assert not memory.receipt_for(stream).journaled
        assert not [turn for turn in other.turns(user="alice", branches=True) if "4711" in turn.text]
        provider.script(Reply("Fine."))
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "never mind"}])
        assert memory.last_receipt().journaled


def test_what_another_process_said_is_noticed_by_a_call_that_reads_nothing(tmp_path, provider, bare):
    path = tmp_path / "chat.db"
    with (
        convmem.Memory(path, embedder="none", deadline_ms=5_000) as one,
        convmem.Memory(path, embedder="none", deadline_ms=5_000) as other,
    ):
        clients = [memory.wrap(bare, user="alice", session="s") for memory in (one, other)]
        for n in range(10):
            provider.script(Reply(f"reply {n}"))
            said = [{"role": "user", "content": f"line {n}"}]
            clients[n % 2].chat.completions.create(model="m", messages=said)
        texts = [turn.text for turn in one.turns(user="alice", session="s")]
        assert texts == [text for n in range(10) for text in (f"line {n}", f"reply {n}")]


# What comes first.


def test_a_change_comes_after_what_was_submitted_before_it_and_before_the_rest(store, journal):
    log = []
    shut(store, journal)
    tasks = [
        Line(store, "before", session="a", log=log),
        Line(store, "before too", session="b", log=log),
        Mark("change", log),
        Line(store, "after", session="c", log=log),
        Line(store, "of another user", user="bob", log=log),
    ]
    outcomes = [journal.submit(task) for task in tasks]
    store.gate.set()
    for outcome in outcomes:
        outcome.result(60)
    assert log.index("change") > max(log.index("before"), log.index("before too"))
    assert log.index("after") > log.index("change")
    assert log.index("of another user") < log.index("after"), "who has nothing to do with it waits for nobody"


def test_a_call_waits_for_one_loose_change_at_most(store, journal):
    log = []
    first = shut(store, journal)
    loose = [journal.submit(Mark(f"loose {n}", log, loose=True)) for n in range(3)]
    call = journal.submit(Line(store, "call", log=log))
    store.gate.set()
    for outcome in (first, *loose, call):
        outcome.result(60)
    assert log == ["loose 0", "call", "loose 1", "loose 2"]


def test_a_flush_does_not_wait_for_loose_changes(store, journal):
    log, entered, go = [], threading.Event(), threading.Event()

    class Long(Mark):
        def apply(self, forest):
            entered.set()
            assert go.wait(120)
            return super().apply(forest)

    long = journal.submit(Long("long", log, loose=True))
    assert entered.wait(60)
    journal.flush(60)
    assert not log
    go.set()
    assert long.result(60) == "long"


def test_views_are_written_in_shares():
    views = [NewView(seq=n, entry=b"x" * 400) for n in range(200)]
    told = list(shares(views))
    assert [view for share in told for view in share] == views
    assert [len(share) for share in told] == [64, 64, 64, 8]
    huge = [NewView(seq=n, entry=b"x" * 200_000, vector=b"y" * 100_000) for n in range(3)]
    assert [len(share) for share in shares(huge)] == [1, 1, 1]
    assert not list(shares([]))


# What cannot be written now.


def test_a_change_that_fails_fails_alone(store, journal, told):
    store.fails["put_views"] = [StoreUnavailableError("no room"), StoreError("never")]
    for _ in range(2):
        with pytest.raises(StoreError):
            journal.submit(ViewsChange([NewView(seq=1, entry=b"x")])).result(60)
    assert journal.submit(Line(store, "said")).result(60)
    assert not journal.in_trouble
    assert not told


def flushed(journal_or_memory):
    """Wait until all is written, however often that is tried in vain."""
    for _ in range(6_000):
        try:
            journal_or_memory.flush(60)
        except JournalError:
            time.sleep(0.01)
        else:
            return True
    return False


def test_while_turns_wait_no_change_is_made(store, journal, told):
    log = []
    store.fails["write"] = [StoreUnavailableError("no room")] * 10_000
    with pytest.raises(StoreUnavailableError, match="no room"):
        journal.submit(Line(store, "said")).result(60)
    for loose in (True, False):
        with pytest.raises(StoreUnavailableError, match="no room"):
            journal.submit(Mark("change", log, loose=loose)).result(60)
    assert not log, "whoever waits for it is told at once instead"
    store.fails["write"].clear()
    assert flushed(journal)
    assert [kind for kind, _ in told] == ["trouble", "healed"]
    assert len(store.turns(TurnsRequest(ref=SessionRef("alice", "s")))) == 1


def test_a_change_does_not_wait_for_another_process_that_holds_the_store(store, journal):
    store.fails["write"] = [StoreLockedError("locked")] * 2
    call = journal.submit(Line(store, "said"))
    pin = Mark("pin", [])
    outcome = journal.submit(pin)
    assert call.result(60), "a call goes on waiting"
    assert outcome.exception(60) is None or isinstance(outcome.exception(), StoreLockedError)
    assert pin.finished


def test_a_learnt_limit_is_tried_again_when_the_store_has_taken_something(store, journal):
    limit = LearntLimit("host", "m", 4_000, NOW)
    store.fails["put_limit"] = [StoreLockedError("locked")]
    outcome = journal.submit(LimitChange(limit))
    journal.submit(Mark("behind it", [], loose=True)).result(60)
    assert not outcome.done()
    assert not store.limits()
    journal.submit(Line(store, "the reply")).result(60)
    assert outcome.result(60) is None
    assert list(store.limits()) == [limit]


def test_a_learnt_limit_has_its_last_chance_at_the_end(store, journal):
    store.fails["put_limit"] = [StoreLockedError("locked")]
    outcome = journal.submit(LimitChange(LearntLimit("host", "m", 4_000, NOW)))
    assert journal.close(60)
    assert outcome.result(0) is None
    assert store.limits()


def test_closing_resolves_all_that_was_submitted(store, journal):
    shut(store, journal)
    log = []
    outcomes = [journal.submit(Mark(str(n), log, loose=n % 2 == 0)) for n in range(6)]
    store.fails["put_limit"] = [StoreError("never")]
    lost = journal.submit(LimitChange(LearntLimit("host", "m", 1, NOW)))
    closing = threading.Thread(target=journal.close, args=(60,))
    closing.start()
    store.gate.set()
    closing.join()
    assert sorted(outcome.result(0) for outcome in outcomes) == [str(n) for n in range(6)]
    assert isinstance(lost.exception(0), StoreError)
    with pytest.raises(ClosedError):
        journal.submit(Mark("late", log, loose=True))


def test_turns_wait_in_order_and_are_told_of_once(store, provider, bare):
    events = []
    store.fails["write"] = [StoreUnavailableError("no room")] * 2
    with convmem.Memory(store, embedder="none", deadline_ms=5_000, hooks=[events.append]) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        for n in range(3):
            provider.script(Reply(f"reply {n}"))
            said = [{"role": "user", "content": f"line {n}"}]
            client.chat.completions.create(model="m", messages=said)
        assert flushed(memory)
        texts = [turn.text for turn in memory.turns(user="alice", session="s")]
    assert texts == [text for n in range(3) for text in (f"line {n}", f"reply {n}")]
    assert sum(isinstance(e, HealedEvent) for e in events) == 1
    assert sum(isinstance(e, DegradedEvent) and "cannot be written" in e.detail for e in events) == 1


def test_a_hook_on_the_writer_thread_may_pin(store, provider, bare):
    """It would wait for itself otherwise."""
    done = []

    def hook(event):
        if threading.current_thread().name == "convmem-journal":
            done.append(memory.pin("Answer in metric units.", user="alice"))

    store.fails["write"] = [StoreUnavailableError("no room")]
    with convmem.Memory(store, embedder="none", deadline_ms=5_000, hooks=[hook]) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        provider.script(Reply("Fine."))
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert flushed(memory)
        assert done
        assert [pin.text for pin in memory.pins(user="alice")] == ["Answer in metric units."]
