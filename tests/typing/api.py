"""The public API as users type it: checked by mypy and pyright in strict mode, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream, AzureOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import convmem
from convmem import (
    PRESETS,
    AsyncMemory,
    ClosedError,
    Compressor,
    CompressRequest,
    ConvmemError,
    Cost,
    Event,
    ForgetReport,
    Health,
    Hit,
    Hook,
    InputError,
    JournalError,
    Ledger,
    Memory,
    Message,
    MissingExtraError,
    Mode,
    Pin,
    Plan,
    Policy,
    PolicyRequest,
    Prepared,
    Recalled,
    Receipt,
    Repaired,
    ScopeError,
    Session,
    State,
    Stats,
    Store,
    StoreCorruptError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreUnavailableError,
    Tokens,
    Turn,
    WindowPolicy,
    WrapError,
    hooks,
)
from convmem.embed import Embedder
from convmem.testing import LocalProvider, Reply


class OurClient(OpenAI):
    """A subclass keeps its own type, and with it its own methods."""

    def team(self) -> str:
        """Something openai.OpenAI has not."""
        return "ours"


def opening(store: Store) -> None:
    """A path, a URL or a store, and the options."""
    Memory("chat.db")
    Memory(Path("chat.db"), durability="full", on_error="raise", deadline_ms=500)
    Memory(store, hooks=[noted, print, hooks.LoggingHook(), hooks.with_content(noted)])
    Memory(store, clock=lambda: datetime.now(UTC))
    Memory("chat.db", policy="lean", embedder="none", tz=UTC)
    Memory("~/chat.db", tz="Asia/Shanghai")
    Memory("chat.db", dialects="dialects.toml", prices=Path("prices.toml"))
    with Memory(":memory:") as memory:
        assert_type(memory, Memory)
    memory.close()


def noted(event: Event) -> None:
    """A hook."""
    assert_type(event.detail, str)
    assert_type(event.call, str | None)
    match event:
        case hooks.JournaledEvent(turns=turns):
            assert_type(turns, tuple[str, ...])
        case hooks.RecalledEvent(recalled=quoted):
            assert_type(quoted, tuple[Recalled, ...])
        case hooks.AnsweredEvent():
            assert_type(event.usage, Mapping[str, Any] | None)
        case _:
            assert_type((event.user, event.session), tuple[str | None, str | None])


def wrapping(memory: Memory, azure: AzureOpenAI, async_azure: AsyncAzureOpenAI) -> None:
    """What comes out has the type of what went in."""
    assert_type(memory.wrap(OpenAI()), OpenAI)
    assert_type(memory.wrap(AsyncOpenAI(), user="alice"), AsyncOpenAI)
    assert_type(memory.wrap(azure, user="alice", session="s"), AzureOpenAI)
    assert_type(memory.wrap(async_azure, mode="read"), AsyncAzureOpenAI)
    ours = memory.wrap(OurClient())
    assert_type(ours, OurClient)
    assert_type(ours.team(), str)
    assert_type(ours.with_options(timeout=3), OurClient)


def calling(memory: Memory) -> None:
    """Calls are typed as the SDK types them; receipts come from the response."""
    client = memory.wrap(OpenAI())
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert_type(reply, ChatCompletion)
    assert_type(memory.receipt_for(reply), Receipt | None)
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    assert_type(stream, Stream[ChatCompletionChunk])
    assert_type(memory.last_receipt(), Receipt | None)
    assert_type(memory.receipts(user="alice", session="s", since=datetime.now(UTC), limit=3), list[Receipt])


async def calling_async(memory: AsyncMemory) -> None:
    """The same, awaited."""
    client = memory.wrap(AsyncOpenAI())
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    assert_type(stream, AsyncStream[ChatCompletionChunk])
    assert_type(memory.receipt_for(stream), Receipt | None)


def scoping(memory: Memory, mode: Mode) -> None:
    """Each of the three, alone or together; None takes one away."""
    with memory.scope(user="alice", session="s", mode=mode) as entered:
        assert_type(entered, None)
    with memory.scope(user=None), memory.scope(mode="off"):
        pass


def recording(memory: Memory, messages: list[Message], at: datetime) -> None:
    """Messages as mappings of any kind, one time or one each."""
    assert_type(memory.record(messages), list[str])
    memory.record([{"role": "user", "content": "hi"}], user="alice", session="s", at=at)
    memory.record(iter(messages), at=[at, at], append=True)
    prepared = memory.prepare(messages, user="alice", session="s", model="m", policy="lean", budget=512)
    assert_type(prepared, Prepared)
    assert_type(prepared.messages, list[Message])
    memory.record([*messages, {"role": "assistant", "content": "hi"}], prepared=prepared)
    frozen: tuple[Mapping[str, object], ...] = ({"role": "user", "content": "hi"},)
    memory.record(frozen)


def reading(memory: Memory) -> None:
    """Sessions, turns and counts."""
    assert_type(memory.sessions(), list[Session])
    assert_type(memory.sessions(user=None), list[Session])
    assert_type(memory.turns(user="alice"), list[Turn])
    assert_type(memory.turns(user="alice", session="s", branches=True), list[Turn])
    assert_type(memory.stats(), Stats)
    assert_type(memory.ledger(user="alice", session="s"), Ledger)
    assert_type(memory.flush(timeout=1.0), None)


def remembering(memory: Memory, embedder: Embedder) -> None:
    """Search, pin, forget, and an embedder of one's own."""
    hits = memory.recall("where do I live?", user="alice", session="s", top_k=3, budget=500)
    assert_type(hits, list[Hit])
    assert_type((hits[0].turn, hits[0].score, hits[0].why), tuple[Turn, float, tuple[str, ...]])
    assert_type(memory.pin("Allergic to peanuts.", user="alice"), str)
    assert_type(memory.pins(user="alice"), list[Pin])
    memory.unpin("p1", user="alice")
    report = memory.forget(user="alice", text="peanuts", dry_run=True)
    assert_type(report, ForgetReport)
    assert_type(report.turn_ids, tuple[str, ...])
    assert_type(memory.verify_forgotten(report), bool)
    assert_type(memory.reindex(timeout=1.0), bool)
    Memory("chat.db", embedder=embedder)
    Memory("chat.db", embedder=None)


