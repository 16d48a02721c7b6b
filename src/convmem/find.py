"""Finding the session that a history continues, when the caller names none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.protocols import FindRequest
from convmem.session.align import align
from convmem.wire.identity import ROOT, chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.journal import Forest
    from convmem.protocols import SessionRef
    from convmem.session.align import Alignment, Incoming

__all__ = ["find_session"]

_LOOKED_UP = 64
_LEAST_KNOWN = 2


def find_session(
    forest: Forest, key: bytes, user: str | None, turns: Sequence[Incoming]
) -> SessionRef | None:
    """The session whose chain these turns continue: two turns or more of it, or None.

    Without a user nobody vouches that two conversations that begin alike are one person's. Then only a
    history that is sent whole and ends where the session ends continues it, so that nothing of the session
    is in the answer that the caller did not send.
    """
    if len(turns) < _LEAST_KNOWN:
        return None
    identities = chain(key, ROOT, [turn.meaning for turn in turns])[1:]
    replies = [turn.meaning for turn in turns if turn.role == "assistant"] if user is not None else []
    request = FindRequest(user, tuple(identities[-_LOOKED_UP:]), tuple(replies[-1:]))
    best: tuple[int, SessionRef | None] = (_LEAST_KNOWN - 1, None)
    for ref in forest.store.find(request):
        _, tree = forest.tree(ref)
        place = align(key, tree, turns)
        if place.known > best[0] and (user is not None or _vouched(place)):
            best = (place.known, ref)
    return best[1]


def _vouched(place: Alignment) -> bool:
    return place.base == ROOT and place.kind in {"continue", "repeat"}
