"""What a huge message costs: time added around the call, and how long any other thread stood still.

    python benchmarks/huge.py --mb 5,20 --text log

The bare client and the wrapped one make the same calls in turns, in the same run. The provider is a process
of its own on this machine and reads what it is sent without parsing it. `added` is the difference of the best
times, `stall` the longest time for which a thread that wants to wake every two milliseconds did not, in the
call and until the views of its turns were made. The bare client stalls others too: it encodes the body in one
piece. `cpu` is the same in processor time of this process: on a busy machine the clock also tells of its
other work.
"""

from __future__ import annotations

import argparse
import gc
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

import convmem

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Call = Callable[[openai.OpenAI], None]

TICK = 0.002
PIECES = 400
LINE = {
    "log": '2026-11-29 12:00:07 worker-3 GET /orders/8841?page=2 200 "ok" 17ms\n',
    "english": "The ferry to Brac leaves at half past nine, and the harbour office opens at eight. ",
    "chinese": "渡轮上午九点半开往布拉奇岛，港务办公室八点开门，行李可以提前托运。",
    "one": "a",
}


# The provider.


class _Provider(http.server.BaseHTTPRequestHandler):
    """Answers with as many megabytes as the model's name says: `reply-0`, `reply-5`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the body, and answer as JSON or as events."""
        left, head = int(self.headers["content-length"]), b""
        while left:
            read = self.rfile.read(min(left, 1 << 20))
            head = (head + read)[-2_000:] if len(head) > 4_000 else head + read
            left -= len(read)
        name = head.partition(b'"model":"')[2].partition(b'"')[0].decode() or "reply-0"
        text = ("word " * 200_000 * int(name.rpartition("-")[2])) or "ok"
        if b'"stream":true' in head:
            self._stream(text)
        elif self.path.endswith("/responses"):
            part = {"type": "output_text", "text": text, "annotations": []}
            said = {"type": "message", "id": "i", "role": "assistant", "status": "completed"}
            said = {**said, "content": [part]}
            self._json({"id": "r", "object": "response", "status": "completed", "output": [said]})
        else:
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            self._json({"id": "c", "object": "chat.completion", "created": 1, "choices": [choice]})

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _stream(self, text: str) -> None:
        size = max(1, -(-len(text) // PIECES))
        events = [
            {"id": "c", "choices": [{"index": 0, "delta": {"content": text[at : at + size]}}]}
            for at in range(0, len(text), size)
        ]
        events.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self._send("".join([*lines, "data: [DONE]\n\n"]).encode(), "text/event-stream")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve() -> None:
    """Answer until the input ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def provider() -> Generator[str]:
    """The base URL of a provider in a process of its own."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101
        yield process.stdout.readline().strip()
        process.communicate()


# Measuring.


@dataclass
class Ticker:
    """A thread that wakes every two milliseconds, and how long it did not."""

    longest: float = 0.0
    longest_cpu: float = 0.0
    _thread: threading.Thread = field(init=False)
    _ends: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        last, used = time.perf_counter(), time.process_time()
        while not self._ends.is_set():
            time.sleep(TICK)
            now, cpu = time.perf_counter(), time.process_time()
            gap = now - last - TICK
            self.longest = max(self.longest, gap)
            self.longest_cpu = max(self.longest_cpu, min(gap, cpu - used))
            last, used = now, cpu

    def stop(self) -> None:
        """End."""
        self._ends.set()
        self._thread.join()


@dataclass
class Measured:
    """The best of several times, and the shortest of the longest stalls: the machine may be busy."""

    seconds: float = float("inf")
    cpu: float = float("inf")
    stall: float = float("inf")
    stall_cpu: float = float("inf")
    told: float = 0.0

    def take(self, call: Callable[[], float], ticker: Ticker, after: Callable[[], None]) -> None:
        """Make one call."""
        gc.collect()
        time.sleep(0.05)
        ticker.longest = ticker.longest_cpu = 0.0
        started, used = time.perf_counter(), time.process_time()
        told = call()
        took, cpu = time.perf_counter() - started, time.process_time() - used
        after()
        time.sleep(2 * TICK)
        self.cpu = min(self.cpu, cpu)
        self.stall = min(self.stall, ticker.longest)
        self.stall_cpu = min(self.stall_cpu, ticker.longest_cpu)
        if took < self.seconds:
            self.seconds, self.told = took, told


def text_of(kind: str, mb: float, turn: int) -> str:
    """So many megabytes of UTF-8, different in each turn."""
    line = LINE[kind]
    return f"{turn} " + line * int(mb * 1e6 / len(line.encode()))


def said(role: str, text: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": text}


def chat(client: openai.OpenAI, messages: list[Any]) -> None:
    """A chat call."""
    client.chat.completions.create(model="reply-0", messages=messages)


def stream(client: openai.OpenAI, messages: list[Any], *, model: str = "reply-0") -> None:
    """A streamed chat call, read to its end."""
    for _ in client.chat.completions.create(model=model, messages=messages, stream=True):
        pass


def respond(client: openai.OpenAI, messages: list[Any]) -> None:
    """A Responses call."""
    client.responses.create(model="reply-0", input=messages)


def writing(model: str) -> Call:
    """A call with a long reply."""
    return lambda client: stream(client, [said("user", "write")], model=model)


TOOL = {"id": "c1", "type": "function", "function": {"name": "dump", "arguments": "{}"}}


def doors(text: str, turn: int) -> dict[str, tuple[Call, Call]]:
    """The calls by name: made bare, and made wrapped (which differ where memory has the history)."""
    asked = said("user", f"Question {turn}?")
    history = [said("user", f"Read this {turn}."), said("assistant", "OK"), said("user", text)]
    dumped = [said("user", f"Dump {turn}."), {"role": "assistant", "content": None, "tool_calls": [TOOL]}]
    results = [*dumped, {"role": "tool", "tool_call_id": "c1", "content": text}]
    many = [said(("user", "assistant")[n % 2], text[: len(text) // 3_001] + str(n)) for n in range(3_001)]
    system = [said("system", text), asked]
    again = [*history, said("assistant", "ok"), asked]
    pairs = {
        "chat": history,
        "next, whole history": again,
        "tool result": results,
        "system text": system,
        "3,000 messages": many,
    }
    found: dict[str, tuple[Call, Call]] = {
        name: (lambda c, m=messages: chat(c, m),) * 2 for name, messages in pairs.items()
    }
    found["next, newest only"] = (lambda c: chat(c, again), lambda c: chat(c, [asked]))
    found["streamed"] = (lambda c: stream(c, history),) * 2
    found["responses"] = (lambda c: respond(c, history),) * 2
    return found


ORDER = (
    "chat",
    "next, newest only",
    "next, whole history",
    "streamed",
    "responses",
    "tool result",
    "system text",
    "3,000 messages",
)


def compare(url: str, kind: str, mb: float, turns: int, options: dict[str, Any]) -> None:
    """Print a row per call."""
    ticker = Ticker()
    with (
        tempfile.TemporaryDirectory() as folder,
        convmem.Memory(Path(folder) / "m.db", embedder="none", **options) as memory,
        openai.OpenAI(base_url=url, api_key="x", max_retries=0, timeout=120) as bare,
    ):
        chat(memory.wrap(bare, user="warm"), [said("user", "warm")])
        memory.flush()
        plain = {name: Measured() for name in (*ORDER, "huge reply", "record()")}
        kept = {name: Measured() for name in plain}
        for turn in range(turns):
            text = text_of(kind, mb, turn)
            calls = doors(text, turn)
            calls["huge reply"] = (writing(f"reply-{int(mb)}"),) * 2

            def told(call: Call, client: openai.OpenAI) -> float:
                call(client)
                receipt = memory.last_receipt()
                return sum(ms for name, ms in receipt.ms.items() if name != "provider") if receipt else 0.0

            for name in (*ORDER, "huge reply"):
                session = f"{turn}" if name in ORDER[:3] else f"{turn} {name}"
                client = memory.wrap(bare, user=f"{kind} {turn}", session=session)
                plain[name].take(lambda c=calls[name][0]: c(bare) or 0.0, ticker, lambda: None)
                kept[name].take(lambda c=calls[name][1], w=client: told(c, w), ticker, memory.flush)

            def record(text: str = text, turn: int = turn) -> float:
                memory.record([said("user", text), said("assistant", "ok")], user="r", session=f"{turn}")
                return 0.0

            kept["record()"].take(record, ticker, memory.flush)
            plain["record()"] = Measured(0.0, 0.0, 0.0, 0.0)
        for name, before in plain.items():
            now = kept[name]
            ms = [1e3 * value for value in (before.seconds, now.seconds, before.cpu, now.cpu)]
            stalls = [1e3 * value for value in (before.stall, now.stall, before.stall_cpu, now.stall_cpu)]
            times = f"{ms[0]:.0f} | {ms[1]:.0f} | {ms[1] - ms[0]:.0f} | {now.told:.0f} | {ms[3] - ms[2]:.0f}"
            stood = f"{stalls[0]:.0f} / {stalls[1]:.0f} | {stalls[2]:.0f} / {stalls[3]:.0f}"
            print(f"{mb:g} MB {kind} | {name} | {times} | {stood}", flush=True)
    ticker.stop()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mb", default="5,20", help="sizes of the message in megabytes")
    parser.add_argument("--text", default="log,chinese", help=f"what it is made of: {', '.join(LINE)}")
    parser.add_argument("--turns", type=int, default=3, help="how often each call is made")
    parser.add_argument("--policy", default="full", help="what memory sends")
    parser.add_argument("--deadline-ms", type=float, help="how long a call waits for memory")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    options: dict[str, Any] = {"policy": given.policy}
    if given.deadline_ms:
        options["deadline_ms"] = given.deadline_ms
    print("text | call | bare ms | ms | added | receipt | added cpu | stall, bare / with | stall in cpu")
    with provider() as url:
        for kind in given.text.split(","):
            for mb in map(float, given.mb.split(",")):
                compare(url, kind, mb, given.turns, options)


if __name__ == "__main__":
    main()
