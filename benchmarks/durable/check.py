"""Looking at a journal from outside: is everything acknowledged there, once, and the tree whole?"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import convmem
from convmem.wire.identity import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from convmem import Turn

__all__ = ["Ack", "Audit", "audit", "key_of"]


def key_of(message: Mapping[str, Any]) -> str:
    """What tells the messages of these workloads apart: role, text and the arguments of tool calls."""
    calls = "".join(call["function"]["arguments"] for call in message.get("tool_calls") or ())
    return f"{message['role']}: {message.get('content') or ''}{calls}"


@dataclass(frozen=True, slots=True)
class Ack:
    """Messages that convmem said are journaled, in the order in which they follow each other."""

    user: str | None
    session: str
    keys: tuple[str, ...]

    def line(self) -> str:
        """As a line for a pipe."""
        return json.dumps({"ack": [self.user, self.session, self.keys]}) + "\n"

    @classmethod
    def parse(cls, line: str) -> Ack | None:
        """Read such a line back; None when it is cut off or another one."""
        try:
            user, session, keys = json.loads(line)["ack"]
        except (ValueError, KeyError, TypeError):
            return None
        return cls(user, session, tuple(keys))


@dataclass(slots=True)
class Audit:
    """What is wrong with a journal."""

    turns: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Nothing is."""
        return not (self.lost or self.doubled or self.broken)

    def __str__(self) -> str:
        head = (
            f"{self.turns} turns, {self.acknowledged} acknowledged: lost {len(self.lost)}, doubled"
            f" {len(self.doubled)}, tree and file {'sound' if not self.broken else 'BROKEN'}"
        )
        return "\n".join([head, *(f"  {each}" for each in [*self.lost, *self.doubled, *self.broken][:20])])


def audit(
    path: Path, acks: Iterable[Ack] = (), *, orders: Mapping[str, Sequence[str]] | None = None
) -> Audit:
    """Open the store as a user would and check it; every text of the workload is unique.

    Args:
        path: the store.
        acks: what was acknowledged.
        orders: for each speaker, keys that must stand in the journal in this order.
    """
    found = Audit()
    turns = _turns(path)
    found.turns = len(turns)
    found.doubled = [
        f"{n} times: {key}" for key, n in Counter(key_of(t.payload) for t in turns).items() if n > 1
    ]
    by_place: dict[tuple[str | None, str], dict[str, Turn]] = defaultdict(dict)
    for turn in turns:
        by_place[turn.user, turn.session][key_of(turn.payload)] = turn
    for ack in acks:
        found.acknowledged += len(ack.keys)
        _check_ack(ack, by_place[ack.user, ack.session], found)
    seq = {key_of(turn.payload): turn.seq for turn in turns}
    for speaker, keys in (orders or {}).items():
        there = [seq[key] for key in keys if key in seq]
        if there != sorted(there):
            found.broken.append(f"{speaker}: the journal's order is not the order of its calls")
    found.broken += _file_troubles(path)
    return found


def _turns(path: Path) -> list[Turn]:
    with convmem.Memory(path, embedder="none") as memory:
        return [
            turn
            for row in memory.sessions()
            for turn in memory.turns(session=row.name, user=row.user, branches=True)
        ]


def _check_ack(ack: Ack, there: Mapping[str, Turn], found: Audit) -> None:
    before: Turn | None = None
    for key in ack.keys:
        turn = there.get(key)
        if turn is None:
            found.lost.append(f"session {ack.session}: {key}")
        elif before is not None and before.id not in _led_by(turn, there):
            found.broken.append(f"session {ack.session}: {key} does not follow what it followed")
        before = turn


def _led_by(turn: Turn, there: Mapping[str, Turn]) -> set[str]:
    """Ids of the turns before a turn: a reply follows all that others said while it was made."""
    parents = {each.id: each.parent for each in there.values()}
    before: set[str] = set()
    at = turn.parent
    while at is not None and at not in before:
        before.add(at)
        at = parents.get(at)
    return before


def _file_troubles(path: Path) -> list[str]:
    """What SQLite and the tree say: integrity, references, parents that are there and came first."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        integrity = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        references = [f"foreign key: {row}" for row in db.execute("PRAGMA foreign_key_check")]
        orphans = db.execute(
            "SELECT seq FROM turns t WHERE parent <> ? AND NOT EXISTS (SELECT 1 FROM turns p"
            " WHERE p.session = t.session AND p.identity = t.parent AND p.seq < t.seq)",
            (ROOT,),
        )
        return [*integrity, *references, *(f"turn t{seq} has no parent before it" for (seq,) in orphans)]
