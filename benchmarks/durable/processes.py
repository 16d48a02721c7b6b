"""Several processes on one file, and two that take turns in one session."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import convmem
from convmem.testing.provider import LocalProvider
from durable.check import Ack, audit, key_of
from durable.run import MODEL, PATIENT_MS, Child, answer, client, say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["alternate", "alternate_child", "processes", "processes_child"]


def processes(*, processes: int, calls: int, folder: Path) -> bool:
    """Let processes make calls in their own sessions and in one they share, all at once."""
    path = folder / "shared.db"
    with LocalProvider() as provider:
        provider.default = answer
        children = [
            Child("processes", path=str(path), base_url=provider.base_url, number=n, calls=calls)
            for n in range(processes)
        ]
        for child in children:
            child.wait_for("ready")
        started = time.monotonic()
        for child in children:
            child.go()
        codes = [child.wait() for child in children]
        seconds = time.monotonic() - started
    said = [line for child in children for line in child.said()]
    acks = [Ack(*line["ack"][:2], tuple(line["ack"][2])) for line in said if "ack" in line]
    troubles = [line["trouble"] for line in said if "trouble" in line]
    late = sum("late" in line for line in said)
    still = sum(line["still"] for line in said if "still" in line)
    orders = {
        f"process {n} in {place}": [
            k for a in _acks(child) if (a.session == "shared") is shared for k in a.keys
        ]
        for n, child in enumerate(children)
        for shared, place in ((True, "the shared session"), (False, "its own"))
    }
    found = audit(path, acks, orders=orders)
    print(
        f"{processes} processes x {calls} calls in {seconds:.1f} s: {len(troubles)} errors to callers,"
        f" {late} receipts journaled=False at first, {still} after flush()"
    )
    print(found)
    for trouble in [*troubles, *(child.errors for child, code in zip(children, codes, strict=True) if code)]:
        print(f"  {trouble}")
    expected = processes * calls * 2
    if found.turns != expected:
        print(f"  {expected} turns were said, {found.turns} are there")
    return found.fine and found.turns == expected and not (troubles or still or any(codes))


def _acks(child: Child) -> list[Ack]:
    return [ack for line in child.lines if (ack := Ack.parse(line))]


def processes_child(*, path: str, base_url: str, number: int, calls: int) -> None:
    """Every second call in the shared session, newest message only; the others in its own, with history."""
    with convmem.Memory(path, embedder="none") as memory:
        inner = client(base_url)
        shared = memory.wrap(inner, user="team", session="shared")
        own = memory.wrap(inner, user="team", session=f"own-{number}")
        say(ready=True)
        sys.stdin.readline()
        history: list[Any] = []
        receipts: list[Any] = []
        for n in range(calls):
            message = {"role": "user", "content": f"process {number} call {n}"}
            if not n % 2:
                sent, wrapped = [message], shared
            else:
                sent = history = [*history, message]
                wrapped = own
            try:
                reply = wrapped.chat.completions.create(model=MODEL, messages=sent)
            except Exception as error:  # noqa: BLE001 (told to the parent, which fails)
                say(trouble=f"process {number} call {n}: {type(error).__name__}: {error}")
                continue
            said = {"role": "assistant", "content": reply.choices[0].message.content}
            if n % 2:
                history.append(said)
            receipts.append(reply)
            receipt = memory.receipt_for(reply)
            if receipt is None or not receipt.journaled:
                say(late=n)
            session = "shared" if not n % 2 else f"own-{number}"
            say(ack=["team", session, [key_of(message), key_of(said)]])
        memory.flush()
        say(still=sum(1 for r in receipts if not (found := memory.receipt_for(r)) or not found.journaled))


def alternate(*, rounds: int, folder: Path) -> bool:
    """Two processes take turns in one session, each sending only its newest message."""
    path = folder / "alternate.db"
    stale = 0
    with LocalProvider() as provider:
        provider.default = answer
        children = [
            Child("alternate", path=str(path), base_url=provider.base_url, number=n, rounds=rounds // 2)
            for n in range(2)
        ]
        for child in children:
            child.wait_for("ready")
        for n in range(rounds):
            child = children[n % 2]
            child.go()
            child.wait_for(f"done-{n // 2}")
        for child in children:
            child.wait()
        before: str | None = None
        for n, request in enumerate(provider.requests):
            texts = [message.get("content") for message in request.messages]
            if len(texts) != 2 * n + 1 or (before is not None and texts[-2] != before):
                stale += 1
                print(f"call {n}: {len(texts)} messages, ending in {texts[-2:]}; {before!r} is missing")
            before = f"echo: {request.newest_user_words}"
        asked = len(provider.requests)
    found = audit(path)
    print(f"{rounds} calls by two processes in turn: {asked} requests, {stale} with a stale tail")
    print(found)
    return found.fine and not stale and asked == rounds and found.turns == 2 * rounds


def alternate_child(*, path: str, base_url: str, number: int, rounds: int) -> None:
    """One call per line read."""
    with convmem.Memory(path, embedder="none", deadline_ms=PATIENT_MS) as memory:
        wrapped = memory.wrap(client(base_url), user="team", session="in turn")
        say(ready=True)
        for n in range(rounds):
            sys.stdin.readline()
            message: Any = {"role": "user", "content": f"worker {number} round {n}"}
            wrapped.chat.completions.create(model=MODEL, messages=[message])
            say(**{f"done-{n}": True})
