"""The job that records turns which happened without a wrapped call: `memory.record()` and imports.

`memory` submits it. Unlike a call's turns, these are settled from the start, and nothing awaits a
reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convmem.journal.align import Alignment, Incoming, align, place
from convmem.journal.job import Job
from convmem.protocols import CallRow, NewTurn, SessionRef, Write
from convmem.wire.identity import ROOT, meaning_digest
from convmem.wire.values import split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from convmem.journal.forest import Forest
    from convmem.protocols import Store, Written
    from convmem.types import Message

__all__ = ["RecordJob"]


class RecordJob(Job[tuple[str, ...]]):
    """Appends those messages of a list that a session lacks, all of them as settled.

    The result has one id for each turn, known or new; leading system messages are settings and have none.

    Args:
        store: holds the journal.
        ref: the session.
        messages: the messages, oldest first.
        times: when each message was said.
        call_id: the id of the row that keeps the system messages.
        append: put the messages after the last turn, whatever they say; else look for their place.
    """

    def __init__(
        self,
        store: Store,
        ref: SessionRef,
        messages: Sequence[Message],
        times: Sequence[datetime],
        *,
        call_id: str,
        append: bool,
    ) -> None:
        super().__init__()
        self._store = store
        self._ref = ref
        self.user = ref.user
        self._settings, self._turns = split(messages)
        self._times = times[len(self._settings) :]
        self._began = times[0]
        self._call_id = call_id
        self._append = append

    @property
    def ref(self) -> SessionRef:
        """The session that the caller named."""
        return self._ref

    def plan(self, forest: Forest) -> Write | None:
        """The write of the turns that the session lacks; None when it has them all."""
        # That there is nothing to write is decided from the tree as it is now.
        return self._planned(forest, now=False) or self._planned(forest, now=True)

    def _planned(self, forest: Forest, *, now: bool) -> Write | None:
        generation, tree = forest.tree(self._ref, now=now)
        key = self._store.key
        incoming = [Incoming(meaning_digest(key, turn), str(turn["role"])) for turn in self._turns]
        if not incoming:
            where = Alignment("start", ROOT, (), 0)
        elif self._append:
            last = next((node for node in tree.tips()), None)
            where = place(key, tree, last.identity if last is not None else ROOT, incoming)
        else:
            likeness = forest.likeness(self._ref, self._turns)
            where = align(key, tree, incoming, recording=True, likeness=likeness)
        new: list[NewTurn] = []
        states: list[tuple[bytes, Any]] = []
        for i, position in enumerate(where.identities):
            known = tree.get(position)
            if known is not None and known.forgotten:
                continue
            if known is not None and not known.settled:
                states.append((position, "answered"))
            new.append(
                NewTurn(
                    identity=position,
                    # What is known keeps its place and its words, in whatever clothes it came.
                    parent=known.parent
                    if known is not None
                    else where.identities[i - 1]
                    if i
                    else where.base,
                    meaning=known.meaning if known is not None else incoming[i].meaning,
                    payload=self._turns[i],
                    state="answered",
                    at=self._times[i],
                    saying=known.saying if known is not None else 0,
                )
            )
        call = None
        if self._settings:
            call = CallRow(id=self._call_id, at=self._began, state="answered", settings=self._settings)
        if not new and not states and call is None:
            return None
        return Write(ref=self._ref, expect=generation, turns=tuple(new), states=tuple(states), call=call)

    def settle(self, written: Written | None) -> tuple[str, ...]:
        """The ids of the recorded turns."""
        return written.ids if written is not None and written.ids is not None else ()
