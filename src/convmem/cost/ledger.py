"""What calls cost together. Pure."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from convmem.types import Cost, Ledger
from convmem.wire.usage import cached_tokens, counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convmem.protocols import CallRow
    from convmem.providers.prices import Prices

__all__ = ["summed"]


def summed(calls: Iterable[CallRow], prices: Prices) -> Ledger:
    """The calls' tokens by their providers' counts, and their costs by the prices of their time."""
    n = uncounted = unpriced = prompt = cached = output = 0
    by_model: defaultdict[str, Cost] = defaultdict(Cost)
    for call in calls:
        n += 1
        tokens = counted(call.usage) if call.usage else None
        if tokens is None:
            uncounted += 1
            continue
        prompt += tokens.prompt
        cached += cached_tokens(call.usage) or 0
        output += tokens.output
        cost = prices.cost(call.usage, host=call.host, model=call.model, at=call.at)
        if cost is None:
            unpriced += 1
        else:
            by_model[call.model or ""] += cost
    return Ledger(
        calls=n,
        uncounted=uncounted,
        unpriced=unpriced,
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        by_model=MappingProxyType(dict(sorted(by_model.items()))),
    )
