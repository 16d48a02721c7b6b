"""Holds owners' partitions in memory: loads an owner's views, and adds what changed before each use.

`retrieve.recaller` asks `Partitions.get` for an owner's partition for each call and search. The first time
all views are read, in pages; later only the rows that changed since (by the owner's generation), or none at
all when the call has read those already (`Changed`). `Branches` tells which turns were edited away or
answered anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

from convmem.abilities import OwnerRef, Views, ViewsRequest
from convmem.protocols import SETTLED, NodesRequest, SessionRef
from convmem.threads.locks import Lock, reckoning
from convmem.threads.pace import Pace, give_way
from convmem.wire.identity import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from convmem.abilities import ViewRow, ViewsReply
    from convmem.protocols import Node, Store
    from convmem.recall import Partition

__all__ = ["Branches", "Changed", "LeftBehind", "Loaded", "Partitions"]

_KEPT_OWNERS = 32
"""Owners whose partitions are held, those used last: 10,000 turns with vectors take some 20 MB each. The next
call of an owner that was pushed out reads all its views again."""
_PAGE = 5_000
"""Turns read from the store in one page: with vectors some 10 MB. Each page costs a look over the sequence
numbers of all turns of the owner, so small pages make loading slow."""
_AT_ONCE = 1_000
"""Turns put into a partition in one step: some 5 ms in which no other thread of the process can run."""
_LOAD_SHARE = 0.3
"""Share of the time, between 0 and 1, that loading takes while other calls are under way. A smaller one
leaves those calls more, and lets the call that waits for the load miss its deadline."""
_TRIES = 3
"""Times that a partition is read anew because turns were settled in another order than they were said, or
were forgotten, while it was read. After the last the call uses what there is."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a settled turn in its session.

    Attributes:
        seq: the turn's number in the journal's order.
        identity: the turn's identity.
        parent: the identity of the turn before it.
        is_user: whether the user said it.
    """

    seq: int
    identity: bytes
    parent: bytes
    is_user: bool


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Ids of the turns that are on no running branch of their session.

    Attributes:
        edited: turns of the user; they may be quoted in other sessions, with the mark "edited away".
        replaced: turns of anybody else, such as replies that were made anew; they are never quoted.
        taken_back: turns of the user that were edited away in the running session; they are never quoted in
            it.
    """

    edited: set[str] = field(default_factory=set[str])
    replaced: set[str] = field(default_factory=set[str])
    taken_back: set[str] = field(default_factory=set[str])


class Branches:
    """The settled turns of one session: which of them lead to its head, and which were left behind.

    Args:
        nodes: reads the whole tree of the session. Called only when the way to the head leads over places
            that have no settled turn, because it was forgotten.
    """

    def __init__(self, nodes: Callable[[], Iterable[Node]]) -> None:
        self._nodes = nodes
        self._places: dict[bytes, _Place] = {}
        self._parents: dict[
            bytes, bytes
        ] = {}  # parent by identity, of all turns and tombstones, once `nodes` was called
        self._head: _Place | None = None
        self._way: set[int] = set()

    def copy(self) -> Branches:
        """A copy that can grow while calls still use the original."""
        made = Branches(self._nodes)
        made._places, made._parents = dict(self._places), dict(self._parents)
        made._head, made._way = self._head, set(self._way)
        return made

    def add(self, row: ViewRow) -> None:
        """Add a settled turn; turns must be added in the journal's order, as the last one is the head."""
        place = _Place(row.seq, row.identity, row.parent, row.role == "user")
        self._places.setdefault(row.identity, place)
        if row.parent != ROOT and row.parent not in self._places and row.parent not in self._parents:
            self._parents = {node.identity: node.parent for node in self._nodes()}
        if row.choice:
            return
        goes_on = self._head is None or row.parent == self._head.identity
        self._head = place
        if goes_on:
            self._way.add(place.seq)
        else:
            self._way = self._way_to(place)

    def _way_to(self, place: _Place | None) -> set[int]:
        """The `seq`s of the settled turns from the beginning of the session to this one."""
        way: set[int] = set()
        while place is not None:
            way.add(place.seq)
            before = place.parent
            while before in self._parents and before not in self._places:
                before = self._parents[before]
            place = self._places.get(before)
        return way

    def left_behind(self, path: Collection[bytes] | None = None) -> LeftBehind:
        """The turns that are not on the running branch.

        Args:
            path: identities of the running conversation; None takes the way to the session's head instead.
        """
        if path is None and len(self._way) == len(self._places):
            return LeftBehind()
        left = LeftBehind()
        leaves: dict[bytes, bool] = {}
        for place in self._places.values():
            if place.identity in path if path is not None else place.seq in self._way:
                continue
            kind = left.edited if place.is_user else left.replaced
            if place.is_user and path is not None and self._leaves(place, path, leaves):
                kind = left.taken_back
            kind.add(f"t{place.seq}")
        return left

    def _leaves(self, place: _Place, path: Collection[bytes], known: dict[bytes, bool]) -> bool:
        """Whether this turn was edited away: it, or a turn before it, branches off from the path.

        A branch with a beginning of its own does not count: that is an app that rewrites its history, or a
        second conversation in one session, and nobody took back a word.

        Args:
            place: a turn that is not on the path.
            path: identities of the running conversation.
            known: answers for turns that were asked about before.
        """
        walked: list[bytes] = []
        at = place.identity
        while at not in known and at not in path:
            walked.append(at)
            before = self._places.get(at)
            at = before.parent if before is not None else self._parents.get(at, ROOT)
            if at == ROOT:
                break
        leaves = known.get(at, at in path)
        known.update(dict.fromkeys(walked, leaves))
        return leaves


