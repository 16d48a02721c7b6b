"""What the kits for abilities share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convmem.abilities import Epochs, Forgets, OwnerRef, Pins, UnindexedRequest, Views, ViewsRequest
from convmem.testing._store.base import ALICE, turns

if TYPE_CHECKING:
    from convmem.abilities import ViewRow, ViewsReply
    from convmem.protocols import SessionRef, Store

__all__ = [
    "MODEL",
    "OSAKA",
    "OTHER_MODEL",
    "cutting",
    "forgetful",
    "owner_of",
    "pinning",
    "rows",
    "seqs",
    "unindexed",
    "viewing",
    "views",
]

MODEL, OTHER_MODEL = "embedder-a@1", "embedder-b@1"
OSAKA = replace(ALICE, session="osaka")
"""Another session of the same user."""


def viewing(store: object) -> Views:
    """The store as one that keeps views."""
    if not isinstance(store, Views):
        raise AssertionError(f"{type(store).__name__} lacks methods of Views")  # noqa: TRY004
    return store


def cutting(store: object) -> Epochs:
    """The store as one that keeps epochs."""
    if not isinstance(store, Epochs):
        raise AssertionError(f"{type(store).__name__} lacks methods of Epochs")  # noqa: TRY004
    return store


def pinning(store: object) -> Pins:
    """The store as one that keeps pins."""
    if not isinstance(store, Pins):
        raise AssertionError(f"{type(store).__name__} lacks methods of Pins")  # noqa: TRY004
    return store


def forgetful(store: object) -> Forgets:
    """The store as one that forgets."""
    if not isinstance(store, Forgets):
        raise AssertionError(f"{type(store).__name__} lacks methods of Forgets")  # noqa: TRY004
    return store


def owner_of(ref: SessionRef) -> OwnerRef:
    """Whose session it is."""
    return OwnerRef(ref.user, None if ref.user is not None else ref.session)


def seqs(store: Store, ref: SessionRef) -> list[int]:
    """The places of a session's turns."""
    return [turn.seq for turn in turns(store, ref)]


def views(store: Store, ref: SessionRef, fingerprint: str | None = MODEL, since: int = 0) -> ViewsReply:
    """The views of a session's owner."""
    return viewing(store).views(ViewsRequest(owner_of(ref), fingerprint, since))


def rows(store: Store, ref: SessionRef, fingerprint: str | None = MODEL) -> dict[int, ViewRow]:
    """The same by place."""
    return {row.seq: row for row in views(store, ref, fingerprint).rows}


def unindexed(store: Store, fingerprint: str | None, after: int = 0, limit: int = 64) -> list[int]:
    """Places of turns that still need a view."""
    return [t.seq for t in viewing(store).unindexed(UnindexedRequest(fingerprint, after, limit))]
