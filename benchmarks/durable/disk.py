"""A disk that is full, and one that is slow."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import convmem
from convmem.stores.sqlite import SQLiteStore
from convmem.testing.provider import LocalProvider
from durable.check import Ack, audit, key_of
from durable.run import MODEL, PATIENT_MS, Child, answer, async_client, client, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convmem import Memory, Receipt

__all__ = ["SlowStore", "disk_full", "disk_full_child", "slow_disk"]

_CALLS = 12
_TMPFS = "16m"  # a write-ahead log grows to 4 MB before it is used again


def disk_full(*, folder: Path) -> bool:
    """Fill the disk under a memory in two ways, make room again, and see that nothing is missing."""
    fine = _disk_full(folder / "limited.db", "limit")
    with _tmpfs() as mounted:
        if isinstance(mounted, str):
            print(f"tmpfs: skipped, {mounted}")
        else:
            fine &= _disk_full(mounted / "small.db", "fill")
    return fine


@contextmanager
def _tmpfs() -> Iterator[Path | str]:
    """A small file system in memory, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="convmem-full-") as name:
        try:
            subprocess.run(  # noqa: S603 (fixed arguments)
                ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS}", "tmpfs", name],  # noqa: S607
                check=True,
                capture_output=True,
                text=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            yield str(getattr(error, "stderr", "") or error).strip()
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=False)  # noqa: S603, S607


def _disk_full(path: Path, how: str) -> bool:
    child = Child("disk_full", path=str(path), how=how)
    code = child.wait()
    report = next((line for line in child.said() if "report" in line), None)
    if code or report is None:
        print(f"{how}: the child ended with {code}: {child.errors}")
        return False
    acks = [ack for line in child.lines if (ack := Ack.parse(line))]
    keys = [key for ack in acks for key in ack.keys]
    found = audit(path, acks, orders={"the caller": keys})
    wrong = [name for name, (got, wanted) in report["report"].items() if got != wanted]
    title = {"limit": "RLIMIT_FSIZE", "fill": f"tmpfs of {_TMPFS}"}[how]
    print(f"{title}: " + ", ".join(f"{name} {got}" for name, (got, _) in report["report"].items()))
    print(found)
    for name in wrong:
        got, wanted = report["report"][name]
        print(f"  {name}: {got}, not {wanted}")
    return found.fine and not wrong


def disk_full_child(*, path: str, how: str) -> None:
    """Calls before, while and after there is no room."""
    events: Counter[str] = Counter()
    with LocalProvider() as provider:
        provider.default = answer
        with convmem.Memory(
            path,
            hooks=[lambda event: events.update([event.kind])],
            embedder="none",
            deadline_ms=PATIENT_MS,
        ) as memory:
            app = _App(memory, provider.base_url)
            before = [app.call() for _ in range(3)]
            memory.flush()  # else their views, made later, would be a second trouble with events of its own
            with _full(Path(path), how):
                during = [app.call() for _ in range(_CALLS)]
                refused = _journal_error(path, provider)
                flush_told = _raises(convmem.JournalError, memory.flush)
                record_told = _raises(
                    convmem.StoreError,
                    lambda: memory.record([{"role": "user", "content": "too much"}], session="recorded"),
                )
            late = [app.receipt(reply).journaled for reply in during]
            degraded = events["degraded"]
            memory.flush()
            after = [app.receipt(reply).journaled for reply in during]
            then = app.call()
            report = {
                "journaled before": (_yes(app.receipt(reply).journaled for reply in before), 3),
                "journaled while full": (_yes(late), 0),
                "replies while full": (len(during), _CALLS),
                "degraded events": (degraded, 1),
                "healed events": (events["healed"], 1),
                "journaled after flush": (_yes(after), _CALLS),
                "the next call journaled": (app.receipt(then).journaled, True),
                "still waiting": (memory.stats().waiting, 0),
                'requests of on_error="raise"': (refused, 0),
                "flush() raised": (flush_told, True),
                "record() raised": (record_told, True),
            }
        for message, said in app.rounds:
            say(ack=["erin", "full", [key_of(message), key_of(said)]])
        say(report=report)