@dataclass(slots=True)
class Loaded:
    """One owner's partition, with the branches of the owner's sessions.

    Attributes:
        generation: the owner's number of writes, when this was read.
        redaction: the owner's number of forgettings, when this was read; a greater one voids everything here.
        partition: the settled turns that were analyzed; None when the store keeps no views.
        sessions: the branches of each session, by its name.
        damaged: the `seq`s of turns whose entries must be made again.
    """

    generation: int = 0
    redaction: int = 0
    partition: Partition | None = None
    sessions: dict[str, Branches] = field(default_factory=dict[str, Branches])
    damaged: tuple[int, ...] = ()

    def holds_more_than(self, ids: Collection[str]) -> bool:
        """Whether the partition has a turn besides these."""
        partition = self.partition
        return partition is not None and len(partition) > sum(id_ in partition.row for id_ in ids)

    def left_behind(self, session: str | None, path: Collection[bytes]) -> LeftBehind:
        """The turns of all sessions that were edited away or answered anew.

        Args:
            session: the running session; None without one.
            path: identities of the running conversation in that session.
        """
        left = LeftBehind()
        for name, branches in self.sessions.items():
            of_session = branches.left_behind(path if name == session else None)
            left.edited.update(of_session.edited)
            left.replaced.update(of_session.replaced)
            left.taken_back.update(of_session.taken_back)
        if left.taken_back and session is not None:
            left.taken_back.update(self._said_alike(left.taken_back, session))
        return left

    def _said_alike(self, ids: Collection[str], session: str) -> Iterable[str]:
        """Turns of other sessions with the same words as turns that were taken back, as a second import has.

        Words that still stand in the session were not taken back.

        Args:
            ids: the turns that were taken back.
            session: the running session.
        """
        import numpy as np  # noqa: PLC0415 (numpy only when recall is used)

        if (partition := self.partition) is None or session not in partition.sessions:
            return ()
        digests = partition.turns.digest
        gone = np.zeros(len(partition), dtype=np.bool_)
        gone[[partition.row[id_] for id_ in ids if id_ in partition.row]] = True
        own = partition.turns.session == partition.sessions.index(session)
        words = np.setdiff1d(digests[gone], digests[own & ~gone])
        return [partition.ids[row] for row in np.flatnonzero(~own & np.isin(digests, words)).tolist()]


class Changed(NamedTuple):
    """The rows of an owner's views that a call read in its one read of the store (`context.gather`).

    Attributes:
        since: the generation of the partition that was in memory then.
        reply: the rows that changed since that generation.
    """

    since: int
    reply: ViewsReply