def checking(memory: Memory) -> None:
    """Look a store over, mend what was derived, repair a file."""
    health = memory.check(mend=True, timeout=1.0)
    assert_type(health, Health)
    assert_type(
        (health.sound, health.problems, health.damaged), tuple[bool, tuple[str, ...], tuple[str, ...]]
    )
    repaired = convmem.repair("chat.db")
    assert_type(repaired, Repaired)
    assert_type(repaired.copy, Path)


class Everything:
    """A policy of one's own."""

    def plan(self, request: PolicyRequest) -> Plan:
        """Cut nothing."""
        return Plan(request.start, summary=0, recall=0)


class Headlines:
    """A compressor of one's own."""

    def compress(self, request: CompressRequest) -> str:
        """Keep how each turn begins, while there is room."""
        text = request.previous
        for turn in request.turns:
            longer = f"{text}\n{turn.text[:40]}"
            if request.count(longer) <= request.tokens:
                text = longer
        return text


def choosing(memory: Memory) -> None:
    """Policies by name, by file, from parts, or one's own; compressors."""
    compressor: Compressor = Headlines()
    Memory("chat.db", compressor=compressor)
    ours = WindowPolicy("ours", high=8_000, low=3_000, summary=300, recall=800)
    policies: list[Policy] = [ours, PRESETS["lean"], Everything()]
    Memory("chat.db", policy=policies[0])
    memory.wrap(OpenAI(), policy=Path("ours.toml"))
    assert_type(ours.to_toml(), str)
    assert_type(WindowPolicy.from_toml("name = 'ours'"), WindowPolicy)


