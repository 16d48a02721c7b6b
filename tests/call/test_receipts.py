"""Receipts that the store keeps: in any process, for any call, without words, gone with their turns."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import gc
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import openai
import pytest

import convmem
from convmem.errors import Note, noted
from convmem.stores.memory import InMemoryStore
from convmem.testing import Fault, LocalProvider, Reply

VALVE = "The spare boiler valve lies in crate 88."
CHINESE = "仓库钥匙在蓝色门后面。"


def say(client, text, **given):
    return client.chat.completions.create(
        model=given.pop("model", "m"), messages=[{"role": "user", "content": text}], **given
    )


def bare_of(receipt):
    """What is kept of a receipt that was handed out: no words, and not how long keeping it took."""
    ms = {step: round(n, 1) for step, n in receipt.ms.items() if step != "reply"}
    recalled = tuple(dataclasses.replace(r, text="", score=round(r.score, 4)) for r in receipt.recalled)
    return receipt.with_(ms=ms, recalled=recalled)


def everything(path):
    """All that a store's file says of receipts."""
    with closing(sqlite3.connect(path)) as db:
        tables = ("SELECT * FROM receipts", "SELECT * FROM receipt_turns")
        return str([db.execute(table).fetchall() for table in tables])


# In any process.


def run(script, *arguments):
    return subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_another_process_reads_the_same_receipt(client, memory, tmp_path):
    say(client, VALVE)
    say(client, CHINESE)
    own = memory.last_receipt()
    done = run(
        """
        import sys, convmem
        with convmem.Memory(sys.argv[1], embedder="none") as memory:
            for receipt in memory.receipts(user="alice", session="s"):
                print(receipt.call, receipt.state, receipt.restored, receipt.tokens.total, *receipt.turns)
        """,
        tmp_path / "chat.db",
    )
    assert done.returncode == 0, done.stderr
    newest, first = done.stdout.splitlines()
    assert newest.split() == [own.call, "answered", "2", str(own.tokens.total), *own.turns]
    assert first.split()[1:3] == ["answered", "0"]


