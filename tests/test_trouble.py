"""Memory in trouble: the call goes out with what is at hand, the receipt says what was missing, and it heals.

Whatever is slow here waits at a gate that opens after the call has ended, so a call that waited for it would
never end. No machine is too slow for these tests: a deadline passes when somebody stands at the gate.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager
from datetime import UTC

import pytest

import convmem
from convmem.abilities import NewView
from convmem.call import exchange, shared
from convmem.compress.extractive import Extractive
from convmem.context.compose import Composition
from convmem.errors import StoreUnavailableError
from convmem.policy import WindowPolicy
from convmem.stores.memory import InMemoryStore
from convmem.stores.sqlite import SQLiteStore
from convmem.testing import Reply, ToolCall
from convmem.testing.fakes import FakeEmbedder
from convmem.threads import waiting
from convmem.wrap import core

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
    """A store with a gate in front of its writes, its epochs and its views, which are read one by one."""

    call_reads = None

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

    def __init__(self, text=None):
        self.gate = Gate()
        self.asked = 0
        self.text = text
        self.previous = []

    def compress(self, request):
        self.asked += 1
        self.previous.append(request.previous)
        text = self.text
        self.gate()
        return text if text is not None else Extractive().compress(request)


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


@contextmanager
def impatient(world, clock):
    """Calls wait a moment by this clock: somebody stands at a gate, so that any time would be too short."""
    engine = world.memory._engine
    before = getattr(engine, clock)
    setattr(engine, clock, 0.05)
    try:
        yield
    finally:
        setattr(engine, clock, before)


def late_vectors(world, monkeypatch):
    """The deadline passes while a question is embedded, and for nothing else."""
    late, inner, embed_soon = [], waiting.outcome, world.memory._engine.recaller.embed_soon

    def noted(*args, **options):
        late.append(embed_soon(*args, **options))
        return late[-1]

    def outcome(future, seconds):
        return waiting._said(future, seconds) if future in late else inner(future, seconds)

    monkeypatch.setattr(world.memory._engine.recaller, "embed_soon", noted)
    monkeypatch.setattr(core, "outcome", outcome)  # where a wrapped call waits


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


def test_a_late_embedding_leaves_words(open_world, monkeypatch):
    world = open_world(InMemoryStore())
    late_vectors(world, monkeypatch)
    world.embedder.questions.shut()
    sent, receipt = world.ask(ASKED)
    assert receipt.journaled
    assert "7719" in str(sent[-1]), "what words find is quoted at once"
    assert receipt.notes == ("the question was not embedded within 60000 ms: recalled by words alone",)
    assert world.told("degraded", "words alone") == 1
    world.embedder.questions.open()
    monkeypatch.undo()
    for n in range(2):  # no pause after one late embedding
        _, receipt = world.ask({"role": "user", "content": f"tell me the locker code again, {n}"})
        assert not receipt.notes
    assert world.told("healed", "questions are embedded again") == 1
    assert world.memory.stats().turns == 1 + 2 * 3


def test_an_embedder_that_is_far_behind_is_asked_one_question_at_a_time(open_world):
    world = open_world(InMemoryStore())
    recall = world.memory._engine.recaller
    recall._pace_s = 1e6  # as if each question took for ever
    world.embedder.questions.shut()
    sent, receipt = world.ask(ASKED)
    assert "7719" in str(sent[-1])
    assert [note.partition(": ")[2] for note in receipt.notes] == ["recalled by words alone"]
    sent, receipt = world.ask({"role": "user", "content": "and the code of my locker at the pool?"})
    assert "7719" in str(sent[-1])
    assert receipt.notes == ("the embedder is slow: recalled by words alone",)
    world.embedder.questions.open()


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
    world.memory._engine.recaller.partitions.drop()  # as in a process that has not read it yet
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


def test_recall_that_is_late_leaves_the_window(open_world, store):
    world = open_world(store, embedder="none")
    world.ask({"role": "user", "content": "hello there"})
    world.memory.flush()
    store.read.shut()
    with impatient(world, "deadline_s"):
        sent, receipt = world.ask(ASKED)
    assert [m["content"] for m in sent] == ["hello there", "echo: hello there", ASKED["content"]]
    assert (receipt.restored, receipt.recalled, receipt.journaled) == (2, (), True)
    assert any("recall was not ready within" in note for note in receipt.notes)
    assert receipt.complete, "its own conversation is there"
    store.read.open()
    sent, receipt = world.ask({"role": "user", "content": "so what is my locker code?"})
    assert "7719" in str(sent[-1])
    assert not receipt.notes
    assert len(world.memory.turns(user="alice", session="now")) == 6


def test_a_round_goes_on_as_it_began_when_recall_was_late(open_world, store):
    world = open_world(store, embedder="none")
    world.memory.flush()
    store.read.shut()
    world.provider.script(Reply(tool_calls=[ToolCall("f", {}, id="c1")]))
    with impatient(world, "deadline_s"):
        first, _ = world.ask(ASKED, tools=TOOLS)
    store.read.open()
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


def test_a_window_that_cannot_be_read_leaves_the_call_as_it_was_made(open_world, store):
    world = open_world(store, embedder="none", deadline_ms=50)
    world.ask({"role": "user", "content": "hello there"})
    world.memory.flush()
    store.epochs.shut()
    with impatient(world, "store_timeout_s"):
        sent, receipt = world.ask(ASKED)
    assert sent == [ASKED]
    assert not receipt.complete
    assert any("the call goes out as it was made: not ready within" in note for note in receipt.notes)
    assert (receipt.tokens.new, receipt.restored) == (receipt.tokens.total, 0)
    assert receipt.tokens.new > 4
    assert world.told("degraded", "goes out as it was made") == 1
    store.epochs.open()
    world.memory.flush()
    sent, receipt = world.ask({"role": "user", "content": "and now?"})
    assert len(sent) == 5
    assert receipt.complete


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


def test_a_late_compressor_is_stood_in_for_and_used_at_the_next_cut(open_world, monkeypatch):
    compressor = GatedCompressor("the late one")
    policy = WindowPolicy("small", high=160, low=40, summary=80, recall=0)
    world = open_world(InMemoryStore(), policy=policy, compressor=compressor)
    compressor.gate.shut()
    monkeypatch.setattr(shared, "_COMPRESSOR_SHARE", 0)

    def until_cut(said):
        sent, receipt = world.ask({"role": "user", "content": f"note {len(said)} on bridge {len(said) + 31}"})
        said.append(sent)
        return sent if receipt.cut else until_cut(said)

    said = []
    try:
        sent = until_cut(said)
        wait((compressor.gate.reached,))
        assert "<summary>" in str(sent[0]), "sentences were extracted at once"
        assert any("was late" in note for note in world.memory.last_receipt().notes)
        after, receipt = world.ask({"role": "user", "content": "and the bridge of sighs?"})
        assert after[: len(sent) - 1] == sent[:-1], "the prefix stays"
        assert not receipt.notes, "a call waits for a cut once"
        assert compressor.asked == 1
    finally:
        compressor.gate.open()
    while not len(world.memory._engine.resources.cuts._late):  # what it wrote is on its way
        time.sleep(0.01)
    monkeypatch.undo()
    compressor.text = "the next one"
    while "the next one" not in str(sent := until_cut(said)):
        pass
    assert compressor.previous == ["", "the late one"], "the next cut goes on from what came late"
    assert "the late one" not in str(said)


def test_a_summary_made_while_something_is_forgotten_is_dropped(open_world, monkeypatch):
    compressor = GatedCompressor()
    policy = WindowPolicy("small", high=120, low=40, summary=60, recall=0)
    world = open_world(InMemoryStore(), policy=policy, compressor=compressor)
    compressor.gate.shut()
    monkeypatch.setattr(shared, "_COMPRESSOR_SHARE", 0)
    for n in range(7):
        world.ask({"role": "user", "content": f"the code word {n} is Xanthippe"})
    wait((compressor.gate.reached,))
    monkeypatch.undo()
    world.memory.forget(user="alice", text="xanthippe")
    compressor.gate.open()
    for n in range(9):
        sent, _ = world.ask({"role": "user", "content": f"bridge {n} of Kaliningrad is closed"})
        assert "Xanthippe" not in str(sent)


def test_a_stuck_writer_is_waited_for_once_and_the_conversation_is_read(open_world, store, monkeypatch):
    monkeypatch.setattr(exchange, "_GLANCE_S", 60.0)
    world = open_world(store)
    world.ask({"role": "user", "content": "hello there"})
    world.memory.flush()
    engine = world.memory._engine
    store.writes.shut()
    with impatient(world, "store_timeout_s"):
        sent, receipt = world.ask(ASKED)
    assert [m["content"] for m in sent][:2] == ["hello there", "echo: hello there"]
    assert "7719" in str(sent[-1]), "what is read needs no writer"
    assert receipt.complete
    assert not receipt.journaled
    assert [note.split(":")[0] for note in receipt.notes] == [
        "the call goes out unjournaled",
        "the reply is not journaled",
    ]
    assert engine.patience_s == 0.3 < engine.store_timeout_s, "the calls after it wait less"
    sent, receipt = world.ask({"role": "user", "content": "and now?"})
    assert not receipt.complete, "what was said last waits for the writer and is not there to be read"
    store.writes.open()
    world.memory.flush()
    assert engine.patience_s == engine.store_timeout_s
    assert [t.payload["content"] for t in world.memory.turns(user="alice", session="now")][2] == ASKED[
        "content"
    ]
