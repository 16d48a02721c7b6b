"""LongMemEval as published: `longmemeval_s`, `_m` or `_oracle`, a list of questions, each with its history.

    [{"question_id", "question_type", "question", "answer", "question_date", "haystack_session_ids",
      "haystack_dates", "haystack_sessions": [[{"role", "content", "has_answer"?}]], "answer_session_ids"}]

A question whose id ends in `_abs` has no answer in its history. The sessions of the oracle file are not in
order. Session ids begin with `answer` where the evidence is, so nothing of them is kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from convmem.bench.datasets.dates import parse_date
from convmem.bench.datasets.model import Rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_longmemeval", "read"]


def is_longmemeval(head: str) -> bool:
    """Whether a JSON file that begins like this is LongMemEval."""
    return any(f'"{key}"' in head for key in ("question_id", "haystack_sessions", "haystack_dates"))


def read(path: Path) -> Rows:
    """Read the file, all of it: `longmemeval_m` takes several times its size in memory."""
    histories: dict[str, list[dict[str, Any]]] = {}
    questions: list[dict[str, Any]] = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        name = str(row["question_id"])
        evidence: list[str] = []
        histories[name] = _sessions(row, evidence)
        questions.append(
            {
                "qid": name,
                "conv_id": name,
                "question": row["question"],
                "answer": row.get("answer"),
                "category": row.get("question_type"),
                "answerable": not name.endswith("_abs"),
                "question_date": row.get("question_date"),
                "evidence_turns": evidence,
            }
        )
    return Rows(histories, questions)


def _sessions(row: dict[str, Any], evidence: list[str]) -> list[dict[str, Any]]:
    """The sessions in the order of time; ids of the turns that hold the answer are added to `evidence`."""
    dated = list(zip(row["haystack_dates"], row["haystack_sessions"], strict=True))
    if all(date for date, _ in dated):
        dated.sort(key=lambda item: str(parse_date(item[0])))
    sessions: list[dict[str, Any]] = []
    for number, (date, turns) in enumerate(dated):
        made = [
            {"turn_id": f"{number}:{place}", "role": turn["role"], "text": turn["content"]}
            for place, turn in enumerate(turns)
        ]
        evidence += [made[place]["turn_id"] for place, turn in enumerate(turns) if turn.get("has_answer")]
        sessions.append({"session_id": str(number), "date": date, "turns": made})
    return sessions
