"""Memory in trouble: the call goes out with what is at hand, the receipt says what was missing, and it heals.

Whatever is slow here waits at a gate that opens after the call has ended, so a call that waited for it would
never end. No machine is too slow for these tests: a deadline passes when somebody stands at the gate.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import UTC

import pytest

import convmem
from convmem import exchange, recaller, window
from convmem.abilities import NewView
from convmem.composition import Composition
from convmem.compress.extractive import Extractive
from convmem.errors import StoreUnavailableError
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing import Reply, ToolCall
from convmem.testing.fakes import FakeEmbedder

FACT = {"role": "user", "content": "My locker code at the pool is 7719."}
ASKED = {"role": "user", "content": "what is my locker code?"}
ROOMY = WindowPolicy("roomy", high=4_000, low=1_000, summary=100, recall=500)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


class Gate:
    """Lets through, or keeps waiting, or raises; `reached` is done when somebody waits."""

    def __init__(self):
        self._open = threading.Event()
        self._open.set()
        self.reached = Future()
        self.error = None

    def shut(self):
        self._open.clear()

    def open(self):
        self._open.set()

    def __call__(self):
        if not self._open.is_set() and not self.reached.done():
            self.reached.set_result(None)
        assert self._open.wait(120), "nobody opened the gate"
        if self.error is not None:
            raise self.error


class GatedStore(InMemoryStore):
    """A store with a gate in front of its writes, its epochs and its views."""

    def __init__(self):
        super().__init__()
        self.writes, self.epochs, self.read = Gate(), Gate(), Gate()

    def write(self, batch):
        self.writes()
        return super().write(batch)

    def epoch(self, which):
        self.epochs()
        return super().epoch(which)

    def views(self, request):
        self.read()
        return super().views(request)


class GatedEmbedder(FakeEmbedder):
    """An embedder with a gate in front of questions, and one in front of turns."""

    def __init__(self):
        super().__init__()
        self.questions, self.passages = Gate(), Gate()

    def embed(self, texts, kind):
        (self.questions if kind == "query" else self.passages)()
        return super().embed(texts, kind)


class GatedCompressor:
    """A compressor behind a gate."""

    def __init__(self):
        self.gate = Gate()
        self.asked = 0

    def compress(self, request):
        self.asked += 1
        self.gate()
        return Extractive().compress(request)


class World:
    """A memory that knows a fact, and a client of another session."""

    def __init__(self, bare, provider, store, **options):
        self.provider = provider
        self.embedder = GatedEmbedder()
        self.events = []
        self.memory = convmem.Memory(
            store,
            **{"embedder": self.embedder, "policy": ROOMY, "tz": UTC, "deadline_ms": 60_000, **options},
            hooks=[lambda event: self.events.append((event.kind, event.detail))],
        )
        self.memory.record([FACT], user="alice", session="before")
        self.memory.flush()
        self.client = self.memory.wrap(bare, user="alice", session="now")

    def ask(self, *messages, **options):
        reply = self.client.chat.completions.create(model="gpt-4o", messages=list(messages), **options)
        return self.provider.requests[-1].messages, self.memory.receipt_for(reply)

    def told(self, kind, words):
        return sum(k == kind and words in detail for k, detail in self.events)


@pytest.fixture
def open_world(bare, provider):
    opened = []

    def make(store, **options):
        opened.append(World(bare, provider, store, **options))
        return opened[-1]

    yield make
    for world in opened:
        world.embedder.questions.open()
        world.memory.close()


@pytest.fixture
def store():
    store = GatedStore()
    yield store
    for gate in (store.writes, store.epochs, store.read):
        gate.open()


@pytest.fixture
def late_at(monkeypatch):
    """The deadline passes when somebody stands at this gate."""

    def make(gate):
        inner = exchange.outcome

        def outcome(future, seconds, deadline_s):
            if gate.reached.done():
                return inner(future, seconds, deadline_s)
            wait((future, gate.reached), return_when=FIRST_COMPLETED)
            return exchange._said(future, deadline_s)

        monkeypatch.setattr(exchange, "outcome", outcome)
        gate.shut()
        return monkeypatch

    return make


def quotes(messages):
    return "<memory>" in str(messages)


def test_a_dead_embedder_leaves_words(open_world):
    world = open_world(InMemoryStore())
    world.embedder.fail = True
    for n in range(3):
        sent, receipt = world.ask({"role": "user", "content": f"what is my locker code? {n}"})
        assert "7719" in str(sent[-1]), "recalled by words alone"
        assert receipt.journaled
        assert any("the embedder failed" in note for note in receipt.notes)
    assert world.told("degraded", "the embedder failed") == 1
    world.embedder.fail = False
    _, receipt = world.ask({"role": "user", "content": "and the locker code of the pool?"})
    assert not receipt.notes
    assert world.told("healed", "questions are embedded again") == 1
    world.memory.flush()
    assert world.memory.stats().turns == 1 + 2 * 4


def test_a_slow_embedder_is_not_waited_for(open_world, monkeypatch):
    monkeypatch.setattr(recaller, "_SLOW_PAUSE_S", 1e9)
    world = open_world(InMemoryStore())
    world.memory._engine.embed_s = 0.05
    world.embedder.questions.shut()
    _, receipt = world.ask(ASKED)
    assert receipt.journaled
    late = "the question was not embedded in its part of 60000 ms: recalled by words alone"
    assert late in receipt.notes
    _, receipt = world.ask({"role": "user", "content": "and the locker code of the pool?"})
    assert "the embedder is slow: recalled by words alone" in receipt.notes
    assert world.told("degraded", "words alone") == 1
    world.embedder.questions.open()
    world.memory._engine.recaller._slow_until = 0.0  # as after the pause
    world.memory._engine.embed_s = 60.0
    sent, receipt = world.ask({"role": "user", "content": "tell me the locker code again"})
    assert not receipt.notes
    assert quotes(sent)
    assert world.told("healed", "questions are embedded again") == 1
    assert world.memory.stats().turns == 1 + 2 * 3


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_just_said_is_found_while_the_embedder_is_busy(open_world, kind, tmp_path):
    world = open_world(InMemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "chat.db"))
    memory = world.memory
    world.embedder.passages.shut()
    memory.record([{"role": "user", "content": "The boiler shows E119."}], user="alice", session="one")
    world.embedder.passages.reached.result(60)
    memory.record([{"role": "user", "content": "My bicycle is in shed 14."}], user="alice", session="two")
    assert memory.recall("which shed?", user="alice", top_k=1)[0].turn.text == "My bicycle is in shed 14."
    assert not memory.reindex(timeout=0.01), "its vector is not made yet"
    world.embedder.passages.open()
    memory.flush(60)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_damaged_views_are_made_again(open_world, kind, tmp_path):
    store = InMemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "chat.db")
    world = open_world(store)
    (turn,) = world.memory.turns(user="alice", session="before")
    store.put_views([NewView(seq=turn.seq, entry=b"nothing of ours")])
    sent, receipt = world.ask(ASKED)
    assert not quotes(sent)
    assert receipt.journaled
    assert receipt.notes == (
        "the views of 1 of the turns are damaged: they are not recalled until made again",
    )
    world.memory.flush()
    sent, receipt = world.ask({"role": "user", "content": "so what is my locker code?"})
    assert "7719" in str(sent[-1])
    assert not receipt.notes
    assert [t.payload for t in world.memory.turns(user="alice", session="before")] == [FACT]
    world.memory.close()
    store.close()


def test_recall_that_is_late_leaves_the_window(open_world, store, late_at):
    world = open_world(store, embedder="none")
    world.ask({"role": "user", "content": "hello there"})
    world.memory.flush()
    waiting = late_at(store.read)
    sent, receipt = world.ask(ASKED)
    assert [m["content"] for m in sent] == ["hello there", "echo: hello there", ASKED["content"]]
    assert (receipt.restored, receipt.recalled, receipt.journaled) == (2, (), True)
    assert "recall was not ready within 60000 ms: the call goes without it" in receipt.notes
    store.read.open()
    waiting.undo()
    sent, receipt = world.ask({"role": "user", "content": "so what is my locker code?"})
    assert "7719" in str(sent[-1])
    assert not receipt.notes
    assert len(world.memory.turns(user="alice", session="now")) == 6


def test_a_round_goes_on_as_it_began_when_recall_was_late(open_world, store, late_at):
    world = open_world(store, embedder="none")
    world.memory.flush()
    waiting = late_at(store.read)
    world.provider.script(Reply(tool_calls=[ToolCall("f", {}, id="c1")]))
    first, _ = world.ask(ASKED, tools=TOOLS)
    store.read.open()
    waiting.undo()
    again, receipt = world.ask({"role": "tool", "tool_call_id": "c1", "content": "done"}, tools=TOOLS)
    assert again[: len(first)] == first
    assert not quotes(again)
    assert not receipt.recalled
    sent, _ = world.ask({"role": "user", "content": "so what is my locker code?"})
    assert "7719" in str(sent[-1])


def test_recall_that_fails_leaves_the_window(open_world, store):
    world = open_world(store)
    world.ask({"role": "user", "content": "hello there"})
    store.read.error = StoreUnavailableError("the partition cannot be read")
    sent, receipt = world.ask(ASKED)
    assert len(sent) == 3
    assert sent[-1] == ASKED
    assert any("recall failed" in note and "cannot be read" in note for note in receipt.notes)
    store.read.error = None
    sent, receipt = world.ask({"role": "user", "content": "so what is my locker code?"})
    assert "7719" in str(sent[-1])


def test_a_window_that_is_late_leaves_the_call_as_it_was_made(open_world, store, late_at):
    world = open_world(store, embedder="none")
    world.ask({"role": "user", "content": "hello there"})
    waiting = late_at(store.epochs)
    sent, receipt = world.ask(ASKED)
    assert sent == [ASKED]
    assert receipt.journaled
    assert "the call goes out as it was made: not ready within 60000 ms" in receipt.notes
    assert (receipt.tokens.new, receipt.restored) == (receipt.tokens.total, 0)
    assert receipt.tokens.new > 4
    assert world.told("degraded", "goes out as it was made") == 1
    store.epochs.open()
    waiting.undo()
    sent, receipt = world.ask({"role": "user", "content": "and now?"})
    assert len(sent) == 5


def test_a_request_that_cannot_be_put_together_goes_out_as_it_was_made(open_world, monkeypatch):
    world = open_world(InMemoryStore())
    world.ask({"role": "user", "content": "hello there"})

    def fails(*_):
        raise ValueError("a defect of ours")

    monkeypatch.setattr(Composition, "_assembled", fails)
    sent, receipt = world.ask(ASKED)
    assert sent == [ASKED]
    assert receipt.journaled
    assert receipt.notes == ("the call goes out as it was made: a defect of ours",)
    monkeypatch.undo()
    sent, receipt = world.ask({"role": "user", "content": "and now?"})
    assert len(sent) == 5
    assert not receipt.notes


def test_a_cut_whose_summary_is_late_is_made_up_for(open_world, monkeypatch):
    compressor = GatedCompressor()
    policy = WindowPolicy("small", high=120, low=40, summary=60, recall=0)
    world = open_world(InMemoryStore(), policy=policy, compressor=compressor)
    compressor.gate.shut()
    monkeypatch.setattr(window, "_CUT_SHARE", 0)
    try:
        receipts = [world.ask({"role": "user", "content": f"note {n} on bridges"})[1] for n in range(9)]
        wait((compressor.gate.reached,))
    finally:
        compressor.gate.open()
    monkeypatch.undo()
    late = [r for r in receipts if any("is not ready yet" in note for note in r.notes)]
    assert late
    assert compressor.asked == 1, "it is not asked again while it is at work"
    assert not any(r.cut or r.dropped for r in receipts)
    assert receipts[-1].restored == 16, "uncut until then, and nothing is missing"
    for n in range(3):
        sent, receipt = world.ask({"role": "user", "content": f"more {n} on bridges"})
    assert "<summary>" in str(sent[0])
    assert not receipt.notes


def test_a_summary_made_while_something_is_forgotten_is_dropped(open_world, monkeypatch):
    compressor = GatedCompressor()
    policy = WindowPolicy("small", high=120, low=40, summary=60, recall=0)
    world = open_world(InMemoryStore(), policy=policy, compressor=compressor)
    compressor.gate.shut()
    monkeypatch.setattr(window, "_CUT_SHARE", 0)
    for n in range(7):
        world.ask({"role": "user", "content": f"the code word {n} is Xanthippe"})
    wait((compressor.gate.reached,))
    monkeypatch.undo()
    world.memory.forget(user="alice", text="xanthippe")
    compressor.gate.open()
    for n in range(9):
        sent, _ = world.ask({"role": "user", "content": f"bridge {n} of Kaliningrad is closed"})
        assert "Xanthippe" not in str(sent)


def test_all_waiting_together_stays_within_the_deadline(open_world, store, monkeypatch):
    world = open_world(store, deadline_ms=300)
    asked = []
    inner = exchange.outcome

    def noted(future, seconds, deadline_s):
        asked.append(seconds)
        return inner(future, seconds, deadline_s)

    monkeypatch.setattr(exchange, "outcome", noted)
    store.writes.shut()
    _, receipt = world.ask(ASKED)
    before, after = asked
    assert before <= 0.25
    assert after == pytest.approx(0.05), "before it, all that may be had been used up"
    assert not receipt.journaled
    assert receipt.notes == (
        "the call goes out unjournaled: not ready within 300 ms",
        "the reply is not journaled: not ready within 300 ms",
    )
    assert receipt.tokens.total == receipt.tokens.new > 4, "what was sent counts, composed or not"
    store.writes.open()
    world.memory.flush()
    assert world.memory.turns(user="alice", session="now")[0].payload == ASKED
