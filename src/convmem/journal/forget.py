"""Forgets turns on the writer thread: those that were found beforehand, and those journaled since.

`direct.forget` looks through the owner's turns first, on the caller's thread (`Search`), and then submits a
`ForgetChange`. That looks once more at what was journaled in between, so that nothing that was acknowledged
before `forget` returns survives it.
"""

from __future__ import annotations

from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from convmem.abilities import ForgetRequest, Forgets, Forgotten, Pins
from convmem.errors import StoreError
from convmem.journal.job import Change
from convmem.protocols import SessionRef, TurnsRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convmem.abilities import OwnerRef, Pin
    from convmem.journal.forest import Forest
    from convmem.protocols import Store
    from convmem.types import Turn

__all__ = ["ForgetChange", "Search", "turns_of"]

_LOOKS = 100
"""Looks for turns that other processes journal while something is forgotten, at most. Each takes
milliseconds, and mostly the first finds nothing; the number only ends a race with a process that never stops
writing."""

_HAND_OVER_S = 0.25
"""Seconds for which the writer waits until the thread that forgets has woken. That takes .1 ms as a rule, and
longer on a busy machine; a thread that is gone keeps the writer no longer than this."""


def turns_of(owner: OwnerRef, session: str | None) -> TurnsRequest:
    """The request for all turns of an owner, or for those of one session."""
    name = session if owner.user is not None else owner.session
    if name is not None:
        return TurnsRequest(ref=SessionRef(owner.user, name))
    return TurnsRequest(owner=owner.user)


@dataclass(slots=True)
class Search:
    """Looks through an owner's turns for those to forget, in the journal's order, and goes on where it ended.

    Attributes:
        owner: whose turns.
        session: only this session; None for all sessions of the owner.
        turn: tells whether a turn is to be forgotten.
        pin: tells whether a pin is to be forgotten.
        found: the `seq`s of the turns to forget, up to `after`.
        after: the `seq` of the last turn that was looked at.
    """

    owner: OwnerRef
    session: str | None
    turn: Callable[[Turn], bool]
    pin: Callable[[Pin], bool]
    found: list[int] = field(default_factory=list[int])
    after: int = 0

    def go_on(self, store: Store) -> bool:
        """Look at the turns that were journaled since; returns whether one of them is to be forgotten."""
        known = len(self.found)
        request = turns_of(self.owner, self.session)
        while turns := store.turns(replace(request, after=self.after)):
            self.found += [turn.seq for turn in turns if self.turn(turn)]
            self.after = turns[-1].seq
            if len(turns) < request.limit:
                break
        return len(self.found) > known

    def pins(self, store: Store) -> tuple[str, ...]:
        """The ids of the owner's pins that are to be forgotten."""
        return (
            tuple(pin.id for pin in store.pins(self.owner) if self.pin(pin))
            if isinstance(store, Pins)
            else ()
        )


class ForgetChange(Change[Forgotten]):
    """Forgets turns and all that was derived from them, after everything that was submitted before it.

    Args:
        request: the turns and pins to forget, or all of an owner or session.
        search: finds the turns and pins, where they are chosen by their words. It has looked through the
            journal already, so that the writer thread looks only at what was journaled since.
    """

    def __init__(self, request: ForgetRequest, search: Search | None = None) -> None:
        super().__init__()
        self.user = request.owner.user
        self._request = request
        self._search = search
        self._taken: Future[None] = Future()

    def apply(self, forest: Forest) -> Forgotten:
        """Forget what was found, and look again, until a look finds nothing new."""
        store = forest.store
        if not isinstance(store, Forgets):
            raise StoreError(f"{type(store).__name__} cannot forget")
        done = Forgotten((), 0, 0)
        try:
            for request in self._requests(forest.store):
                part = store.forget(request)
                done = Forgotten((*done.seqs, *part.seqs), done.pins + part.pins, part.pending)
        finally:
            forest.forget(self._request.owner)
        return done

    def hand_over(self) -> None:
        """Keep the writer thread from writing until the thread that forgets is about to return.

        Else a turn that comes next might be acknowledged first, and somebody who is told that all is
        forgotten would find what was acknowledged before.
        """
        wait((self._taken,), timeout=_HAND_OVER_S)

    def let_go(self) -> None:
        """Let the writer thread go on: the thread that forgets is about to return."""
        if not self._taken.done():
            self._taken.set_result(None)

    def _requests(self, store: Store) -> Iterator[ForgetRequest]:
        """The requests to carry out: the first, and one more after each look that found new turns."""
        search = self._search
        if search is None:
            yield self._request
            return
        search.go_on(store)
        for _ in range(_LOOKS):
            yield replace(self._request, seqs=tuple(search.found), pins=search.pins(store))
            if not search.go_on(store):
                return
