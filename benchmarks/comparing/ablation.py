"""What each step of the ranking buys: every weight of `convmem.recall.Settings` off, one at a time."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from convmem.recall import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["AS_SHIPPED", "PARAMETERS", "STEPS", "variants"]

AS_SHIPPED = "as shipped"

PARAMETERS = frozenset(
    {
        "k1",
        "b",
        "few_turns",
        "coherence_low",
        "coherence_high",
        "recent_sessions",
        "shortest",
        "longest_query",
        "longest_query_wide",
    }
)
"""Fields that are no step of their own: they say how another one works, and 0 means nothing there."""

STEPS: Mapping[str, Mapping[str, Any]] = {
    "vectors": {"dense": 0.0, "dense_session": 0.0, "lexical": 1.0},
    "neighbours": {"previous": 0.0, "next": 0.0, "second_previous": 0.0, "second_next": 0.0},
    "sessions": {"session": 0.0, "dense_session": 0.0},
    "coherence gate": {"coherence_low": -9.0, "coherence_high": -9.0},
}
"""Steps that are made of several fields, and what switches them off."""


def variants(default: Settings | None = None) -> dict[str, Settings]:
    """The settings as shipped, then with each field off, then with each of `STEPS` off.

    A field is off at 0, or at False. Fields that are off as shipped, and those that are no numbers, have
    no variant.
    """
    shipped = Settings() if default is None else default
    made = {AS_SHIPPED: shipped}
    for name, value in _weights(shipped):
        off: dict[str, Any] = {name: type(value)(0)}
        made[f"no {name}"] = replace(shipped, **off)
    known = {field.name for field in fields(Settings)}
    for name, changes in STEPS.items():
        if set(changes) <= known:
            made[f"no {name} at all" if f"no {name}" in made else f"no {name}"] = replace(shipped, **changes)
    return made


def _weights(shipped: Settings) -> Iterable[tuple[str, float | bool]]:
    for field in fields(shipped):
        value = getattr(shipped, field.name)
        if field.name not in PARAMETERS and isinstance(value, int | float) and value:
            yield field.name, value
