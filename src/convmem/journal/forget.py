"""Forgetting on the writer thread: what was found before, and what was journaled since it was looked for."""

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
"""Looks for what other processes journal while something is forgotten; each takes milliseconds, and mostly
the first finds nothing."""

_HAND_OVER_S = 0.25
"""Seconds in which a thread that was woken gets a processor, also on a busy machine; mostly .1 ms do."""


def turns_of(owner: OwnerRef, session: str | None) -> TurnsRequest:
    """Asks for an owner's turns, or for those of one session."""
    name = session if owner.user is not None else owner.session
    if name is not None:
        return TurnsRequest(ref=SessionRef(owner.user, name))
    return TurnsRequest(owner=owner.user)


@dataclass(slots=True)
class Search:
    """Looks through an owner's turns, in the journal's order, and goes on where it ended before.

    Attributes:
        owner: whose.
        session: only this session; None for all.
        turn: whether a turn is meant.
        pin: whether a pin is meant.
        found: the `seq`s of the turns that are meant, as far as it has looked.
        after: the last turn it has looked at.
    """

    owner: OwnerRef
    session: str | None
    turn: Callable[[Turn], bool]
    pin: Callable[[Pin], bool]
    found: list[int] = field(default_factory=list[int])
    after: int = 0

    def go_on(self, store: Store) -> bool:
        """Look at what was journaled since; whether something of it is meant."""
        known = len(self.found)
        request = turns_of(self.owner, self.session)
        while turns := store.turns(replace(request, after=self.after)):
            self.found += [turn.seq for turn in turns if self.turn(turn)]
            self.after = turns[-1].seq
            if len(turns) < request.limit:
                break
        return len(self.found) > known

    def pins(self, store: Store) -> tuple[str, ...]:
        """The ids of the pins that are meant."""
        return (
            tuple(pin.id for pin in store.pins(self.owner) if self.pin(pin))
            if isinstance(store, Pins)
            else ()
        )


class ForgetChange(Change[Forgotten]):
    """Forget turns and what was derived from them, after all that was submitted before it.

    Args:
        request: what to forget.
        search: finds the turns and pins instead, where they are chosen by their words. It has looked through
            the journal already, so that only what was journaled since keeps the writer thread.
    """

    def __init__(self, request: ForgetRequest, search: Search | None = None) -> None:
        super().__init__()
        self.user = request.owner.user
        self._request = request
        self._search = search
        self._taken: Future[None] = Future()

    def apply(self, forest: Forest) -> Forgotten:
        """Forget, until a look finds nothing that was journaled since."""
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
        """Write nothing until whoever forgets is about to return.

        Else a turn that comes next might be acknowledged first, and somebody who is told that all is
        forgotten would find what was acknowledged before.
        """
        wait((self._taken,), timeout=_HAND_OVER_S)

    def let_go(self) -> None:
        """Whoever forgets returns now."""
        if not self._taken.done():
            self._taken.set_result(None)

    def _requests(self, store: Store) -> Iterator[ForgetRequest]:
        search = self._search
        if search is None:
            yield self._request
            return
        search.go_on(store)
        for _ in range(_LOOKS):
            yield replace(self._request, seqs=tuple(search.found), pins=search.pins(store))
            if not search.go_on(store):
                return
