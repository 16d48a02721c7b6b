"""Killing a process at random moments: is everything it acknowledged still there?"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import convmem
from convmem.context.rounds import legal, rounds
from convmem.testing.provider import LocalProvider
from durable.check import Ack, audit, key_of
from durable.run import MODEL, TOOLS, Child, answer, async_client, client, say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convmem import Memory, Receipt

__all__ = ["kill", "kill_child"]

_LONGEST = 30  # messages of a history, before the app begins a new conversation
_ROUNDS = 8  # of the past, that an app sends again when it is started again
_LATEST_S = 1.5
_FRESH_EVERY = 10
_FRESH_LATEST_S = 0.4


def kill(*, runs: int, seed: int, folder: Path) -> bool:
    """Run a child on one file, killing it each time; every tenth run begins a file of its own.

    Every other run is killed some time after its first acknowledged turn, the rest also while the file opens.
    """
    chance = random.Random(seed)
    path = folder / "killed.db"
    acks: list[Ack] = []
    fine, turns, lost, doubled = True, 0, 0, 0
    with LocalProvider() as provider:
        provider.default = answer
        for run in range(runs):
            fresh = run % _FRESH_EVERY == _FRESH_EVERY - 1
            target = folder / f"fresh-{run}.db" if fresh else path
            child = Child("kill", path=str(target), base_url=provider.base_url, run=run)
            child.wait_for("ready")
            child.go()
            if run % 2 == 0:  # on a busy machine a process may be killed before anything was acknowledged
                child.wait_for("ack")
            time.sleep(chance.uniform(0, _FRESH_LATEST_S if fresh else _LATEST_S))
            child.kill()
            new = [ack for line in child.lines if (ack := Ack.parse(line))]
            if trouble := [line for line in child.said() if "trouble" in line]:
                print(f"run {run}: {trouble}")
                fine = False
            turns += sum(len(ack.keys) for ack in new)
            if not fresh:
                acks += new
            found = audit(target, new if fresh else acks)
            lost, doubled = lost + len(found.lost), doubled + len(found.doubled)
            if not found.fine:
                print(f"run {run}: {found}")
                fine = False
    print(f"killed {runs} times, seed {seed}: {turns} acknowledged turns, lost {lost}, doubled {doubled}")
    return fine and turns > 0


def kill_child(*, path: str, base_url: str, run: int) -> None:
    """Every way of journaling at once, on threads, until the end."""
    say(ready=True)
    sys.stdin.readline()
    memory = convmem.Memory(path, embedder="none")
    work = _Work(memory, base_url, run)
    parts = (work.newest, work.stream, work.record, work.tools, work.asynchronous)
    threads = [threading.Thread(target=_watched, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _watched(part: Callable[[], None]) -> None:
    try:
        part()
    except Exception as error:  # noqa: BLE001 (told to the parent, which fails)
        say(trouble=f"{part.__name__}: {type(error).__name__}: {error}")


def _acknowledge(receipt: Receipt | None, *messages: dict[str, Any]) -> None:
    if receipt is not None and receipt.journaled and receipt.session is not None:
        ack = Ack(receipt.user, receipt.session, tuple(map(key_of, messages)))
        say(ack=[ack.user, ack.session, ack.keys])


class _Work:
    """Five apps with their own habits; each goes on with what earlier runs left."""

    def __init__(self, memory: Memory, base_url: str, run: int) -> None:
        self._memory = memory
        self._url = base_url
        self._run = run

    def _texts(self, who: str, opening: str = "") -> Any:  # noqa: ANN401 (an iterator of messages)
        for n in count():
            yield {"role": "user", "content": f"{opening}run {self._run} {who} {n} {'words ' * (n % 40)}记忆"}

    def newest(self) -> None:
        """Send only the newest message; the session stays over the runs."""
        wrapped = self._memory.wrap(client(self._url), user="alice", session="newest")
        for message in self._texts("newest"):
            reply = wrapped.chat.completions.create(model=MODEL, messages=[message])
            said = {"role": "assistant", "content": reply.choices[0].message.content}
            _acknowledge(self._memory.receipt_for(reply), message, said)

    def stream(self) -> None:
        """Send everything, streamed, and name no session."""
        wrapped = self._memory.wrap(client(self._url), user="bob")
        history: list[Any] = []
        for message in self._texts("stream"):
            history.append(message)
            text = ""
            stream = wrapped.chat.completions.create(model=MODEL, messages=history, stream=True)
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            said = {"role": "assistant", "content": text}
            _acknowledge(self._memory.receipt_for(stream), message, said)
            history = [*history, said] if len(history) < _LONGEST else []

    def record(self) -> None:
        """Record rounds that were exchanged elsewhere."""
        for message in self._texts("record"):
            said = {"role": "assistant", "content": f"answer to {message['content']}"}
            self._memory.record([message, said], user="carol", session="recorded")
            say(ack=["carol", "recorded", [key_of(message), key_of(said)]])

    def tools(self) -> None:
        """Send everything, with a tool call in each round, going on where the killed process was."""
        wrapped = self._memory.wrap(client(self._url), session="tools")
        past = rounds([turn.payload for turn in self._memory.turns(session="tools")])
        whole = [each for each in past if each[0]["role"] == "user" and legal(each) and len(each) > 1]
        history: list[Any] = [message for each in whole[-_ROUNDS:] for message in each]
        for message in self._texts("tools", "look up "):
            history.append(message)
            for _ in range(2):
                before = history[-1]
                reply = wrapped.chat.completions.create(model=MODEL, messages=history, tools=TOOLS)
                said = reply.choices[0].message.model_dump(exclude_none=True)
                history.append(said)
                _acknowledge(self._memory.receipt_for(reply), before, said)
                for call in said.get("tool_calls") or ():
                    result = {"role": "tool", "tool_call_id": call["id"], "content": f"found {call['id']}"}
                    history.append(result)

    def asynchronous(self) -> None:
        """Three sessions at once on one event loop, streamed and not."""

        async def chat(name: str) -> None:
            wrapped = self._memory.wrap(async_client(self._url), user="dora", session=name)
            for n, message in enumerate(self._texts(name)):
                if n % 2:
                    reply: Any = await wrapped.chat.completions.create(model=MODEL, messages=[message])
                    text = reply.choices[0].message.content
                else:
                    reply = await wrapped.chat.completions.create(
                        model=MODEL, messages=[message], stream=True
                    )
                    text = "".join([chunk.choices[0].delta.content or "" async for chunk in reply])
                said = {"role": "assistant", "content": text}
                _acknowledge(self._memory.receipt_for(reply), message, said)

        async def all_of_them() -> None:
            await asyncio.gather(*(chat(f"async-{n}") for n in range(3)))

        asyncio.run(all_of_them())