def test_receipts_outlive_a_process_that_is_killed(provider, tmp_path):
    done = run(
        """
        import os, signal, sys, convmem, openai
        memory = convmem.Memory(sys.argv[1], embedder="none", deadline_ms=10_000)
        client = memory.wrap(openai.OpenAI(base_url=sys.argv[2], api_key="x"), user="alice", session="s")
        for text in ("one", "two"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
        print(memory.last_receipt().call, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "chat.db",
        provider.base_url,
    )
    with convmem.Memory(tmp_path / "chat.db", embedder="none") as memory:
        receipts = memory.receipts(user="alice")
        assert receipts[0].call == done.stdout.strip()
        assert [(r.state, r.journaled) for r in receipts] == [("answered", True)] * 2


def test_a_call_made_in_a_thread_with_a_context_of_its_own_is_found(client, memory):
    """As frameworks do: nothing of the call's context or response comes back to the caller."""
    thread = threading.Thread(target=contextvars.Context().run, args=(say, client, "from afar"))
    thread.start()
    thread.join()
    assert memory.last_receipt() is None
    (receipt,) = memory.receipts(user="alice", session="s", limit=1)
    assert receipt.turns == tuple(turn.id for turn in memory.turns(user="alice", session="s"))


def test_the_async_api_reads_receipts(provider, tmp_path):
    async def go():
        async with (
            convmem.AsyncMemory(tmp_path / "chat.db", embedder="none", deadline_ms=10_000) as memory,
            openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        ):
            client = memory.wrap(bare, user="alice", session="s")
            await say(client, "one")
            stream = await say(client, "two", stream=True)
            async for _ in stream:
                pass
            await client.responses.create(model="m", input="three")
            own = memory.last_receipt()
            receipts = await memory.receipts(user="alice", session="s")
            assert receipts[0] == bare_of(own)
            assert [r.state for r in receipts] == ["answered"] * 3
            assert [r.restored for r in receipts] == [4, 2, 0]
            assert await memory.receipts(user="alice", limit=1) == receipts[:1]

    asyncio.run(go())


# Of any call.


def test_a_kept_receipt_is_the_one_that_was_handed_out_without_words(provider, bare, tmp_path):
    with convmem.Memory(tmp_path / "chat.db", deadline_ms=10_000, embedder="none", policy="lean") as memory:
        say(memory.wrap(bare, user="alice", session="cellar"), VALVE, model="deepseek-chat")
        memory.reindex()
        client = memory.wrap(bare, user="alice", session="attic")
        say(client, "In which crate is the boiler valve?", model="deepseek-chat")
        own = memory.last_receipt()
        assert own.recalled, own
        assert own.recalled[0].text
        (kept, _) = memory.receipts(user="alice")
        assert kept == bare_of(own)
        assert kept.host == "127.0.0.1"
        assert kept.usage == own.usage
        assert kept.recalled[0].why
        assert kept.recalled[0].session == "cellar"
        assert kept.at == own.at
    assert "crate" not in everything(tmp_path / "chat.db")


def test_a_speakers_name_is_not_kept(bare, memory, tmp_path):
    memory.record([{"role": "user", "name": "Ottoline", "content": VALVE}], user="alice", session="cellar")
    memory.reindex()
    say(memory.wrap(bare, user="alice", session="attic"), "In which crate is the boiler valve?")
    assert memory.last_receipt().recalled[0].speaker == "Ottoline"
    assert memory.receipts(user="alice")[0].recalled[0].speaker == ""
    memory.flush()
    assert "Ottoline" not in everything(tmp_path / "chat.db")


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        (None, "answered"),
        (Fault.status(503), "failed"),
        (Fault.cut(Reply("half of it was said"), after_chunks=4), "partial"),
    ],
)
def test_streams_and_failures_have_receipts(client, memory, provider, ending, state):
    if ending is not None:
        provider.script(ending)
    with contextlib.suppress(Exception):  # each SDK has its own for a connection that ends
        for _ in say(client, "go on", stream=True):
            pass
    (receipt,) = memory.receipts(user="alice")
    assert receipt.state == state
    assert receipt == bare_of(memory.last_receipt())


def test_an_abandoned_stream_has_a_receipt(client, memory, provider):
    provider.script(Reply("word " * 40, chunk_size=5))
    stream = say(client, "tell me more", stream=True)
    call = memory.last_receipt().call
    next(iter(stream))
    del stream
    gc.collect()
    memory.flush()
    (receipt,) = memory.receipts(user="alice")
    assert receipt.call == call
    assert receipt.state in {"partial", "failed"}  # the first chunk may have no words


def test_a_background_response_has_one_receipt_that_its_retrieval_completes(client, memory, tmp_path):
    begun = client.responses.create(model="m", input="think it over", background=True)
    (pending,) = memory.receipts(user="alice")
    assert (pending.state, pending.usage) == ("pending", None)
    done = client.responses.retrieve(begun.id)
    while done.status != "completed":
        done = client.responses.retrieve(begun.id)
    (receipt,) = memory.receipts(user="alice")
    assert (receipt.call, receipt.state) == (pending.call, "answered")
    assert receipt.usage["total_tokens"] > 0
    assert receipt.turns == tuple(turn.id for turn in memory.turns(user="alice", session="s"))
    assert receipt.tokens == pending.tokens
    assert memory.receipt_for(done) == receipt
    assert memory.last_receipt() == receipt


