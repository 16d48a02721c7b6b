"""Reads what one call needs of a store: in one go where the store can do that, else by its single abilities.

`context.gather` asks `read` for a request; `context.compose` asks `journaled` for the turns to summarize.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.abilities import CallReads, CallReadsReply, Epochs, OwnerRef, Pins
from convmem.protocols import TurnsRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.abilities import CallReadsRequest, EpochRef
    from convmem.protocols import Store
    from convmem.types import Turn

__all__ = ["AT_A_TIME", "CallReader"]

AT_A_TIME = 200
"""Turns of the history that are read and counted in one step, until they fill the room. Most windows are no
longer, so that one read is enough; a greater number reads turns that are not sent."""


class CallReader:
    """Reads what a call needs: in one go where the store can do that, else by its single abilities."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_once = store if isinstance(store, CallReads) else None

    def read(self, request: CallReadsRequest) -> CallReadsReply:
        """Read the epoch, turns, pins and views that a call asks for.

        A store without `abilities.CallReads` gives no views here; recall then reads them itself.
        """
        if self._at_once is not None:
            return self._at_once.call_reads(request)
        store, which = self._store, request.which
        epoch = store.epoch(which) if isinstance(store, Epochs) else None
        wanted = request.wanted(epoch)[-AT_A_TIME:]
        asked = TurnsRequest(ref=which.ref, identities=wanted, limit=2 * len(wanted))
        rows: Sequence[Turn] = store.turns(asked) if wanted else ()
        first = {turn.branch: turn for turn in reversed(rows)}  # of several sayings the first
        return CallReadsReply(
            epoch=epoch,
            turns=[first[i.hex()] for i in wanted if i.hex() in first],
            unread=len(request.wanted(epoch)) - len(wanted),
            pins=store.pins(OwnerRef.of(which.ref)) if isinstance(store, Pins) else (),
        )

    def journaled(self, which: EpochRef, identities: Sequence[bytes]) -> list[Turn]:
        """Read turns in full, in the order of their identities here, without those that were forgotten."""
        found: dict[str, Turn] = {}
        for i in range(0, len(identities), AT_A_TIME):
            part = tuple(identities[i : i + AT_A_TIME])
            asked = TurnsRequest(ref=which.ref, identities=part, limit=2 * len(part))
            found |= {turn.branch: turn for turn in reversed(self._store.turns(asked))}
        return [found[i.hex()] for i in identities if i.hex() in found]
