"""Reads the epoch, older turns, pins and changed views that a request needs, as a rule in one transaction.

`context.compose` calls `gather` before anything is decided about the request. A second read is made only
where the window reaches further back than the first 200 turns. The result is a frozen value; `context.window`
and `context.assemble` decide by it and read nothing themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from convmem.abilities import CallReadsRequest, ViewsRequest
from convmem.context.memo import Said
from convmem.context.reader import AT_A_TIME
from convmem.protocols import SETTLED
from convmem.retrieve.partitions import Changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convmem.abilities import CallReadsReply, Epoch, EpochRef
    from convmem.context.cut import Summary
    from convmem.context.frame import Frame, Item
    from convmem.context.resources import Resources
    from convmem.protocols import Node

__all__ = ["Gathered", "Late", "gather"]

_FURTHER = 1_000
"""Turns that a further read asks for besides the missing ones, where the first 200 do not fill the room:
enough for most windows, so that a third read is rare."""
_READ_TOKENS = 64_000
"""Tokens of history read to fill a window, at most, when neither an epoch nor the model's limit says where to
stop."""
_COLD_S = 24 * 3_600.0
"""Seconds without a request, a day, after which no provider's cache holds the beginning of the conversation:
DeepSeek's cache lives for hours to days, the others' for minutes."""


class Late(NamedTuple):
    """A summary that a compressor wrote after the window had been cut without it.

    Attributes:
        summary: the summary that the compressor wrote.
        free: no provider's cache holds the beginning of the conversation any more, so that using this summary
            costs nothing.
    """

    summary: Summary
    free: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that was read for a request, by which it is decided together with its frame.

    Attributes:
        epoch: the turn with which the window begins, and the summary; None before the first cut.
        late: a summary that came too late for its cut; None as a rule.
        earlier: the history that the caller did not send, as it is put back, oldest first.
        whole: no turn of that history was missing from the store.
        said: the journaled messages of that history and when each was said, by identity.
        pins: the owner's pins, the oldest first.
        changed: the rows of the owner's views that changed; None where recall has to read them itself.
        refused: identities of turns that the provider refused before.
        held: ids of the turns that the provider has in a history it keeps, quoted ones included.
    """

    epoch: Epoch | None = None
    late: Late | None = None
    earlier: tuple[Item, ...] = ()
    whole: bool = True
    said: Mapping[bytes, Said] = field(default_factory=dict["bytes", "Said"])
    pins: tuple[str, ...] = ()
    changed: Changed | None = None
    refused: frozenset[bytes] = frozenset()
    held: frozenset[str] = frozenset()


def gather(frame: Frame, resources: Resources) -> Gathered:
    """Read what a request needs.

    Args:
        frame: the frame of the request.
        resources: what all requests of the Memory share.

    Raises:
        StoreError: the store cannot be read.
    """
    reading = _Reading(frame, resources)
    which, nodes = frame.which, frame.placement.before
    path = [node.identity for node in nodes if node.state in SETTLED] if frame.request.held is None else []
    epoch, pins, changed = reading.first(path)
    earlier: tuple[Item, ...] = ()
    whole = True
    if path:
        earlier, whole = reading.earlier(_behind(path, epoch, frame))
    return Gathered(
        epoch=epoch,
        late=_late(epoch, which, resources) if epoch is not None else None,
        earlier=earlier,
        whole=whole,
        said=reading.said,
        pins=pins,
        changed=changed,
        refused=resources.lessons.refused(which),
        held=_held(nodes, epoch, which, resources) if frame.request.held is not None else frozenset(),
    )


