"""All that is read for a request, before anything is decided about it.

One read as a rule: the store gives the epoch, the messages that are not held in memory, the pins and what
changed of the views. A second one is made only where the window reaches further back than the first went.
What comes out is a frozen value; `context.window`, `context.assemble` decide by it and read nothing.
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
    from convmem.context.kept import Composer
    from convmem.protocols import Node

__all__ = ["Gathered", "Late", "gather"]

_FURTHER = 1_000
"""Turns before these that a further read asks for at once, where the first 200 do not fill the room."""
_READ_TOKENS = 64_000
"""History read to fill a window, at most, when neither an epoch nor the model's limit says where to stop."""
_COLD_S = 24 * 3_600.0
"""After so long without a request no provider's cache holds its beginning: DeepSeek's lives for hours to
days, the others' for minutes."""


class Late(NamedTuple):
    """A summary that a compressor wrote after the window had been cut without it.

    Attributes:
        summary: what it wrote.
        free: no provider's cache holds the beginning of the conversation any more, so it may change.
    """

    summary: Summary
    free: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that a request is decided by, besides its frame.

    Attributes:
        epoch: where its window begins; None before the first cut.
        late: a summary that came too late for its cut.
        earlier: the history that the caller did not send, as it is put back, oldest first.
        whole: nothing of that history was missing from the store.
        said: the journaled messages of it, and when each was said.
        pins: the owner's, the oldest first.
        changed: what changed of the owner's views; None where recall has to read them itself.
        refused: turns that the provider refused before.
        held: ids of the turns that the provider has in a history it keeps, among them those quoted before.
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


def gather(frame: Frame, composer: Composer) -> Gathered:
    """Read what there is for a request.

    Raises:
        StoreError: the store cannot be read.
    """
    reading = _Reading(frame, composer)
    which, nodes = frame.which, frame.placement.before
    path = [node.identity for node in nodes if node.state in SETTLED] if frame.request.held is None else []
    epoch, pins, changed = reading.first(path)
    earlier: tuple[Item, ...] = ()
    whole = True
    if path:
        earlier, whole = reading.earlier(_behind(path, epoch, frame))
    return Gathered(
        epoch=epoch,
        late=_late(epoch, which, composer) if epoch is not None else None,
        earlier=earlier,
        whole=whole,
        said=reading.said,
        pins=pins,
        changed=changed,
        refused=composer.lessons.refused(which),
        held=_held(nodes, epoch, which, composer) if frame.request.held is not None else frozenset(),
    )


class _Reading:
    """What is read for one request.

    Attributes:
        said: the messages that were read, or are held in memory.
    """

    def __init__(self, frame: Frame, composer: Composer) -> None:
        self._frame = frame
        self._composer = composer
        self._memo = composer.memo
        self._looked_for: set[bytes] = set()
        self.said: dict[bytes, Said] = {}

    def first(self, path: Sequence[bytes]) -> tuple[Epoch | None, tuple[str, ...], Changed | None]:
        """The one read: the epoch, the pins, the changed views, and the newest turns of the path."""
        frame, partitions = self._frame, self._composer.recaller.partitions
        partition = partitions.peek(frame.owner)
        views = None
        if partition is not None:
            views = ViewsRequest(frame.owner, partitions.fingerprint, partition.generation)
        reply = self._read(path[-AT_A_TIME:], own=frame.placement.alignment.identities, views=views)
        changed = Changed(views.since, reply.views) if views is not None and reply.views is not None else None
        epoch = reply.epoch if reply.epoch is not None else self._composer.cuts.epoch_here(frame.which)
        return epoch, tuple(pin.text for pin in reply.pins), changed

    def earlier(self, path: Sequence[bytes]) -> tuple[tuple[Item, ...], bool]:
        """The newest turns of the path that fill the room, and whether all of those were there."""
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
        """Look for the turns of a piece, and on the same way for some that stand before it."""
        ref = self._frame.which.ref
        self.said |= self._memo.said(ref, (i for i in piece if i not in self.said))
        while missing := [i for i in piece if i not in self.said and i not in self._looked_for]:
            self._read([*before[-_FURTHER:], *missing])

    def _read(
        self, path: Sequence[bytes], *, own: Sequence[bytes] = (), views: ViewsRequest | None = None
    ) -> CallReadsReply:
        """Read turns that are not held; `own` stand on the path too, and whoever called has them."""
        memo, which = self._memo, self._frame.which
        clears = memo.clears  # before anything is read
        self.said |= memo.said(which.ref, path)
        held = frozenset((*(i for i in path if i in self.said), *own))
        request = CallReadsRequest(which=which, path=(*path, *own), held=held, views=views)
        reply = self._composer.reader.read(request)
        read = {bytes.fromhex(turn.branch): Said(turn.payload, turn.at) for turn in reply.turns}
        memo.keep(which.ref, read, clears=clears)
        self.said |= read
        wanted = request.wanted(reply.epoch)
        unread = wanted[: min(reply.unread, len(wanted) - 1)] if wanted else ()
        self._looked_for |= set(path).difference(unread)
        return reply


def _late(epoch: Epoch, which: EpochRef, composer: Composer) -> Late | None:
    """The summary that a late compressor wrote for the rounds before the epoch."""
    summary = composer.cuts.written_late(which, epoch.start)
    idle_s = composer.memo.idle_s(which)
    return Late(summary, idle_s is None or idle_s >= _COLD_S) if summary is not None else None


def _behind(path: list[bytes], epoch: Epoch | None, frame: Frame) -> list[bytes]:
    """The path from the start of the epoch on; all of it where the epoch is of another branch."""
    if epoch is None:
        return path
    if epoch.start in path:
        return path[path.index(epoch.start) :]
    return [] if epoch.start in frame.placement.alignment.identities else path


def _held(nodes: Sequence[Node], epoch: Epoch | None, which: EpochRef, composer: Composer) -> frozenset[str]:
    """What the provider has in the history it keeps: its turns, and those that were quoted in it."""
    starts = [i for i, node in enumerate(nodes) if epoch is not None and node.identity == epoch.start]
    nodes = nodes[starts[0] :] if starts else nodes
    blocks = composer.memo.blocks(which, (node.identity for node in nodes))
    quoted = (turn.id for block in blocks for turn in block.recalled)
    return frozenset((*quoted, *(f"t{node.seq}" for node in nodes if not node.forgotten)))
