"""mem0's memories, as `get_all` and the platform's export give them: facts, each with a time and an owner.

They become turns of one session per run (`run_id`), `mem0` where there is none, in the order in which they
were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convmem.errors import InputError
from convmem.importers.message import Imported, loaded, moment
from convmem.providers.roles import known_role
from convmem.wire.narrow import is_array, is_object

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["SESSION", "memories", "parse"]

SESSION = "mem0"
"""The session of memories without a run."""

_TEXTS = ("memory", "text", "data")
_LISTS = ("results", "memories")


def parse(text: str, *, tz: tzinfo | None = None) -> list[Imported]:
    """Read what `get_all` gave, saved as JSON: `{"results": [...]}`, `{"memories": [...]}`, or the list.

    Args:
        text: the JSON.
        tz: the zone of times that name none; this machine's when left out.

    Raises:
        InputError: it is something else; the text names the memory, and nothing is returned.
    """
    value = loaded(text)
    if is_object(value):
        value = next((value[key] for key in _LISTS if is_array(value.get(key))), None)
    if not is_array(value):
        raise InputError("this is no list of memories; give what mem0's get_all() returned, saved as JSON")
    return memories(value, tz=tz)


def memories(value: list[Any], *, tz: tzinfo | None = None) -> list[Imported]:
    """The same for a list that is parsed already."""
    found: list[Imported] = []
    for i, memory in enumerate(value):
        where = f"memory {i + 1}"
        if not is_object(memory):
            raise InputError(f"{where} is no JSON object")
        text = next((memory[key] for key in _TEXTS if isinstance(memory.get(key), str)), "")
        if not text.strip():
            raise InputError(f"{where} has no text in {' or '.join(_TEXTS)}")
        user, run, role = memory.get("user_id"), memory.get("run_id"), known_role(memory.get("role"))
        found.append(
            Imported(
                run if isinstance(run, str) and run.strip() else SESSION,
                moment(memory.get("created_at"), where=f"{where}: created_at", tz=tz),
                {"role": role if role in {"user", "assistant"} else "user", "content": text},
                user if isinstance(user, str) and user.strip() else None,
            )
        )
    return sorted(found, key=lambda row: row.at.timestamp() if row.at is not None else 0.0)
