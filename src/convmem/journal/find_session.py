"""Finds the session that a call continues: by the history that was sent, or by the provider's id for it.

`journal.begin` asks `find_session` for a history that was sent, and `find_held` for a conversation that the
provider keeps (a `previous_response_id` or a `conversation` of the Responses API).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.abilities import ResponseRequest, Responses
from convmem.journal.align import align
from convmem.protocols import FindRequest, SessionRef
from convmem.wire.identity import ROOT, chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.journal.align import Alignment, Incoming
    from convmem.journal.forest import Forest
    from convmem.journal.tree import Tree
    from convmem.types import Message
    from convmem.wire.values import Held

__all__ = ["find_held", "find_session"]

_LOOKED_UP = 64
"""Turns of the history, the latest, whose identities the store looks up. The latest ones are new and stand in
no session, so it takes several; more than this only make the query longer."""
_LOOKED_UP_ALONE = 4
"""Answered turns, the latest, that are looked up by meaning where a history comes in other clothes."""
_LOOKED_UP_REPLIES = 8
"""Replies, the latest, that are looked up among those that this process journaled itself."""
_LEAST_KNOWN = 2
"""Turns that a session must know of the history: one alone ("hello") stands in many sessions."""


def find_session(
    forest: Forest, key: bytes, user: str | None, turns: Sequence[Incoming], messages: Sequence[Message]
) -> SessionRef | None:
    """The session that a history continues, if it knows at least two turns of the history; else None.

    Of several sessions the one wins that knows most turns of the history; of those one that ends where the
    history goes on, since two chats may begin alike; of those the last written. Where equal digests do not
    explain all turns that had their answer, the history may have come in other clothes: then the words of
    sessions are read that know its last turns.

    Without a user nobody vouches that two conversations that begin alike are one person's. Then only a
    history that is sent whole and ends where the session ends, but for half replies to it, continues it, so
    that nothing of the session is in the answer that the caller did not send. In other clothes it continues
    a session only when no other one fits as well.

    Args:
        forest: the trees of sessions.
        key: the store's key.
        user: whose sessions; None looks among those that belong to nobody.
        turns: digests and roles of the history, oldest first.
        messages: the same turns as messages.
    """
    if len(turns) < _LEAST_KNOWN:
        return None
    identities = chain(key, ROOT, [turn.meaning for turn in turns])[1:]
    replies = [turn.meaning for turn in turns if turn.role == "assistant"] if user is not None else []
    request = FindRequest(user, tuple(identities[-_LOOKED_UP:]), tuple(replies[-1:]))
    best: SessionRef | None = None
    most = (_LEAST_KNOWN - 1, True)
    for ref in forest.store.find(request):
        _, tree = forest.tree(ref, now=True)
        place = align(key, tree, turns)
        fit = (place.known, _at_end(place))
        if fit > most and (user is not None or _vouched(tree, place)):
            best, most = ref, fit
    answered = next((i for i in range(len(turns), 0, -1) if turns[i - 1].role == "assistant"), 0)
    if most[0] >= answered:
        return best
    rivals = 0
    for ref in _candidates(forest, user, turns[:answered], messages):
        _, tree = forest.tree(ref, now=True)
        place = align(key, tree, turns, likeness=forest.likeness(ref, messages))
        fit = (place.known, _at_end(place))
        if fit > most and (user is not None or _vouched(tree, place)):
            best, most, rivals = ref, fit, 0
        elif fit == most and place.hidden and ref != best and _vouched(tree, place):
            rivals += 1
    return None if user is None and rivals else best


def _candidates(
    forest: Forest, user: str | None, answered: Sequence[Incoming], messages: Sequence[Message]
) -> list[SessionRef]:
    """Sessions that may know a history in other clothes: those that hold its last replies or turns."""
    # Another process may have answered since: then an earlier reply of this one's leads to the session.
    replies = [i for i in range(len(answered) - 1, -1, -1) if answered[i].role == "assistant"]
    ended = (forest.ended_with(user, messages[i]) for i in replies[:_LOOKED_UP_REPLIES])
    last = dict.fromkeys(turn.meaning for turn in answered[-_LOOKED_UP_ALONE:])
    found = forest.store.find(FindRequest(user, (), tuple(last)))
    return list(dict.fromkeys((*(ref for ref in ended if ref is not None), *found)))


def _at_end(place: Alignment) -> bool:
    """Whether the history goes on where the session ends, and no reply stands there already."""
    return place.kind in {"continue", "repeat"}


def _vouched(tree: Tree, place: Alignment) -> bool:
    """Whether the list was sent whole and ends where the session ends, but for half replies to it."""
    if place.base != ROOT:
        return False
    replies = [child for child in tree.children(place.end) if child.settled] if place.identities else []
    half = all(child.state == "partial" and not tree.children(child.identity) for child in replies)
    return _at_end(place) or (place.kind == "regenerate" and half)


def find_held(
    forest: Forest, user: str | None, session: str | None, held: Held
) -> tuple[SessionRef, bytes | None] | None:
    """The session of a conversation that the provider keeps, and the turn that the call continues.

    A response is found by its id, where its call was journaled. A conversation is the session of that name,
    and continues at its head.

    Args:
        forest: the trees of sessions.
        user: whose conversation; None for nobody's.
        session: the session that the caller named; None where none was.
        held: the response or the conversation that the call continues.

    Returns:
        The session, and the identity of the turn, None for the head; or None for both when the journal does
        not know the conversation, or knows it from another user's memory.
    """
    if held.response is None:
        name = session or held.conversation
        ref = SessionRef(user, name) if name is not None else None
        return (ref, None) if ref is not None and len(forest.tree(ref, now=True)[1]) else None
    store = forest.store
    known = (
        store.response(ResponseRequest(user, held.response, session))
        if isinstance(store, Responses)
        else None
    )
    if known is None or known.end is None:
        return None
    _, tree = forest.tree(known.ref, now=True)
    partial = [child for child in tree.children(known.end) if child.state == "partial"]
    return known.ref, partial[-1].identity if known.state == "partial" and partial else known.end