class _Reading:
    """The reads for one request.

    Attributes:
        said: the messages that were read, or were in memory, by identity.
    """

    def __init__(self, frame: Frame, resources: Resources) -> None:
        self._frame = frame
        self._resources = resources
        self._memo = resources.memo
        self._looked_for: set[bytes] = set()
        self.said: dict[bytes, Said] = {}

    def first(self, path: Sequence[bytes]) -> tuple[Epoch | None, tuple[str, ...], Changed | None]:
        """Read the epoch, the pins, the changed views and the newest turns of the path in one transaction."""
        frame, partitions = self._frame, self._resources.recaller.partitions
        partition = partitions.peek(frame.owner)
        views = None
        if partition is not None:
            views = ViewsRequest(frame.owner, partitions.fingerprint, partition.generation)
        reply = self._read(path[-AT_A_TIME:], own=frame.placement.alignment.identities, views=views)
        changed = Changed(views.since, reply.views) if views is not None and reply.views is not None else None
        epoch = reply.epoch if reply.epoch is not None else self._resources.cuts.epoch_here(frame.which)
        return epoch, tuple(pin.text for pin in reply.pins), changed

    def earlier(self, path: Sequence[bytes]) -> tuple[tuple[Item, ...], bool]:
        """The newest turns of the path that fill the room, and whether the store had all of those."""
        frame, room = self._frame, self._frame.room
        left = (room if room is not None else _READ_TOKENS) - sum(item.tokens for item in frame.own)
        items: list[Item] = []
        whole = True
        while path and left > 0:
            path, piece = path[:-AT_A_TIME], path[-AT_A_TIME:]
            self._make_sure_of(piece, path)
            said = {i: self.said[i] for i in piece if i in self.said}
            whole = whole and len(said) == len(piece)
            back = self._memo.put_back(frame, said)
            read = [back[i] for i in piece if i in back]
            items = [*read, *items]
            left -= sum(item.tokens for item in read)
        return tuple(items), whole

    def _make_sure_of(self, piece: Sequence[bytes], before: Sequence[bytes]) -> None:
        """Read those turns of a piece that are missing, and with the same read some that stand before it."""
        ref = self._frame.which.ref
        self.said |= self._memo.said(ref, (i for i in piece if i not in self.said))
        while missing := [i for i in piece if i not in self.said and i not in self._looked_for]:
            self._read([*before[-_FURTHER:], *missing])

    def _read(
        self, path: Sequence[bytes], *, own: Sequence[bytes] = (), views: ViewsRequest | None = None
    ) -> CallReadsReply:
        """Read the turns of the path that are not in memory, and keep them there.

        Args:
            path: identities of turns, oldest first.
            own: identities of the turns that the caller sent, which follow on the path and need no read.
            views: the request for the owner's changed views; None for none.
        """
        memo, which = self._memo, self._frame.which
        clears = memo.clears  # before the read: what is forgotten during it must not be kept
        self.said |= memo.said(which.ref, path)
        held = frozenset((*(i for i in path if i in self.said), *own))
        request = CallReadsRequest(which=which, path=(*path, *own), held=held, views=views)
        reply = self._resources.reader.read(request)
        read = {bytes.fromhex(turn.branch): Said(turn.payload, turn.at) for turn in reply.turns}
        memo.keep(which.ref, read, clears=clears)
        self.said |= read
        wanted = request.wanted(reply.epoch)
        unread = wanted[: min(reply.unread, len(wanted) - 1)] if wanted else ()
        self._looked_for |= set(path).difference(unread)
        return reply


def _late(epoch: Epoch, which: EpochRef, resources: Resources) -> Late | None:
    """The summary that a late compressor wrote for the rounds before the epoch."""
    summary = resources.cuts.written_late(which, epoch.start)
    idle_s = resources.memo.idle_s(which)
    return Late(summary, idle_s is None or idle_s >= _COLD_S) if summary is not None else None


def _behind(path: list[bytes], epoch: Epoch | None, frame: Frame) -> list[bytes]:
    """The part of the path from the start of the epoch on; all of it where the epoch is of another branch."""
    if epoch is None:
        return path
    if epoch.start in path:
        return path[path.index(epoch.start) :]
    return [] if epoch.start in frame.placement.alignment.identities else path


def _held(
    nodes: Sequence[Node], epoch: Epoch | None, which: EpochRef, resources: Resources
) -> frozenset[str]:
    """Ids of the turns that the provider has in the history it keeps, and of those that were quoted in it."""
    starts = [i for i, node in enumerate(nodes) if epoch is not None and node.identity == epoch.start]
    nodes = nodes[starts[0] :] if starts else nodes
    blocks = resources.memo.blocks(which, (node.identity for node in nodes))
    quoted = (turn.id for block in blocks for turn in block.recalled)
    return frozenset((*quoted, *(f"t{node.seq}" for node in nodes if not node.forgotten)))
