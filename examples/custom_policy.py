"""A policy of one's own: a window counted in rounds instead of tokens.

    python examples/custom_policy.py

runs it offline, with a stand-in for the model (see offline.py), and prints what each call sent. With
OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL set, a real model answers.

Other marks for the window need no class: `convmem.WindowPolicy("mine", high=8_000, low=3_000, recall=800)`.
`convmem.testing.policy.PolicyConformance` checks a policy; see tests/examples/test_custom_policy.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from openai import OpenAI

import convmem
import offline

MODEL = os.environ.get("OPENAI_MODEL", "deepseek-flash")


@dataclass(frozen=True)
class RoundsPolicy:
    """Send at most `most` rounds; when there are more, keep `keep` of them.

    Between two cuts requests only grow, so that they are read from the provider's cache. A policy that
    dropped one round per call would send every call at full price.
    """

    most: int = 12
    keep: int = 4
    summary: int = 300
    recall: int = 600

    def plan(self, request: convmem.PolicyRequest) -> convmem.Plan:
        """Decide by token counts alone: `request.rounds`, oldest first, the newest is always sent."""
        newest = max(0, len(request.rounds) - 1)
        start = min(request.start, newest)
        if len(request.rounds) - start > self.most:
            start = len(request.rounds) - self.keep
        if request.room is None:  # an unknown model: nobody knows where its window ends
            return convmem.Plan(start, self.summary if start else 0, self.recall)
        while start < newest and sum(request.rounds[start:]) > request.room:
            start += 1
        left = max(0, request.room - sum(request.rounds[start:]))
        summary = min(self.summary, left) if start else 0
        return convmem.Plan(start, summary, min(self.recall, left - summary))


def main() -> None:
    """Chat for a while; the seventh call is cut, and the last one needs what left the window."""
    policy = RoundsPolicy(most=6, keep=2)
    with offline.model(), OpenAI() as openai, convmem.Memory(":memory:", policy=policy) as memory:
        client = memory.wrap(openai, user="alice", session="garden")
        rows = [f"Bed {n} gets {n} rows of peas." for n in range(8)]
        for text in ("My locker at the pool is number 7719.", *rows, "What is the number of my locker?"):
            reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
            receipt = memory.receipt_for(reply)
            print(
                f"{text:40}{receipt.restored:3} messages put back, {len(receipt.recalled)} turns recalled,"
                f" summary of {receipt.tokens.summary} tokens{', CUT' if receipt.cut else ''}"
            )
        print(reply.choices[0].message.content)


if __name__ == "__main__":
    main()