def test_a_cost_that_is_known_only_later_is_worked_out(bare, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text(
        '[[price]]\nhost = "127.0.0.1"\nmodel = "mine"\nfrom = 2026-01-01\n'
        "input = 2.0\ncached = 0.2\noutput = 8.0\n"
    )
    with convmem.Memory(tmp_path / "x.db", embedder="none", deadline_ms=10_000, prices=prices) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        say(client, "hi", model="mine")
        assert memory.receipts()[0].cost == memory.last_receipt().cost
        begun = client.responses.create(model="mine", input="think it over", background=True)
        assert memory.receipts()[0].cost is None
        while client.responses.retrieve(begun.id).status != "completed":
            pass
        assert memory.receipts()[0].cost.total > 0


def test_the_store_in_memory_keeps_receipts_too(provider, bare):
    with convmem.Memory(InMemoryStore(), embedder="none", deadline_ms=10_000) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        say(client, "one")
        say(client, "two")
        receipts = memory.receipts(user="alice", session="s")
        assert receipts[0] == bare_of(memory.last_receipt())
        memory.forget(user="alice", turn_ids=receipts[0].turns)
        assert memory.receipts() == receipts[1:]


def test_read_and_off_leave_nothing_in_the_store(client, memory):
    for mode in ("read", "off"):
        with memory.scope(mode=mode):
            say(client, "hi")
        assert memory.last_receipt().mode == mode
    assert memory.receipts() == []
    assert memory.stats().calls == 0


def test_a_receipt_says_when_a_call_went_without_its_whole_conversation(client, memory):
    say(client, "hi")
    receipt = memory.last_receipt()
    assert receipt.complete
    assert "WITHOUT" not in str(receipt)
    assert "WITHOUT the whole" in str(receipt.with_(complete=False))


# Whose.


def test_users_and_sessions_keep_apart(bare, memory):
    for user, session in (("alice", "s"), ("alice", "t"), ("bob", "s"), (None, "s")):
        say(memory.wrap(bare, user=user, session=session), "hi")
    assert [(r.user, r.session) for r in memory.receipts(user="alice")] == [("alice", "t"), ("alice", "s")]
    assert [(r.user, r.session) for r in memory.receipts(user="bob")] == [("bob", "s")]
    assert [(r.user, r.session) for r in memory.receipts(user=None)] == [(None, "s")]
    assert memory.receipts(user="carol") == []
    assert [r.user for r in memory.receipts()] == [None, "bob", "alice", "alice"]
    (of_call,) = memory.receipts(call=memory.last_receipt().call)
    assert of_call.user is None
    assert memory.receipts(user="alice", call=of_call.call) == []


def test_since_and_limit(provider, bare, tmp_path):
    begun = datetime(2026, 5, 1, 8, tzinfo=UTC)
    times = iter(begun + timedelta(hours=n // 4) for n in range(400))
    with convmem.Memory(
        tmp_path / "x.db", embedder="none", deadline_ms=10_000, clock=lambda: next(times)
    ) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        for n in range(6):
            say(client, f"number {n}")
        receipts = memory.receipts(user="alice")
        assert [r.at for r in receipts] == sorted((r.at for r in receipts), reverse=True)
        middle = receipts[3].at
        assert memory.receipts(since=middle) == [r for r in receipts if r.at >= middle]
        assert memory.receipts(limit=2) == receipts[:2]


@pytest.mark.parametrize(
    "given",
    [
        {"session": "s"},
        {"user": ""},
        {"since": datetime(2026, 5, 1)},  # noqa: DTZ001 (the point)
        {"since": "yesterday"},
        {"limit": 0},
        {"limit": 2.5},
        {"call": ""},
    ],
)
def test_bad_arguments_are_told(memory, given):
    with pytest.raises(convmem.InputError):
        memory.receipts(**given)


# Forgetting.


def test_a_receipt_is_forgotten_with_its_turns_and_others_no_longer_name_them(bare, memory, tmp_path):
    say(memory.wrap(bare, user="alice", session="cellar"), VALVE)
    secret = memory.last_receipt()
    memory.reindex()
    say(memory.wrap(bare, user="alice", session="attic"), "In which crate is the boiler valve?")
    asked = memory.last_receipt()
    assert set(secret.turns) & {r.id for r in asked.recalled}
    report = memory.forget(user="alice", turn_ids=secret.turns)
    assert memory.verify_forgotten(report)
    (left,) = memory.receipts(user="alice")
    assert left.call == asked.call
    assert not set(secret.turns) & {r.id for r in left.recalled}
    assert memory.stats().calls == 2


def test_a_forgotten_user_has_no_receipts(bare, memory, tmp_path):
    for user in ("alice", "bob"):
        say(memory.wrap(bare, user=user, session="s"), "hi")
    report = memory.forget(user="alice")
    assert memory.verify_forgotten(report)
    assert [r.user for r in memory.receipts()] == ["bob"]
    memory.forget(user="bob", session="s")
    assert memory.receipts() == []
    memory.flush()
    assert everything(tmp_path / "chat.db") == "[[], []]"


def test_what_is_forgotten_during_a_call_has_no_receipt(client, memory, provider):
    provider.script(Reply("word " * 30, chunk_size=5))
    stream = say(client, VALVE, stream=True)
    next(iter(stream))
    memory.forget(user="alice", turn_ids=memory.last_receipt().turns)
    for _ in stream:
        pass
    memory.flush()
    assert memory.receipts() == []


# Only system text, and straight through.


def test_a_call_with_only_system_text_is_recorded(client, memory, provider):
    reply = client.chat.completions.create(
        model="m", messages=[{"role": "developer", "content": "Greet the guest."}]
    )
    assert provider.requests[-1].messages == [{"role": "developer", "content": "Greet the guest."}]
    own = memory.receipt_for(reply)
    assert own.journaled
    assert "no turn besides the system text" in own.notes[0]
    assert memory.receipts(user="alice", session="s") == [bare_of(own)]
    assert [turn.role for turn in memory.turns(user="alice", session="s")] == ["assistant"]
    say(client, "Hello back.")
    assert [m["role"] for m in provider.requests[-1].messages] == ["assistant", "user"]


def test_instructions_alone_are_recorded_too(client, memory):
    client.responses.create(model="m", instructions="Greet the guest.", input=[])
    (receipt,) = memory.receipts(user="alice")
    assert receipt == bare_of(memory.last_receipt())


ODD = [
    pytest.param(["hi"], id="a string"),
    pytest.param([{"content": "hi"}], id="no role"),
    pytest.param([{"role": "user", "content": [{"type": "text", "text": "hi", 1: 2}]}], id="an odd key"),
]


@pytest.mark.parametrize("messages", ODD)
@pytest.mark.parametrize("stream", [False, True])
def test_what_goes_straight_through_has_a_receipt(tmp_path, messages, stream):
    with (
        LocalProvider(strict=False) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(tmp_path / "x.db", embedder="none", deadline_ms=10_000) as memory,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        say(client, "first")
        first = memory.last_receipt()
        reply = client.chat.completions.create(model="m", messages=messages, stream=stream)
        for _ in reply if stream else ():
            pass
        own = memory.receipt_for(reply)
        assert own == memory.last_receipt()
        assert own.call != first.call
        assert (own.journaled, own.turns, own.state) == (False, (), "answered")
        assert "straight through" in own.notes[0]
        kept = memory.receipts(user="alice")[0]
        assert (kept.call, kept.journaled, kept.state) == (own.call, False, "answered")
        assert "straight through" in kept.notes[0]
        assert memory.stats().turns == 2
        bare.chat.completions.create(model="m", messages=messages, stream=stream)
        assert provider.requests[-1].body == provider.requests[-2].body


@pytest.mark.parametrize("messages", ODD)
def test_what_cannot_be_recorded_does_not_go_out_where_that_was_asked(tmp_path, messages):
    with (
        LocalProvider(strict=False) as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
        convmem.Memory(tmp_path / "x.db", embedder="none", deadline_ms=10_000, on_error="raise") as memory,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        say(client, "first")
        first = memory.last_receipt()
        with pytest.raises(convmem.JournalError, match='the mode "off"'):
            client.chat.completions.create(model="m", messages=messages)
        assert len(provider.requests) == 1
        assert memory.last_receipt().call != first.call
        assert memory.last_receipt().state == "failed"
        assert [r.call for r in memory.receipts()] == [first.call]
        with memory.scope(mode="off"):
            client.chat.completions.create(model="m", messages=messages)
        assert len(provider.requests) == 2


def test_a_completion_of_one_text_has_a_receipt_of_its_own(client, memory):
    say(client, "first")
    first = memory.last_receipt()
    with contextlib.suppress(openai.NotFoundError):
        client.completions.create(model="m", prompt="Once upon")
    assert memory.last_receipt().call != first.call
    assert "no conversation" in memory.last_receipt().notes[0]


def test_embeddings_leave_the_receipt_of_the_last_call(client, memory):
    say(client, "first")
    first = memory.last_receipt()
    client.embeddings.create(model="e", input=["x"])
    assert memory.last_receipt() == first


# Notes.


class Quoting:
    """An embedder whose errors quote what it was to embed."""

    dim = 4
    fingerprint = "quoting@1"

    def embed(self, texts, kind):
        raise ValueError(f"cannot embed {list(texts)!r} as {kind}")


class QuotingCompressor:
    """A compressor whose errors quote what it was to shorten."""

    def compress(self, request):
        raise ValueError(f"cannot shorten {[turn.text for turn in request.turns]!r}")


def test_notes_keep_no_words_of_the_conversation(provider, bare, tmp_path):
    path = tmp_path / "x.db"
    with convmem.Memory(
        path,
        embedder=Quoting(),
        compressor=QuotingCompressor(),
        policy=convmem.WindowPolicy("small", high=120, low=60, summary=100, recall=200),
        deadline_ms=10_000,
    ) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        for n in range(6):
            say(client, f"{VALVE} {CHINESE} Number {n}.")
        told = {note for r in (memory.last_receipt(),) for note in r.notes}
        kept = {note for r in memory.receipts(user="alice") for note in r.notes}
    assert any("cannot" in note for note in told), told
    assert any("ValueError" in note for note in kept), kept
    assert not any(word in everything(path) for word in ("boiler", "crate", "仓库", "cannot"))


def test_a_note_of_our_own_error_is_kept_whole():
    for error in (convmem.StoreError("the disk is full"), TimeoutError("not ready within 300 ms")):
        note = noted(f"it failed: {error}", error)
        assert note.kept == note == f"it failed: {error}"
    note = noted("recall failed (KeyError: 'my secret'); no matter", KeyError("my secret"))
    assert note == "recall failed (KeyError: 'my secret'); no matter"
    assert note.kept == "recall failed (KeyError); no matter"
    assert Note("plain").kept == "plain"


# Files.


def test_a_receipt_that_cannot_be_read_is_told_and_keeps_no_other_back(client, memory, tmp_path):
    say(client, "one")
    say(client, "two")
    with closing(sqlite3.connect(tmp_path / "chat.db")) as db:
        db.execute("UPDATE receipts SET account = '{\"tokens' WHERE id = 1")
        db.commit()
    newer, older = memory.receipts(user="alice")
    assert newer.journaled
    assert "cannot be read" in older.notes[0]
    assert older.state == "answered"


def test_repair_keeps_receipts_and_limits(provider, bare, tmp_path):
    from convmem.abilities import LearntLimit  # noqa: PLC0415 (no user needs it)

    path = tmp_path / "x.db"
    with convmem.Memory(path, embedder="none", deadline_ms=10_000) as memory:
        say(memory.wrap(bare, user="alice", session="cellar"), VALVE)
        memory.reindex()
        say(memory.wrap(bare, user="alice", session="attic"), "In which crate is the boiler valve?")
        before = memory.receipts()
        memory._store.put_limit(LearntLimit("h", "m", 4_096, before[0].at))
    convmem.repair(path)
    with convmem.Memory(path, embedder="none") as memory:
        assert memory.receipts() == before
        assert memory._store.limits() == [LearntLimit("h", "m", 4_096, before[0].at)]
        assert memory.check().sound
