"""Learns from a provider's refusal how to change a request that memory had composed.

`call.exchange` asks `remedy` once for a call, and composes the request again where it knew something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convmem.call.shared import Shared
    from convmem.context.compose import Composition
    from convmem.providers.refusal import Refusal

__all__ = ["remedy"]

_THOUGHTS = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
"""Fields of a message in which providers send thoughts: a refusal that names one is about how they came
back."""


def remedy(shared: Shared, composition: Composition, refusal: Refusal, *, tokens: int) -> str | None:
    """Learn from a refusal how to compose the request anew.

    Args:
        shared: what the calls of the Memory share: the lessons are remembered there.
        composition: the request that was refused.
        refusal: the provider's error, as far as it was understood.
        tokens: the tokens of the refused request, as counted here.

    Returns:
        The note for the receipt; None when the refusal teaches nothing.
    """
    lessons, which = shared.resources.lessons, composition.which
    if refusal.overflow:
        limit, named = composition.limit_after(refusal.limit, tokens)
        if limit is None:
            return None  # the caller's own messages do not fit, whatever memory leaves out
        lessons.learn_limit(which, limit, named=named)
        if named:
            shared.pool.submit(lambda: lessons.limits.keep(which.host, which.model, limit))
        told = f"its limit is {limit} tokens, which is kept" if named else "without a number"
        return f"the provider refused the request for its length, {told}: sent again, shorter"
    if refusal.fields & _THOUGHTS and lessons.learn_thoughts(which, composition.dialect):
        return "the provider refused how thoughts were put back: sent again the other way, from now on"
    turns = composition.turns_of(refusal.message) if refusal.message is not None else None
    if turns:
        lessons.refuse(which, turns)
        return "the provider refused a message that memory had put back: sent again without its round"
    return None
