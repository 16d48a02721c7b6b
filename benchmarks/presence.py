"""Is memory there on a busy machine? Counts requests that hold all they should hold.

    python benchmarks/presence.py                        # 4 processes, 64 calls at once, 12 busy loops
    python benchmarks/presence.py --cold 20 --calls 400  # a process ends after 20 calls, another follows
    python benchmarks/presence.py --embedder none

The app sends only its newest message. The calls of one session go to all processes in turn, so each process
has to find what another one wrote. The provider is a process of its own; its answer says what it saw: which
messages of the session, and which numbers were quoted. The time of a call is taken around it, beside the
same call of the bare client in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import convmem

_MODEL = "deepseek-flash"
_USERS = 16
_THINGS = (
    "locker", "bicycle lock", "garage", "gym card", "library card", "allotment gate", "boathouse", "bell",
    "cello case", "rucksack", "storage unit", "alarm", "tool shed", "wine cellar", "caravan", "piano lid",
)  # fmt: skip
_CHATTER = (
    "The {thing} needs a new hinge, I think.",
    "今天下雨，我改坐地铁去上班。",
    "Tell me something about lighthouses.",
    "I had lentil soup for lunch.",
    "周末想去爬山，你觉得怎么样？",
    "My sister is learning to row.",
    "Which knots hold on a wet rope?",
)
_REMARKS = 8
_ASKS_EVERY = 3
_BARE_EVERY = 5


def code(user: int, thing: str) -> str:
    """The number that a user once told of a thing."""
    return str(1_000 + (user * 7_919 + sum(map(ord, thing)) * 31) % 9_000)


def words(user: int, session: int, n: int) -> tuple[str, str | None]:
    """The nth message of a session, and the number that must be quoted with it; None where none must."""
    thing = _THINGS[(user + session + n) % len(_THINGS)]
    mark = f"[s{session}m{n}]"
    if n % _ASKS_EVERY == _ASKS_EVERY - 1:
        return f"{mark} What was the code of my {thing}?", code(user, thing)
    return f"{mark} {_CHATTER[(n + session) % len(_CHATTER)].format(thing=thing)}", None


def record_past(path: Path) -> None:
    """Record what was said before the run."""
    with convmem.Memory(path) as memory:
        for user in range(_USERS):
            said: list[dict[str, str]] = []
            for thing in _THINGS:
                said.append({"role": "user", "content": f"The code of my {thing} is {code(user, thing)}."})
                said.append({"role": "assistant", "content": f"Noted: {thing}."})
            said += [
                {"role": "user", "content": f"Remark {n}: the kettle whistles after {n} minutes."}
                for n in range(_REMARKS)
            ]
            memory.record(said, user=f"user-{user}", session="before")
        memory.flush()
        memory.reindex()


def serve() -> None:
    """The provider: answers with what it saw."""
    from convmem.testing import LocalProvider, Reply  # noqa: PLC0415

    def seen(request: Any) -> Reply:  # noqa: ANN401
        texts = [str(message["content"]) for message in request.messages if message["role"] == "user"]
        own = [
            mark for text in texts for mark in re.findall(r"\[s\d+m\d+\]", text.rsplit("</memory>", 1)[-1])
        ]
        quoted = "".join(re.findall(r"<memory>.*</memory>", texts[-1], re.DOTALL))
        return Reply(json.dumps({"marks": own, "quoted": re.findall(r"\d{4}(?=\.)", quoted)}))

    with LocalProvider(strict=False) as provider:
        provider.default = seen
        print(provider.base_url, flush=True)
        sys.stdin.read()


def work(path: str, base_url: str, embedder: str, threads: int) -> None:
    """One process of the app: calls come as lines of JSON, what became of them goes back as such."""
    from openai import OpenAI  # noqa: PLC0415

    bare = OpenAI(base_url=base_url, api_key="any", timeout=600, max_retries=0)
    memory = convmem.Memory(path, embedder=embedder)
    client = memory.wrap(bare)
    lock = threading.Lock()

    def call(task: dict[str, Any]) -> None:
        message: Any = [{"role": "user", "content": task["text"]}]
        began = time.perf_counter()
        result: dict[str, Any] = {"id": task["id"]}
        if task["bare"]:
            reply = bare.chat.completions.create(model=_MODEL, messages=message)
        else:
            with memory.scope(user=task["user"], session=task["session"]):
                reply = client.chat.completions.create(model=_MODEL, messages=message)
            receipt = memory.receipt_for(reply)
            if receipt is not None:
                result |= {"complete": receipt.complete, "journaled": receipt.journaled}
                result |= {"notes": receipt.notes, "ms": dict(receipt.ms)}
        result |= {"s": time.perf_counter() - began, "saw": reply.choices[0].message.content}
        with lock:
            print(json.dumps(result), flush=True)

    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            pool.submit(call, json.loads(line))
    memory.close()


class Worker:
    """A process of the app, as whoever sends it calls sees it."""

    def __init__(self, arguments: list[str], calls: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, "--work", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.left = calls
        self._ids = itertools.count()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, task: dict[str, Any]) -> Future[dict[str, Any]]:
        """Have it make a call; after its last one it ends by itself. One at a time may ask."""
        self.left -= 1
        number = next(self._ids)
        future = self._waiting[number] = Future()
        self._said(json.dumps({**task, "id": number}))
        return future

    def _said(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        if self.left <= 0:
            self.end()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            result = json.loads(line)
            self._waiting.pop(result["id"]).set_result(result)
        for future in self._waiting.values():
            future.set_exception(RuntimeError("the process ended before its call"))

    def end(self) -> None:
        """Let it finish what it has."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait until it has ended."""
        self.end()
        self._process.wait()


