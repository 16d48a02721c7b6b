"""Reads a journal page by page, exports it as JSON Lines, and imports such lines into another store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from convmem.abilities import OwnerRef
from convmem.arguments.checks import checked_count
from convmem.arguments.messages import checked_messages
from convmem.call.scope import UNSET, Unset, make_scope
from convmem.errors import ConvmemError, InputError
from convmem.journal.job import Job
from convmem.journal.tree import Tree
from convmem.protocols import SETTLED, NewTurn, NodesRequest, SessionRef, SessionsRequest, TurnsRequest, Write
from convmem.threads.pace import Pace
from convmem.types import State
from convmem.wire.identity import DIGEST_BYTES, ROOT, identity, meaning_digest
from convmem.wire.message import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convmem.call.shared import Shared
    from convmem.journal.forest import Forest
    from convmem.protocols import Node, Store, Written
    from convmem.types import Message, Stats, Turn

__all__ = ["LONG_SHARE", "conversation", "lines", "pages", "take_in", "with_waiting"]

_HEADER = {"convmem": "journal", "version": 1}
"""The first line of an export. The version rises when an older convmem could not read the lines."""
_PAGE = 500
"""Turns that are read, or imported in one transaction, at a time: more would hold more messages in memory and
keep other writes waiting, fewer would cost a transaction for little."""
LONG_SHARE = 0.15
"""The share of time in which an export or a check works while calls are under way, from 0 to 1. A call waits
for each step: a greater share makes calls slower, a smaller one the export."""
_STATES = frozenset(get_args(State))


def pages(store: Store, request: TurnsRequest, pace: Pace | None = None) -> Iterator[Turn]:
    """Yield all turns of a request, however many, reading `request.limit` of them at a time.

    Args:
        store: the store to read from.
        request: which turns to read; `after` says where to begin.
        pace: slows the reading down while calls are under way; None where somebody waits for the turns.
    """
    after = request.after
    while True:
        with pace or nullcontext():
            turns = store.turns(dataclasses.replace(request, after=after))
        yield from turns
        if len(turns) < request.limit:
            return
        after = turns[-1].seq


def conversation(turns: Sequence[Turn], nodes: Iterable[Node]) -> list[Turn]:
    """Return a session's conversation: the turns from its root to its head, and unanswered turns after those.

    The head is the last turn that was answered. Unanswered turns are messages that await their reply, and
    messages whose call failed: they are what the user wrote last.

    Args:
        turns: all turns of the session, in the journal's order.
        nodes: the session's tree, in which the path to the head also has the places of forgotten turns.
    """
    head = next((t for t in reversed(turns) if t.state in SETTLED and not t.choice), None)
    if head is None:
        return [turn for turn in turns if turn.state not in SETTLED]
    said = {turn.branch: turn for turn in reversed(turns)}  # reversed: of several sayings the first is kept
    tree, here = Tree(nodes), bytes.fromhex(head.branch)
    before = tree.path(here)[:-1]
    waiting = [
        turn
        for turn in turns
        if turn.state not in SETTLED
        and turn.seq > head.seq
        and any(node.identity == here for node in tree.path(bytes.fromhex(turn.branch)))
    ]
    return [*(said[place] for node in before if (place := node.identity.hex()) in said), head, *waiting]


def with_waiting(stats: Stats, waiting: int) -> Stats:
    """Return the counts with the number of queued writes filled in."""
    return dataclasses.replace(stats, waiting=waiting)


def lines(store: Store, user: str | Literal[Unset.UNSET] | None, session: str | None) -> Iterator[str]:
    """Yield an export: a header line, then one line per turn, session by session, parents before children."""
    yield dumps(_HEADER)
    pace = Pace(LONG_SHARE)
    owner: str | Literal[True] | None = True if user is UNSET else user
    for row in store.sessions(SessionsRequest(owner=owner)):
        if session is not None and row.name != session:
            continue
        ref = SessionRef(row.user, row.name)
        tree = Tree(store.nodes(NodesRequest(ref)).nodes)
        for turn in pages(store, TurnsRequest(ref=ref, limit=_PAGE), pace):
            parent, over = (turn.parent, ()) if turn.parent is not None else _over(tree, turn)
            line: dict[str, Any] = {
                "id": turn.id,
                "parent": parent,
                "user": turn.user,
                "session": turn.session,
                "at": turn.at.isoformat(),
                "state": turn.state,
            }
            if turn.choice:
                line["choice"] = turn.choice
            if over:
                line["forgotten"] = [place.hex() for place in over]
            yield dumps({**line, "message": turn.payload})
            pace.give_way()


def _over(tree: Tree, turn: Turn) -> tuple[str | None, tuple[bytes, ...]]:
    """Return the id of the nearest earlier turn that is still there, and the forgotten places between."""
    over: list[bytes] = []
    for node in reversed(tree.path(bytes.fromhex(turn.branch))[:-1]):
        if not node.forgotten:
            return f"t{node.seq}", tuple(reversed(over))
        over.append(node.identity)
    return None, tuple(reversed(over))


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    """One turn of an export, read from its line."""

    id: str
    parent: str | None
    ref: SessionRef
    at: datetime
    state: State
    choice: int
    message: Message
    forgotten: tuple[bytes, ...]


def _parsed(text: object, n: int) -> _Line | None:
    """Read line `n` of an export; None for its header and for blank lines."""
    if not isinstance(text, str):
        raise InputError(
            f"line {n} is {type(text).__name__}, not a string; export() gives one string per line"
        )
    if not text.strip():
        return None
    try:
        return _read(json.loads(text))
    except (ConvmemError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"line {n} is not one of an export: {type(error).__name__}: {error}") from error


def _read(row: dict[str, Any]) -> _Line | None:
    if row.get("convmem") == "journal":
        if row["version"] != _HEADER["version"]:
            raise InputError(f"the export is of version {row['version']}; upgrade convmem to read it")
        return None
    scope = make_scope(user=row["user"], session=row["session"])
    at = datetime.fromisoformat(row["at"])
    (message,) = checked_messages([row["message"]])
    if row["state"] not in _STATES or at.utcoffset() is None or scope.session is None:
        raise InputError("`state` is unknown, `at` has no time zone, or `session` is missing")
    choice = checked_count("choice", row.get("choice", 0), least=0, of="replies")
    if not isinstance(row["id"], str) or not isinstance(row["parent"], str | None):
        raise InputError("`id` or `parent` is no string")
    ref = SessionRef(cast("str | None", scope.user), cast("str", scope.session))
    forgotten = tuple(bytes.fromhex(place) for place in row.get("forgotten", ()))
    if any(len(place) != DIGEST_BYTES for place in forgotten):
        raise InputError(f"`forgotten` lists identities, {2 * DIGEST_BYTES} hexadecimal digits each")
    return _Line(row["id"], row["parent"], ref, at, row["state"], choice, message, forgotten)


def take_in(shared: Shared, given: Iterable[str]) -> int:
    """Import the lines of an export, `_PAGE` at a time, and return how many turns they hold."""
    if isinstance(given, str | bytes) or not isinstance(cast("object", given), Iterable):
        raise InputError(f"lines is what export() gave, one string per line, not {type(given).__name__}")
    count = 0
    batch: list[_Line] = []
    identities: dict[str, bytes] = {}
    owners: set[OwnerRef] = set()
    try:
        for n, text in enumerate(given, 1):
            line = _parsed(text, n)
            if line is None:
                continue
            owners.add(OwnerRef.of(line.ref))
            if batch and (batch[0].ref != line.ref or len(batch) >= _PAGE):
                _import_batch(shared, batch, identities)
                if batch[0].ref != line.ref:
                    identities.clear()
                batch = []
            batch.append(line)
            count += 1
        if batch:
            _import_batch(shared, batch, identities)
    finally:  # what stands before a bad line stays, and is recalled
        shared.recaller.took_in(owners)
    return count


def _import_batch(shared: Shared, batch: Sequence[_Line], identities: dict[str, bytes]) -> None:
    key = shared.store.key
    turns: list[NewTurn] = []
    graves: list[tuple[bytes, bytes]] = []
    for line in batch:
        meaning = meaning_digest(key, line.message)
        parent = ROOT if line.parent is None else identities.get(line.parent, ROOT)
        for place in line.forgotten:
            graves.append((parent, place))
            parent = place
        position = identities[line.id] = identity(key, parent, meaning)
        turns.append(
            NewTurn(
                identity=position,
                parent=parent,
                meaning=meaning,
                payload=line.message,
                state=line.state,
                at=line.at,
                saying=line.choice,
            )
        )
    write = Write(ref=batch[0].ref, turns=tuple(turns), forgotten=tuple(graves))
    shared.run(lambda: _ImportJob(write))


class _ImportJob(Job[int]):
    """Writes imported turns to one session; which turns those are is known before the job runs."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write
        self.user = write.ref.user

    @property
    def ref(self) -> SessionRef:
        """The session that the turns are written to."""
        return self._write.ref

    def plan(self, forest: Forest) -> Write | None:
        """Return the write without turns that were forgotten in this store, which stay forgotten."""
        generation, tree = forest.tree(self._write.ref)
        kept = tuple(
            t for t in self._write.turns if not ((known := tree.get(t.identity)) and known.forgotten)
        )
        graves = tuple((parent, place) for parent, place in self._write.forgotten if place not in tree)
        if not kept:
            return None
        return dataclasses.replace(self._write, expect=generation, turns=kept, forgotten=graves)

    def settle(self, written: Written | None) -> int:
        """Return how many turns were written or were there already."""
        return len(written.ids or ()) if written is not None else 0