class _OwnerLock:
    """The lock of one owner's partition, for as long as somebody holds or awaits it."""

    def __init__(self) -> None:
        self.lock = Lock()


class Partitions:
    """The partitions of the owners used last.

    Args:
        store: keeps the views.
        fingerprint: the fingerprint of the embedder whose vectors are loaded; None loads none.
    """

    def __init__(self, store: Store, fingerprint: str | None) -> None:
        self._store = store
        self.fingerprint = fingerprint
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._lock = Lock()
        self._loaded: OrderedDict[OwnerRef, Loaded] = OrderedDict()
        self._owners: WeakValueDictionary[OwnerRef, _OwnerLock] = WeakValueDictionary()
        self._drops = 0

    def holds(self, owner: OwnerRef) -> bool:
        """Whether an owner's partition is in memory, so that `get` reads only what changed since."""
        with self._lock:
            return owner in self._loaded or not isinstance(self._store, Views)

    def peek(self, owner: OwnerRef) -> Loaded | None:
        """An owner's partition as it was used last, without a read of the store; None when it is not held."""
        with self._lock:
            return self._loaded.get(owner)

    def get(
        self, owner: OwnerRef, changed: Changed | None = None, *, own: Callable[[], int] = lambda: 0
    ) -> Loaded:
        """An owner's partition as of now; an empty one when the store keeps no views.

        Each owner has a lock: loading one owner's forty thousand turns keeps no other owner waiting.

        Args:
            owner: whose partition.
            changed: the rows that a call has read already: then the partition is as of that read, and nothing
                is read here if it was in memory.
            own: tells how many calls wait for this partition; a long load gives way to all other calls.
        """
        if not isinstance(self._store, Views):
            return Loaded()
        with self._lock:
            owner_lock = self._owners.setdefault(owner, _OwnerLock())
        with owner_lock.lock:
            with self._lock:
                held = self._loaded.pop(owner, None)
                drops = self._drops
            if changed is not None and held is not None and held.generation >= changed.reply.generation:
                loaded = held  # another call grew it by the same rows, or more
            else:
                loaded = self._as_of_now(self._store, owner, held, changed, own)
            with self._lock:
                if (
                    drops == self._drops
                ):  # else something was forgotten meanwhile: use it once, do not keep it
                    self._loaded[owner] = loaded
                    if len(self._loaded) > _KEPT_OWNERS:
                        self._loaded.popitem(last=False)
            return loaded

    def _as_of_now(
        self,
        store: Views,
        owner: OwnerRef,
        held: Loaded | None,
        changed: Changed | None,
        own: Callable[[], int],
    ) -> Loaded:
        for _ in range(_TRIES):
            if held is None:
                with Pace(_LOAD_SHARE, own):
                    held, settled = self._with_changes(store, owner, _nothing())
            else:
                held, settled = self._with_changes(store, owner, held, changed)
            if held is not None and settled:
                return held
        return held or _nothing()  # the owner's turns keep changing: the next call reads again

    def _with_changes(
        self, store: Views, owner: OwnerRef, held: Loaded, changed: Changed | None = None
    ) -> tuple[Loaded | None, bool]:
        """A partition with the rows that changed since it was read.

        Args:
            store: where the rows are read.
            owner: whose partition.
            held: the partition as it was; an empty one to read all rows.
            changed: the rows that a call has read already; None reads them here.

        Returns:
            The partition, None when all must be read anew; and whether all its rows are of one moment, with
            no write between the pages.
        """
        grown, known, last = held, held.redaction, 0
        first: ViewsReply | None = None
        read = changed is not None and changed.since == held.generation
        replies = (
            [changed.reply] if changed is not None and read else self._read(store, owner, held.generation)
        )
        for reply in replies:
            if first is None:
                first = reply
                known = held.redaction if held.generation else reply.redaction
            if reply.redaction != known:
                return None, False
            for begin in range(0, len(reply.rows), _AT_ONCE):
                more = self._grown(owner, grown, reply.rows[begin : begin + _AT_ONCE])
                if more is None:
                    return None, False
                grown = more
                give_way()
            last = reply.generation
        if first is not None:
            grown.generation, grown.redaction = first.generation, first.redaction
        return grown, first is None or first.generation == last

    def _read(self, store: Views, owner: OwnerRef, since: int = 0) -> Iterator[ViewsReply]:
        """The rows that changed since a generation, page by page."""
        after = 0
        while True:
            reply = store.views(ViewsRequest(owner, self.fingerprint, since, after, _PAGE))
            if reply.rows and reply.rows[0].seq <= after:
                return  # a store that knows no pages has given all of them at once
            yield reply
            if len(reply.rows) < _PAGE:
                return
            after = reply.rows[-1].seq

    def _grown(self, owner: OwnerRef, held: Loaded, changed: Sequence[ViewRow]) -> Loaded | None:
        """A partition with changed rows: new turns at its end, new vectors at their turns.

        None when a turn was settled after a later one: the order of a partition must be the journal's, so all
        is read anew.
        """
        if held.partition is None:
            return None
        row_of = held.partition.row
        ready = [row for row in changed if row.state in SETTLED and row.entry is not None]
        new = [row for row in ready if f"t{row.seq}" not in row_of]
        vectored = [row for row in ready if f"t{row.seq}" in row_of and row.vector is not None]
        last = int(held.partition.ids[-1][1:]) if len(held.partition) else 0
        if any(row.seq < last for row in new):
            return None
        with reckoning:
            partition, damaged = _appended(held.partition, new)
            if (matrix := _vectors(vectored)) is not None:
                partition = partition.with_vectors([f"t{row.seq}" for row in vectored], matrix)
        # The branches that grow are copied: calls that still rank with the partition before it walk through
        # its own.
        sessions, grown = dict(held.sessions), set[str]()
        for row in new:
            if row.session not in grown:
                known = sessions.get(row.session)
                made = known.copy() if known is not None else Branches(self._tree(owner, row.session))
                sessions[row.session] = made
                grown.add(row.session)
            sessions[row.session].add(row)
            give_way()
        return Loaded(partition=partition, sessions=sessions, damaged=(*held.damaged, *damaged))

    def _tree(self, owner: OwnerRef, session: str) -> Callable[[], Iterable[Node]]:
        """Gives a function that reads the tree of a session."""
        return lambda: self._store.nodes(NodesRequest(SessionRef(owner.user, session))).nodes

    def drop(self) -> None:
        """Drop all partitions, for something was forgotten; the next use reads anew."""
        with self._lock:
            self._drops += 1
            self._loaded.clear()