def run(options: argparse.Namespace, path: Path) -> None:
    """One run on a new file."""
    record_past(path)
    provider = subprocess.Popen(  # noqa: S603
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    base_url = provider.stdout.readline().strip() if provider.stdout is not None else ""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    threads = -(-options.concurrency // options.processes)
    arguments = [str(path), base_url, options.embedder, str(threads)]
    most = options.cold or sys.maxsize
    workers = [Worker(arguments, most) for _ in range(options.processes)]
    ended: list[Worker] = []
    choosing = threading.Lock()
    rows: list[dict[str, Any]] = []
    bare: list[float] = []

    def ask(place: int, task: dict[str, Any]) -> dict[str, Any]:
        with choosing:
            if workers[place].left <= 0:
                ended.append(workers[place])
                workers[place] = Worker(arguments, most)
            answer = workers[place].ask(task)
        return answer.result()

    def talk(session: int) -> None:
        user = session % _USERS
        for n in range(-(-options.calls // options.concurrency)):
            text, number = words(user, session, n)
            place = (session + n) % options.processes
            task = {"user": f"user-{user}", "session": f"now-{session}", "text": text, "bare": False}
            row = ask(place, task)
            saw = json.loads(row["saw"])
            whole = [f"[s{session}m{i}]" for i in range(n + 1)]
            rows.append(
                {**row, "whole": saw["marks"] == whole, "asks": number, "there": number in saw["quoted"]}
            )
            if n % _BARE_EVERY == 0:
                bare.append(ask(place, {**task, "bare": True})["s"])

    began = time.perf_counter()
    try:
        with ThreadPoolExecutor(options.concurrency) as pool:
            for future in [pool.submit(talk, session) for session in range(options.concurrency)]:
                future.result()
    finally:
        for process in busy:
            process.kill()
        for worker in (*workers, *ended):
            worker.wait()
        if provider.stdin is not None:
            provider.stdin.close()
        provider.wait()
    report(options, rows, bare, time.perf_counter() - began)


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(
    options: argparse.Namespace, rows: list[dict[str, Any]], bare: list[float], seconds: float
) -> None:
    """Print the figures."""
    cold = f" of {options.cold} calls each" if options.cold else ""
    print(f"{len(rows)} calls in {seconds:.0f} s: {options.processes} processes{cold},", end=" ")
    print(f"{options.concurrency} calls at once, {options.busy} busy loops,", end=" ")
    print(f"{os.cpu_count()} cores, embedder {options.embedder}")
    asks = [row for row in rows if row["asks"] is not None]
    for what, count, of in (
        ("own conversation whole", sum(row["whole"] for row in rows), len(rows)),
        ("receipt.complete", sum(row["complete"] for row in rows), len(rows)),
        ("receipt.journaled", sum(row["journaled"] for row in rows), len(rows)),
        ("quoted where the past answers", sum(row["there"] for row in asks), len(asks)),
    ):
        print(f"{what:30} {count} of {of}")
    wrapped = [row["s"] for row in rows]
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        there, without = 1_000 * percentile(wrapped, share), 1_000 * percentile(bare, share)
        print(
            f"around the call, {name}: {there:.0f} ms, bare {without:.0f} ms, added {there - without:.0f} ms"
        )
    for step in ("journal", "compose", "embed", "recall", "provider", "reply"):
        took = [row["ms"].get(step, 0.0) for row in rows]
        print(f"  {step:8} p50 {percentile(took, 0.5):6.0f} ms   p95 {percentile(took, 0.95):6.0f} ms")
    notes = Counter(re.sub(r"\d+", "N", note) for row in rows for note in row["notes"])
    for note, times in notes.most_common():
        print(f"  {times} × {note}")


def main() -> None:
    """Run, and print what was there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--busy", type=int, default=12)
    parser.add_argument("--cold", type=int, default=0, help="calls after which a process ends; 0: never")
    parser.add_argument("--embedder", default="auto")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.work:
        path, base_url, embedder, threads = options.work
        work(path, base_url, embedder, int(threads))
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(options, Path(folder) / "chat.db")


if __name__ == "__main__":
    main()
