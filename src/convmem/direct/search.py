"""Searches an owner's turns without a wrapped call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convmem.abilities import OwnerRef
from convmem.errors import InputError
from convmem.retrieve.indexer import WAIT_FOR_WORDS_S
from convmem.retrieve.recaller import Question
from convmem.types import Hit

if TYPE_CHECKING:
    from convmem.call.shared import Shared

__all__ = ["search"]


def search(
    shared: Shared, query: str, *, user: str | None, session: str | None, top_k: int, budget: int | None
) -> list[Hit]:
    """Find the turns that fit a query best.

    Args:
        shared: what all calls of the Memory share.
        query: what to look for, as a question or words.
        user: the user whose turns are searched; None for those of a session without a user.
        session: only turns of this session.
        top_k: the most hits.
        budget: the most tokens that the hits may have together; None for no limit.
    """
    if user is None and session is None:
        raise InputError("say whose memory to search: user=, or session= for a session without a user")
    owner = OwnerRef(user, session if user is None else None)
    shared.recaller.indexer.wait(WAIT_FOR_WORDS_S)
    vectors, _ = shared.recaller.vectors_of(shared.recaller.ask_soon(query, owner).wait().vectors)
    loaded = shared.recaller.load(owner)
    question = Question(
        owner=owner,
        text=query,
        now=shared.clock().astimezone(shared.resources.tz),
        within=None if session is None else (session,),
        top_k=top_k,
        searching=True,
    )
    ranked = shared.recaller.rank(loaded, question, vectors).hits
    if any(hit.why for hit in ranked):  # hits without a reason are left out as soon as one has a reason
        ranked = tuple(hit for hit in ranked if hit.why)
    found = ranked[:top_k]
    turns = shared.recaller.turns(owner, [hit.id for hit in found])
    hits = [Hit(turn=turns[hit.id], score=hit.score, why=hit.why) for hit in found if hit.id in turns]
    if budget is None:
        return hits
    count = shared.ratios.counter(None)
    kept: list[Hit] = []
    for hit in hits:
        budget -= count(hit.turn.text)
        if budget < 0:
            break
        kept.append(hit)
    return kept
