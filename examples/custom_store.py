"""A store of one's own: the journal as lines of a text file, for one process at a time.

`python examples/custom_store.py` runs it offline, with a stand-in for the model (see offline.py); with
OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL set, a real model answers. The kit that convmem has for
stores is run on it by tests/examples/test_custom_store.py.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from openai import OpenAI

import convmem
import offline
from convmem.protocols import CallRow, NewTurn, NodesRequest, SessionRef, Write, Written
from convmem.stores.memory import InMemoryStore


class LinesStore:
    """Looks things up in the store in memory, and adds what that lacks: it lasts. It cannot forget."""

    def __init__(self, path: Path) -> None:
        self._path, self._inner = path, (inner := InMemoryStore())
        self.nodes, self.find, self.turns = inner.nodes, inner.find, inner.turns
        self.sessions, self.stats, self.close = inner.sessions, inner.stats, inner.close
        self.views, self.put_views, self.unindexed = inner.views, inner.put_views, inner.unindexed
        key, *batches = list(self._lines()) or [self._append(inner.key.hex())]
        self.key = bytes.fromhex(key)
        for batch in batches:
            inner.write([_write(row) for row in batch])

    def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Append, then do. What was planned before its session moved on is not done, and is told so."""
        valid = [w for w in batch if w.expect in {None, self.nodes(NodesRequest(w.ref)).generation}]
        self._append([asdict(replace(write, expect=None)) for write in valid])
        return self._inner.write(batch)

    def _append(self, value: list | str) -> list | str:
        line = json.dumps(value, default=lambda v: v.hex() if isinstance(v, bytes) else v.isoformat())
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"\n{line}")
        except OSError as error:  # a full disk, for instance: convmem tries again, and the chat goes on
            raise convmem.StoreUnavailableError(f"{self._path} cannot be written: {error}") from error
        return value

    def _lines(self) -> Iterator[list | str]:
        for line in self._path.read_text("ascii").splitlines() if self._path.exists() else ():
            with suppress(ValueError):  # it was broken off: what wrote it was told so, or died
                yield json.loads(line)


def _write(row: dict) -> Write:
    turns = [NewTurn(**_read(turn, "identity", "parent", "meaning")) for turn in row["turns"]]
    states = [(bytes.fromhex(identity), state) for identity, state in row["states"]]
    call = CallRow(**_read(row["call"], "end")) if row["call"] else None
    return Write(ref=SessionRef(**row["ref"]), turns=tuple(turns), states=tuple(states), call=call)


def _read(row: dict, *digests: str) -> dict:
    made = {name: bytes.fromhex(row[name]) for name in digests if row[name] is not None}
    return row | made | {"at": datetime.fromisoformat(row["at"])}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, offline.model(), OpenAI() as openai:
        for text in ("The code of the boiler is E119.", "What is the code of the boiler?"):
            with convmem.Memory(LinesStore(Path(folder) / "chat.jsonl")) as memory:
                memory.flush()  # a script asks faster than memory reads; people do not
                chat = memory.wrap(openai, user="alice", session=text).chat.completions
                said = [{"role": "user", "content": text}]
                reply = chat.create(model=os.environ.get("OPENAI_MODEL", "deepseek-flash"), messages=said)
                print(f"user: {text}\nassistant: {reply.choices[0].message.content}")
