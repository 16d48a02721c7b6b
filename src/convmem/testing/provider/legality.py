"""What makes a chat request illegal. Pure: bodies in, problems out.

`message_legality.py` looks at single messages, `order_legality.py` at where they stand, `parameters.py` at
everything else; `wording.py` tells a problem as a vendor would.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from convmem.testing.provider.message_legality import message_problems
from convmem.testing.provider.order_legality import order_problems
from convmem.testing.provider.parameters import parameter_problems
from convmem.testing.provider.problem import Problem
from convmem.testing.provider.shapes import is_array, lone_surrogate
from convmem.testing.provider.vendors import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convmem.testing.provider.dialect import Dialect, DialectName, ReasoningRule

__all__ = ["chat_problems", "problems"]


def problems(
    body: Mapping[str, object], dialect: DialectName = "openai", *, reasoning: ReasoningRule | None = None
) -> list[str]:
    """Say everything that is wrong with the body of a chat request, in the order of its fields.

    Args:
        body: the parsed JSON body.
        dialect: whose rules to apply.
        reasoning: what the provider does with reasoning sent back to it; by default what the dialect says.

    Returns:
        One sentence per problem, each starting with the place, such as `messages[3].tool_calls[0].id`, and
        a colon; empty when the body is legal.
    """
    rules = DIALECTS[dialect]
    return [str(each) for each in chat_problems(body, rules, reasoning or rules.reasoning)]


def chat_problems(body: Mapping[str, object], dialect: Dialect, rule: ReasoningRule) -> list[Problem]:
    """Find everything that is wrong with the body of a chat request, in the order of its fields."""
    if lone_surrogate(body):
        return [Problem("body", "holds a lone surrogate, which no UTF-8 text can", "surrogate")]
    found = list(parameter_problems(body, dialect))
    messages = body.get("messages")
    if not is_array(messages) or not messages:
        return [*found, Problem("messages", "expected a non-empty array")]
    if dialect.message_limit is not None and len(messages) > dialect.message_limit:
        what = f"expected at most {dialect.message_limit} messages, got {len(messages)}"
        facts = {"limit": dialect.message_limit, "count": len(messages)}
        return [*found, Problem("messages", what, "too-many", facts)]
    model = str(body.get("model", "")).lower().rpartition("/")[2]
    sees = any(fnmatchcase(model, pattern) for pattern in dialect.sees)
    user_parts = dialect.user_parts if sees else frozenset({"text"})
    for index, message in enumerate(messages):
        found.extend(message_problems(message, index, dialect, rule, user_parts))
    found.extend(order_problems(body, messages, dialect, rule))
    return found
