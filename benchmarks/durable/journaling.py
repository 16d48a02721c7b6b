"""What journaling costs: the journal step of wrapped calls beside a bare INSERT of the same bytes."""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import convmem
from durable.run import MODEL, PATIENT_MS, client
from serving import provider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["journal"]

_CALLS_PER_SESSION = 10


def journal(
    *,
    calls: int,
    turns: Sequence[int],
    durability: Literal["normal", "full"],
    embedder: str,
    busy: bool,
    folder: Path,
) -> bool:
    """Print the milliseconds of both steps of a call, and of bare inserts in between.

    Work in the background is waited for between the calls, as while a model answers or a person types,
    unless `busy`.
    """
    print(
        f"{calls} calls each, durability {durability}, embedder {embedder}{', busy' if busy else ''};"
        " milliseconds, p50 / p95"
    )
    with provider() as base_url:
        for n in turns:
            path = folder / f"journal-{n}.db"
            with convmem.Memory(
                path, durability=durability, embedder=embedder, deadline_ms=PATIENT_MS
            ) as memory:
                steps = _measured(memory, base_url, path, n, calls, durability=durability, busy=busy)
            for name in ("journal", "reply"):
                ours, bare = steps[name], steps[f"{name}, bare"]
                print(
                    f"history of {n:4} turns, {name:7}: {_p(ours, 50):6.2f} / {_p(ours, 95):6.2f}  "
                    f" bare INSERT {_p(bare, 50):6.2f} / {_p(bare, 95):6.2f}  "
                    f" ratio {_p(ours, 50) / _p(bare, 50):5.1f} / {_p(ours, 95) / _p(bare, 95):5.1f}"
                )
    return True


def _p(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def _measured(
    memory: convmem.Memory, base_url: str, path: Path, turns: int, calls: int, *, durability: str, busy: bool
) -> dict[str, list[float]]:
    steps: dict[str, list[float]] = {"journal": [], "reply": [], "journal, bare": [], "reply, bare": []}
    bare_path = path.with_suffix(".bare.db")
    with closing(sqlite3.connect(bare_path)) as bare:
        bare.isolation_level = None
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute(f"PRAGMA synchronous = {durability}")
        bare.execute("CREATE TABLE turns (seq INTEGER PRIMARY KEY, payload TEXT NOT NULL)")
        inner = client(base_url)
        for n in range(calls):
            if not busy:
                memory.flush()
            if not n % _CALLS_PER_SESSION:
                session = f"session {n}"
                history = _past(turns, session)
                memory.record(history, session=session)
                wrapped = memory.wrap(inner, session=session)
                _call(memory, wrapped, history, "the first, not counted")
                if not busy:
                    memory.flush()
            message, said, receipt = _call(memory, wrapped, history, f"question {n} " + "word " * 40)
            for name, payload in (("journal", message), ("reply", said)):
                steps[name].append(receipt.ms[name])
                steps[f"{name}, bare"].append(_insert(bare, json.dumps(payload, ensure_ascii=False)))
    return steps


def _past(turns: int, session: str) -> list[Any]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"{session} turn {n} " + "word " * 40} for n in range(turns)]


def _call(
    memory: convmem.Memory,
    wrapped: Any,  # noqa: ANN401 (a client)
    history: list[Any],
    text: str,
) -> tuple[Any, Any, convmem.Receipt]:
    """One call of an app that sends everything."""
    message = {"role": "user", "content": text}
    history.append(message)
    reply = wrapped.chat.completions.create(model=MODEL, messages=history)
    said = {"role": "assistant", "content": reply.choices[0].message.content}
    history.append(said)
    receipt = memory.receipt_for(reply)
    if receipt is None or not receipt.journaled:
        raise RuntimeError(f"a call was not journaled: {receipt}")
    return message, said, receipt


def _insert(db: sqlite3.Connection, payload: str) -> float:
    """Milliseconds of one INSERT and its COMMIT."""
    started = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO turns (payload) VALUES (?)", (payload,))
    db.execute("COMMIT")
    return (time.perf_counter() - started) * 1_000
