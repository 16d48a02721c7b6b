"""An acknowledged turn is never lost: benchmarks/durability.py in small, and the journal's writer."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import convmem
from convmem.errors import StoreLockedError, StoreUnavailableError
from convmem.protocols import Written
from convmem.stores.memory import InMemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai

    from convmem.testing import LocalProvider

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "durability.py"


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not part of the sdist")
@pytest.mark.parametrize(
    "command",
    [
        "kill --runs 4 --seed 7",
        "processes --processes 3 --calls 20",
        "alternate --rounds 10",
        "disk-full",
        "slow-disk --delay-s 1",
        "journal --calls 20 --turns 10",
        "exit --within-s 25",
        "fork --forks 2 --calls 5",
    ],
)
def test_command(command: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, SCRIPT, *command.split(), "--folder", tmp_path],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0" in done.stdout or command.startswith(("journal", "exit"))


class TroubledStore(InMemoryStore):
    """A store that cannot be written while it has a trouble, or reads badly, or loses races."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Exception | None = None
        self.unreadable = 0
        self.overtaken = 0
        self.tries = 0
        self.gate = threading.Event()
        self.gate.set()

    def write(self, batch: Any) -> Any:
        self.gate.wait(30)
        self.tries += 1
        if self.trouble is not None:
            raise self.trouble
        if self.overtaken:
            self.overtaken -= 1
            return [Written(None, 0) for _ in batch]
        return super().write(batch)

    def turns(self, request: Any) -> Any:
        if self.unreadable:
            self.unreadable -= 1
            raise StoreUnavailableError("the disk cannot be read")
        return super().turns(request)


FULL = StoreUnavailableError("the disk is full")
LOCKED = StoreLockedError("another process holds the database")


@pytest.fixture
def store() -> TroubledStore:
    return TroubledStore()


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def troubled(store: TroubledStore, events: list[str]) -> Iterator[convmem.Memory]:
    with convmem.Memory(store, hooks=[lambda event: events.append(event.kind)], embedder="none") as memory:
        yield memory
        store.trouble = None
        store.gate.set()


def ask(client: openai.OpenAI, *messages: Any) -> Any:
    given = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return client.chat.completions.create(model="m", messages=given)


def texts(memory: convmem.Memory, session: str, user: str | None = None) -> list[str]:
    return [turn.text for turn in memory.turns(session=session, user=user)]


def until(ready: Any) -> None:
    for _ in range(3_000):
        if ready():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to pass")


def test_spilled_turns_are_written_in_order_however_many(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, session="s")
    store.trouble = FULL
    for n in range(120):
        ask(client, f"question {n}")
    assert troubled.stats().waiting == 240
    store.trouble = None
    troubled.flush()
    said = [text for n in range(120) for text in (f"question {n}", f"echo: question {n}")]
    assert texts(troubled, "s") == said


def test_spill_is_tried_again_though_calls_keep_coming(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, session="s")
    store.trouble = FULL
    ask(client, "first")
    done = threading.Event()

    def keep_coming() -> None:
        for n in count():
            if done.is_set():
                return
            ask(client, f"question {n}")

    thread = threading.Thread(target=keep_coming)
    thread.start()
    try:
        tries = store.tries
        until(lambda: store.tries > tries + 3)
        store.trouble = None
        until(lambda: troubled.stats().waiting == 0)
    finally:
        done.set()
        thread.join()


def test_record_waits_out_another_process(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, session="s")
    store.trouble = LOCKED
    assert ask(client, "hello").choices
    assert not troubled.last_receipt().journaled
    unlock = threading.Timer(0.5, setattr, (store, "trouble", None))
    unlock.start()
    assert troubled.record([{"role": "user", "content": "recorded"}], session="r")
    unlock.join()
    troubled.flush()
    assert texts(troubled, "s") == ["hello", "echo: hello"]


def test_flush_waits_out_another_process(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    store.trouble = LOCKED
    reply = ask(troubled.wrap(bare, session="s"), "hello")
    unlock = threading.Timer(0.5, setattr, (store, "trouble", None))
    unlock.start()
    troubled.flush()
    unlock.join()
    assert troubled.receipt_for(reply).journaled


def test_order_holds_when_another_process_overtakes(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, session="s")
    store.trouble = FULL
    for n in range(3):
        ask(client, f"question {n}")
    store.overtaken, store.trouble = 1, None
    troubled.flush()
    assert texts(troubled, "s") == [
        text for n in range(3) for text in (f"question {n}", f"echo: question {n}")
    ]


def test_history_finds_its_session_behind_what_waits(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, user="u")
    history: list[Any] = [{"role": "user", "content": "one"}]
    store.trouble = FULL
    for text in ("two", "three"):
        said = ask(client, *history).choices[0].message.content
        history += [{"role": "assistant", "content": said}, {"role": "user", "content": text}]
    ask(client, *history)
    store.trouble = None
    troubled.flush()
    (session,) = troubled.sessions(user="u")
    assert session.turns == 6


def test_one_event_when_trouble_begins_and_one_when_it_ends(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI, events: list[str]
) -> None:
    client = troubled.wrap(bare, session="s")
    store.trouble = FULL
    replies = [ask(client, f"question {n}") for n in range(5)]
    assert events.count("degraded") == 1
    assert not any(troubled.receipt_for(reply).journaled for reply in replies)
    assert all("unjournaled" in " ".join(troubled.receipt_for(reply).notes) for reply in replies)
    store.trouble = None
    troubled.flush()
    assert events.count("healed") == 1
    assert all(troubled.receipt_for(reply).journaled for reply in replies)


def test_trouble_that_only_record_saw_ends_too(
    troubled: convmem.Memory, store: TroubledStore, events: list[str]
) -> None:
    message = {"role": "user", "content": "hello"}
    store.trouble = FULL
    with pytest.raises(StoreUnavailableError):
        troubled.record([message], session="r")
    store.trouble = None
    troubled.record([message], session="r")
    assert [kind for kind in events if kind in {"degraded", "healed"}] == ["degraded", "healed"]
    store.trouble = FULL
    with pytest.raises(StoreUnavailableError):
        troubled.record([{"role": "user", "content": "again"}], session="r")
    assert events.count("degraded") == 2


def test_history_that_cannot_be_read_stalls_nothing(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI, provider: LocalProvider
) -> None:
    client = troubled.wrap(bare, session="s")
    ask(client, "one")
    store.unreadable = 1
    ask(client, "two")
    ask(client, "three")
    troubled.flush()
    assert texts(troubled, "s") == ["one", "echo: one", "two", "echo: two", "three", "echo: three"]
    assert len(provider.requests[-1].messages) == 5


def test_reply_comes_before_a_slow_write_has_ended(
    troubled: convmem.Memory, store: TroubledStore, bare: openai.OpenAI
) -> None:
    client = troubled.wrap(bare, session="s")
    store.gate.clear()  # no write ends while it is closed
    reply = ask(client, "hello")
    assert reply.choices[0].message.content == "echo: hello"
    assert not troubled.receipt_for(reply).journaled
    store.gate.set()
    troubled.flush()
    assert troubled.receipt_for(reply).journaled


def test_raise_sends_nothing_unjournaled(
    store: TroubledStore, bare: openai.OpenAI, provider: LocalProvider
) -> None:
    store.trouble = FULL
    with convmem.Memory(store, on_error="raise", embedder="none") as memory:
        with pytest.raises(convmem.JournalError):
            ask(memory.wrap(bare, session="s"), "hello")
        assert not provider.requests
        store.trouble = None
