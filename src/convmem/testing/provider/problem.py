"""One thing that is wrong with a request, before it is told in the words of a vendor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where.

    Attributes:
        at: the place, such as `messages[3].tool_calls[0].id`.
        what: a sentence about it, for which the place is the subject.
        rule: the rule that is broken, by which `wording.py` finds how a vendor says it; empty for a rule
            whose wording is not known of any.
        facts: what vendors' wordings name besides the place.
    """

    at: str
    what: str
    rule: str = ""
    facts: Mapping[str, object] = field(default_factory=dict[str, object])

    def __str__(self) -> str:
        """The place, a colon and the sentence."""
        return f"{self.at}: {self.what}"