class _App:
    """Calls of every kind in one session, newest message only."""

    def __init__(self, memory: Memory, base_url: str) -> None:
        self._memory = memory
        self._sync = memory.wrap(client(base_url), user="erin", session="full")
        self._url = base_url
        self.rounds: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def call(self) -> object:
        """One call: plain, streamed, asynchronous by turns; its response."""
        n = len(self.rounds)
        message: Any = {"role": "user", "content": f"call {n} {'filler ' * 300}"}
        ways: Sequence[Callable[[Any], tuple[object, str]]] = (self._plain, self._streamed, self._awaited)
        reply, text = ways[n % 3](message)
        self.rounds.append((message, {"role": "assistant", "content": text}))
        return reply

    def receipt(self, reply: object) -> Receipt:
        """The receipt of a response."""
        found = self._memory.receipt_for(reply)
        if found is None:
            raise LookupError("a response has no receipt")
        return found

    def _plain(self, message: Any) -> tuple[object, str]:  # noqa: ANN401 (the SDK's parameter types are many)
        reply = self._sync.chat.completions.create(model=MODEL, messages=[message])
        return reply, reply.choices[0].message.content or ""

    def _streamed(self, message: Any) -> tuple[object, str]:  # noqa: ANN401 (the same)
        stream = self._sync.chat.completions.create(model=MODEL, messages=[message], stream=True)
        return stream, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    def _awaited(self, message: Any) -> tuple[object, str]:  # noqa: ANN401 (the same)
        async def one() -> tuple[object, str]:
            async with self._memory.wrap(async_client(self._url), user="erin", session="full") as wrapped:
                reply = await wrapped.chat.completions.create(model=MODEL, messages=[message])
            return reply, reply.choices[0].message.content or ""

        return asyncio.run(one())


@contextmanager
def _full(path: Path, how: str) -> Iterator[None]:
    """No room for more than a few bytes, then room again."""
    if how == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        wal = path.with_name(path.name + "-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 3_000, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    filler = path.with_name("filler")
    with filler.open("wb", buffering=0) as opened, suppress(OSError):
        while True:
            opened.write(bytes(512))
    try:
        yield
    finally:
        filler.unlink()


def _journal_error(path: str, provider: LocalProvider) -> int:
    """How many requests leave a memory that must not send anything unjournaled."""
    asked = len(provider.requests)
    store = SQLiteStore(path)
    with convmem.Memory(store, on_error="raise", embedder="none") as memory:
        wrapped = memory.wrap(client(provider.base_url), user="erin", session="strict")
        with suppress(convmem.JournalError):
            wrapped.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "never sent " + "filler " * 300}]
            )
            return -1
    store.close()
    return len(provider.requests) - asked


def _raises(error: type[Exception], act: Callable[[], object]) -> bool:
    try:
        act()
    except error:
        return True
    return False


def _yes(answers: Any) -> int:  # noqa: ANN401 (an iterable of booleans)
    return sum(bool(each) for each in answers)


class SlowStore(SQLiteStore):
    """A store whose writes take their time.

    Attributes:
        delay_s: how long each write sleeps before it begins.
        writing: how many writes have begun and not ended.
    """

    def __init__(self, path: Path, *, delay_s: float = 0.0) -> None:
        super().__init__(path)
        self.delay_s = delay_s
        self.writing = 0
        self.began = threading.Event()

    def write(self, batch: Any) -> Any:  # noqa: ANN401 (as the Store protocol has it)
        """Sleep, then write."""
        self.writing += 1
        self.began.set()
        try:
            time.sleep(self.delay_s)
            return super().write(batch)
        finally:
            self.writing -= 1


_MAY_WAIT_S = 60.0
"""Seconds that a call may wait for the store before the provider, and again after it."""


def slow_disk(*, delay_s: float, folder: Path) -> bool:
    """Calls while each write takes seconds: they wait for it, and go out journaled."""
    path = folder / "slow.db"
    fine = True
    acks: list[Ack] = []
    store = SlowStore(path)
    with LocalProvider() as provider:
        provider.default = answer
        with convmem.Memory(store, embedder="none", store_timeout_s=_MAY_WAIT_S) as memory:
            app = _App(memory, provider.base_url)
            app.call()
            for way in ("streamed", "asynchronous", "plain"):
                store.delay_s = delay_s
                started = time.perf_counter()
                reply = app.call()
                seconds = time.perf_counter() - started
                receipt = app.receipt(reply)
                journaled = receipt.journaled
                store.delay_s = 0.0
                memory.flush()
                later = app.receipt(reply).journaled
                print(
                    f"{way}: writes take {delay_s:.1f} s, the call took {seconds * 1_000:.0f} ms"
                    f" (before the provider {receipt.ms['journal']:.0f}, after it {receipt.ms['reply']:.0f};"
                    f" {_MAY_WAIT_S:.0f} s may be waited), journaled {journaled}, later {later}"
                )
                fine &= journaled and later and seconds < 2 * _MAY_WAIT_S
        for message, said in app.rounds:
            acks.append(Ack("erin", "full", (key_of(message), key_of(said))))
    store.close()
    found = audit(path, acks, orders={"the caller": [key for ack in acks for key in ack.keys]})
    print(found)
    return fine and found.fine