def _nothing() -> Loaded:
    from convmem.recall import Partition  # noqa: PLC0415 (numpy only when recall is used)

    return Loaded(partition=Partition.from_encoded([]))


def _appended(partition: Partition, rows: Sequence[ViewRow]) -> tuple[Partition, tuple[int, ...]]:
    """The partition with these rows, and the seqs of those whose entries cannot be read."""
    from convmem.recall import DamagedEntryError  # noqa: PLC0415 (numpy only when recall is used)

    if not rows:
        return partition, ()
    try:
        return partition.append_encoded([row.entry or b"" for row in rows], _vectors(rows)), ()
    except DamagedEntryError as error:
        bad = set(error.indices)
        sound = [row for i, row in enumerate(rows) if i not in bad]
        grown, _ = _appended(partition, sound)
        return grown, tuple(rows[i].seq for i in bad)


def _vectors(rows: Sequence[ViewRow]) -> NDArray[np.float32] | None:
    """The vectors of rows as a matrix of shape (rows, width), NaN where a row has none; None without any."""
    import numpy as np  # noqa: PLC0415 (numpy only when recall is used)

    width = max((len(row.vector) // 2 for row in rows if row.vector is not None), default=0)
    if not width:
        return None
    matrix = np.full((len(rows), width), np.nan, dtype=np.float32)
    for i, row in enumerate(rows):
        if row.vector is not None and len(row.vector) == 2 * width:
            matrix[i] = np.frombuffer(row.vector, dtype="<f2")
    return matrix
