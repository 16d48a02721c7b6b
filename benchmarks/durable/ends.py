"""How processes end and split: interpreter exit with work in the air, and fork."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import convmem
from convmem.stores.sqlite import SQLiteStore
from convmem.testing.provider import LocalProvider, Reply
from durable.check import Ack, audit, key_of
from durable.run import MODEL, Child, answer, async_client, client, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convmem.testing.provider import ReceivedRequest

__all__ = ["exit_", "exit_child", "fork", "fork_child"]

_LONG = " ".join(f"word {n}" for n in range(400))


def _slowly(request: ReceivedRequest) -> Reply:
    return Reply(_LONG, chunk_size=8, chunk_delay_s=0.02, delay_s=0.0 if request.stream else 30.0)


# The end of the interpreter.


def exit_(*, within_s: float, folder: Path) -> bool:
    """End a process in the middle of calls; what had arrived must be journaled as partial, and soon."""
    fine = True
    with LocalProvider() as provider:
        provider.default = _slowly
        for how in _ENDS:
            path = folder / f"exit-{how}.db"
            child = Child("exit", path=str(path), base_url=provider.base_url, how=how)
            child.wait_for("ending")
            started = time.perf_counter()
            code = child.wait()
            seconds = time.perf_counter() - started
            with convmem.Memory(path, embedder="none") as memory:
                turns = memory.turns(session="exit", branches=True)
            states = [turn.state for turn in turns]
            arrived = len(turns[-1].text) if len(turns) > 1 else 0
            good = code == 0 and seconds < within_s and audit(path).fine
            if how not in _NOTHING_ARRIVES:
                good &= states == ["answered", "partial"] and 0 < arrived < len(_LONG)
                good &= _LONG.startswith(turns[-1].text)
            fine &= good
            print(
                f"{how}: exit took {seconds:.2f} s, turns {', '.join(states) or 'none'},"
                f" {arrived} characters of the reply{'' if good else ': WRONG ' + child.errors}"
            )
    return fine


def exit_child(*, path: str, base_url: str, how: str) -> None:
    """Do as `how` says, then let the interpreter end."""
    _ENDS[how](path, base_url)
    say(ending=True)


def _stream(path: str, base_url: str) -> Any:  # noqa: ANN401 (a stream)
    wrapped = convmem.Memory(path, embedder="none").wrap(client(base_url), session="exit")
    return wrapped.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "tell me"}], stream=True
    )


def _read_some(stream: Any) -> None:  # noqa: ANN401 (a stream)
    for n, _ in enumerate(stream):
        if n > 10:
            break


def _broken_off(path: str, base_url: str) -> None:
    _read_some(_stream(path, base_url))


_OPEN: list[object] = []


def _left_open(path: str, base_url: str) -> None:
    stream = _stream(path, base_url)
    items = iter(stream)
    for _ in range(10):
        next(items)
    _OPEN.extend((stream, items))


def _daemon_thread(path: str, base_url: str) -> None:
    begun = threading.Event()

    def read() -> None:
        for n, _ in enumerate(_stream(path, base_url)):
            if n > 10:
                begun.set()

    threading.Thread(target=read, daemon=True).start()
    begun.wait(30)


def _asynchronous(path: str, base_url: str) -> None:
    async def read() -> None:
        wrapped = convmem.Memory(path, embedder="none").wrap(async_client(base_url), session="exit")
        stream = await wrapped.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "tell me"}], stream=True
        )
        items = aiter(stream)
        for _ in range(10):
            await anext(items)
        _OPEN.extend((stream, items))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
    _OPEN.append(loop)


def _system_exit(path: str, base_url: str) -> None:
    _left_open(path, base_url)
    say(ending=True)
    sys.exit(0)


def _waiting_for_reply(path: str, base_url: str) -> None:
    wrapped = convmem.Memory(path, embedder="none").wrap(client(base_url), session="exit")
    call = wrapped.chat.completions.create
    message: Any = {"role": "user", "content": "tell me"}
    threading.Thread(target=lambda: call(model=MODEL, messages=[message]), daemon=True).start()
    time.sleep(0.5)


def _locked_file(path: str, base_url: str) -> None:
    stream = _stream(path, base_url)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    _OPEN.append(other)
    unlock = threading.Timer(1.0, other.rollback)
    unlock.daemon = True
    unlock.start()
    _read_some(stream)


def _hanging_disk(path: str, base_url: str) -> None:
    stream = _stream(path, base_url)
    write = SQLiteStore.write

    def slowly(store: SQLiteStore, batch: Any) -> Any:  # noqa: ANN401 (as the Store protocol has it)
        time.sleep(30)
        return write(store, batch)

    SQLiteStore.write = slowly  # type: ignore[method-assign]
    _read_some(stream)


_ENDS: dict[str, Callable[[str, str], None]] = {
    "broken off": _broken_off,
    "left open": _left_open,
    "daemon thread": _daemon_thread,
    "asynchronous": _asynchronous,
    "sys.exit": _system_exit,
    "waiting for the reply": _waiting_for_reply,
    "locked for a second": _locked_file,
    "hanging disk": _hanging_disk,
}
_NOTHING_ARRIVES = frozenset({"waiting for the reply", "hanging disk"})


# Fork.


def fork(*, forks: int, calls: int, folder: Path) -> bool:
    """Fork processes that hold a Memory, as a pre-forking server does, and use it in all of them."""
    fine = True
    with LocalProvider() as provider:
        provider.default = answer
        for how in ("unused", "used", "parent closes", "parent writes"):
            path = folder / f"fork-{how.replace(' ', '-')}.db"
            child = Child(
                "fork", path=str(path), base_url=provider.base_url, how=how, forks=forks, calls=calls
            )
            code = child.wait()
            said = child.said()
            acks = [ack for line in child.lines if (ack := Ack.parse(line))]
            troubles = [line["trouble"] for line in said if "trouble" in line]
            late = sum("late" in line for line in said)
            found = audit(path, acks)
            expected = sum(len(ack.keys) for ack in acks)
            ended = sum("ended" in line for line in said)
            good = (
                code == 0 and found.fine and not troubles and found.turns == expected and ended == forks + 1
            )
            print(
                f"{how}: {ended} processes ended, {late} receipts journaled=False at first, {found}"
                f"{'' if good else f': WRONG {code} {troubles} {child.errors}'}"
            )
            fine &= good
    return fine


def fork_child(*, path: str, base_url: str, how: str, forks: int, calls: int) -> None:
    """Hold a Memory, fork, and use it everywhere."""
    memory = convmem.Memory(path, embedder="none")
    if how != "unused":
        _calls(memory, base_url, "before", calls)
    stop = threading.Event()
    writing = threading.Thread(target=_write, args=(memory, stop))
    if how == "parent writes":
        writing.start()
    pids: list[int] = []
    for n in range(forks):
        pid = os.fork()
        if not pid:
            _in_fork(memory, base_url, f"fork {n}", calls, wait_s=1.0 if how == "parent closes" else 0.0)
        pids.append(pid)
        time.sleep(0.01)
    if how == "parent closes":
        memory.close()
        memory = convmem.Memory(path, embedder="none")
    _calls(memory, base_url, "parent", calls)
    for pid in pids:
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            say(trouble=f"a fork ended with {code}")
    stop.set()
    if how == "parent writes":
        writing.join()
    memory.close()
    say(ended="parent")


def _in_fork(memory: convmem.Memory, base_url: str, name: str, calls: int, *, wait_s: float) -> None:
    """A forked child's whole life."""
    try:
        if wait_s:  # meanwhile the parent closes its Memory and others come and go
            _calls(memory, base_url, f"{name} at first", calls)
            time.sleep(wait_s)
        _calls(memory, base_url, name, calls)
        memory.close()
    except BaseException as error:  # noqa: BLE001 (told to the parent, which fails)
        say(trouble=f"{name}: {type(error).__name__}: {error}")
        os._exit(1)
    say(ended=name)
    os._exit(0)


def _calls(memory: convmem.Memory, base_url: str, name: str, calls: int) -> None:
    wrapped = memory.wrap(client(base_url), user="frank", session=name)
    replies: list[Any] = []
    for n in range(calls):
        message: Any = {"role": "user", "content": f"{name} call {n}"}
        reply = wrapped.chat.completions.create(model=MODEL, messages=[message])
        replies.append(reply)
        if not (receipt := memory.receipt_for(reply)) or not receipt.journaled:
            say(late=n)
        said = {"role": "assistant", "content": reply.choices[0].message.content}
        say(ack=["frank", name, [key_of(message), key_of(said)]])
    memory.flush()
    still = [r for r in replies if not (receipt := memory.receipt_for(r)) or not receipt.journaled]
    if still:
        say(trouble=f"{name}: {len(still)} receipts are not journaled after flush()")


def _write(memory: convmem.Memory, stop: threading.Event) -> None:
    n = 0
    while not stop.is_set():
        message = {"role": "user", "content": f"written {n}"}
        memory.record([message], user="frank", session="written", append=True)
        say(ack=["frank", "written", [key_of(message)]])
        n += 1
