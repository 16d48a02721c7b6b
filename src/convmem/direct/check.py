"""Checks a store, makes missing views again, and repairs a damaged SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.abilities import Checks, Condition, OwnerRef, Views, ViewsRequest
from convmem.arguments.checks import checked_file
from convmem.call.shared import utc_now
from convmem.direct.export import LONG_SHARE, pages
from convmem.errors import InputError, StoreCorruptError
from convmem.protocols import SessionRef, SessionsRequest, TurnsRequest
from convmem.retrieve.indexer import WAIT_FOR_WORDS_S
from convmem.threads.pace import Pace, give_way
from convmem.types import Health, Repaired

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from convmem.abilities import ViewRow
    from convmem.call.shared import Shared
    from convmem.protocols import Store

__all__ = ["check", "repair"]

_PAGE = 1_000
"""Turns whose views are read and decoded together, which takes 5 ms: with more, calls wait longer for the
interpreter; with fewer, the queries cost more than the work."""


def check(shared: Shared, *, mend: bool, timeout: float | None) -> Health:
    """Check the journal and the views derived from it.

    Args:
        shared: what all calls of the Memory share.
        mend: make the views again that are missing or damaged.
        timeout: seconds that mending may take; None for as long as it takes.
    """
    store = shared.store
    found = store.check() if isinstance(store, Checks) else Condition()
    try:
        turns = _turns(store)
        shared.recaller.indexer.wait(WAIT_FOR_WORDS_S)
        health = _derived(store, shared.recaller.indexer.fingerprint)
        if mend:
            shared.recaller.indexer.wake([int(id_[1:]) for id_ in health.damaged])
            shared.recaller.indexer.wait(timeout, vectors=True)
            health = _derived(store, shared.recaller.indexer.fingerprint)
    except StoreCorruptError as error:
        return _health(found, (*found.problems, str(error.__cause__ or error)), Health())
    return _health(found, found.problems, health, turns)


def _health(found: Condition, problems: Sequence[str], derived: Health, turns: int = 0) -> Health:
    return Health(
        problems=tuple(dict.fromkeys(problems)),
        turns=turns,
        damaged=derived.damaged,
        without_words=derived.without_words,
        without_vectors=derived.without_vectors,
        log_bytes=found.log_bytes,
        free_bytes=found.free_bytes,
    )


def _turns(store: Store) -> int:
    """Read every turn of a store, and return how many there are; a damaged one raises."""
    pace = Pace(LONG_SHARE)
    return sum(
        1
        for row in store.sessions(SessionsRequest())
        for _ in pages(store, TurnsRequest(ref=SessionRef(row.user, row.name)), pace)
    )


def _derived(store: Store, fingerprint: str | None) -> Health:
    damaged: list[str] = []
    without_words = without_vectors = 0
    with Pace(LONG_SHARE):
        for rows in _views(store, fingerprint):
            damaged += [f"t{seq}" for seq in _damaged(rows)]
            without_words += sum(row.entry is None for row in rows)
            without_vectors += sum(row.vector is None for row in rows)
            give_way()
    return Health(
        damaged=tuple(damaged),
        without_words=without_words,
        without_vectors=without_vectors if fingerprint is not None else None,
    )


def _views(store: Store, fingerprint: str | None) -> Iterator[Sequence[ViewRow]]:
    """Yield the views of each owner, `_PAGE` turns at a time."""
    if not isinstance(store, Views):
        return
    sessions = store.sessions(SessionsRequest())
    owners = dict.fromkeys(OwnerRef(s.user, s.name if s.user is None else None) for s in sessions)
    for owner in owners:
        after = 0
        rows: Sequence[ViewRow] = ()
        while not after or len(rows) == _PAGE:
            rows = store.views(ViewsRequest(owner, fingerprint, after=after, limit=_PAGE)).rows
            if not rows or rows[0].seq <= after:
                break  # there are no more, or the store ignores `limit` and gave all at once before
            yield rows
            after = rows[-1].seq


def _damaged(rows: Sequence[ViewRow]) -> list[int]:
    """Return the `seq` of the turns whose entries cannot be decoded."""
    from convmem.recall import DamagedEntryError  # noqa: PLC0415 (numpy only when recall is used)
    from convmem.recall.codec import decode_many  # noqa: PLC0415

    made = [row for row in rows if row.entry is not None]
    try:
        decode_many([row.entry or b"" for row in made])
    except DamagedEntryError as error:
        return [made[i].seq for i in error.indices]
    return []


def repair(path: str | Path) -> Repaired:
    """Write a damaged SQLite file anew with everything that can be read of it, and keep a copy of it.

    Close every Memory on the file first. Views are made again by the next Memory that is opened on it.

    Args:
        path: the file.

    Raises:
        InputError: there is no such file.
        StoreError: the file is no convmem database, somebody has it open, or nothing of it can be read; it is
            left as it was.
    """
    file = checked_file("path", path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    from convmem.stores.sqlite.salvage import salvage  # noqa: PLC0415 (seldom needed)

    done = salvage(file.absolute(), utc_now)
    return Repaired(copy=done.copy, turns=done.turns, lost=done.lost)
