"""This project's own layout, in JSON Lines.

`conversations.jsonl` has `{conv_id, sessions: [{session_id, date, turns: [{turn_id, role or speaker, text,
date?, image_caption?}]}]}`, and `questions.jsonl` has `{qid, conv_id, question, answer?, category?,
answerable?, evidence_turns, asked_at?, question_date?}`. Instead of conversations there may be
`sessions.jsonl`; a question then names its own history in `haystack`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from convmem.bench.datasets.model import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["is_layout", "read"]


def is_layout(folder: Path) -> bool:
    """Whether the folder is a set in this layout."""
    return (folder / "questions.jsonl").is_file()


def read(folder: Path) -> Rows:
    """Read a set."""
    questions = list(_lines(folder / "questions.jsonl"))
    shared = folder / "sessions.jsonl"
    if not shared.is_file():
        conversations = _lines(folder / "conversations.jsonl")
        return Rows({row["conv_id"]: row["sessions"] for row in conversations}, questions)
    sessions = {row["session_id"]: row for row in _lines(shared)}
    histories = {row["qid"]: [sessions[name] for name in row["haystack"]] for row in questions}
    return Rows(histories, [{**row, "conv_id": row["qid"]} for row in questions])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