def moving(memory: Memory) -> None:
    """Out and in."""
    lines = memory.export(user="alice", session="s")
    assert_type(lines, Iterator[str])
    assert_type(memory.import_(lines), int)
    with Path("journal.jsonl").open(encoding="utf-8") as file:
        assert_type(memory.import_(file), int)


def values(turn: Turn, session: Session, receipt: Receipt, stats: Stats) -> None:
    """What the frozen results hold."""
    assert_type(turn.id, str)
    assert_type(turn.seq, int)
    assert_type(turn.user, str | None)
    assert_type(turn.parent, str | None)
    assert_type(turn.payload, Message)
    assert_type(turn.state, State)
    assert_type(turn.at, datetime)
    assert_type(turn.name, str | None)
    assert_type(session.created, datetime)
    assert_type(receipt.journaled, bool)
    assert_type(receipt.complete, bool)
    assert_type(receipt.at, datetime)
    assert_type(receipt.host, str | None)
    assert_type(receipt.turns, tuple[str, ...])
    assert_type(receipt.tokens, Tokens)
    assert_type(receipt.tokens.total, int)
    assert_type(receipt.recalled, tuple[Recalled, ...])
    assert_type(receipt.recalled[0].speaker, str)
    assert_type(receipt.prefix_tokens, int | None)
    assert_type(receipt.ms, Mapping[str, float])
    assert_type(receipt.usage, Mapping[str, Any] | None)
    assert_type(receipt.cached_tokens, int | None)
    assert_type(receipt.cost, Cost | None)
    assert_type(receipt.cost.total if receipt.cost else 0.0, float)
    assert_type(stats.bytes, int | None)


async def awaiting(memory: AsyncMemory, messages: list[Message]) -> None:
    """`AsyncMemory` has the same verbs."""
    async with AsyncMemory("chat.db", on_error="raise") as opened:
        assert_type(opened, AsyncMemory)
    assert_type(AsyncMemory.of(memory.memory), AsyncMemory)
    assert_type(await memory.record(messages, user="alice"), list[str])
    assert_type(await memory.sessions(), list[Session])
    assert_type(await memory.turns(user="alice"), list[Turn])
    assert_type(memory.export(user="alice"), AsyncIterator[str])
    assert_type(await memory.import_([line async for line in memory.export()]), int)
    assert_type(await memory.stats(), Stats)
    assert_type(await memory.prepare(messages, user="alice"), Prepared)
    assert_type(await memory.recall("where?", user="alice"), list[Hit])
    assert_type(await memory.pin("Vegetarian.", user="alice"), str)
    report = await memory.forget(user="alice")
    assert_type(report, ForgetReport)
    assert_type(await memory.verify_forgotten(report), bool)
    assert_type(await memory.reindex(), bool)
    assert_type(await memory.pins(user="alice"), list[Pin])
    await memory.unpin("p1", user="alice")
    assert_type(await memory.check(), Health)
    assert_type(memory.scope(user="alice"), AbstractContextManager[None])
    await memory.flush()
    await memory.close()


def errors() -> tuple[type[Exception], ...]:
    """One root, and Python's own kinds beside it."""
    python: tuple[type[ValueError], type[TypeError], type[ImportError]]
    python = InputError, WrapError, MissingExtraError
    assert_type(JournalError("no", response=None).response, object)
    return (
        *python,
        ConvmemError,
        ClosedError,
        JournalError,
        ScopeError,
        StoreError,
        StoreCorruptError,
        StoreFormatError,
        StoreLockedError,
        StoreNewerError,
        StoreReadOnlyError,
        StoreUnavailableError,
    )


def testing() -> None:
    """The kit for tests."""
    with LocalProvider(dialect="deepseek") as provider:
        provider.script(Reply("hello"), lambda request: Reply(request.newest_user_words))
        assert_type(provider.base_url, str)
        assert_type(provider.requests[0].messages, list[dict[str, Any]])


HOOK: Hook = noted
VERSION: str = convmem.__version__
