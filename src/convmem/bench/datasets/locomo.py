"""LoCoMo as published: `locomo10.json`, a list of conversations between two people, each with its questions.

    [{"sample_id", "conversation": {"speaker_a", "speaker_b", "session_1_date_time", "session_1": [{"speaker",
      "dia_id", "text", "blip_caption"?}], …}, "qa": [{"question", "answer", "evidence", "category"}]}]

The fifth category has no answer in the conversation. Evidence is written by hand: two ids in one string, a
colon too many, a turn that is not there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from convmem.bench.datasets.model import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["is_locomo", "read"]

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D:?(\d+):(\d+)")


def is_locomo(head: str) -> bool:
    """Whether a JSON file that begins like this is LoCoMo."""
    return any(f'"{key}"' in head for key in ("qa", "sample_id", "conversation"))


def read(path: Path) -> Rows:
    """Read the file."""
    histories: dict[str, list[dict[str, Any]]] = {}
    questions: list[dict[str, Any]] = []
    for sample in json.loads(path.read_text(encoding="utf-8")):
        name = str(sample["sample_id"])
        histories[name] = list(_sessions(sample["conversation"]))
        questions += _questions(name, sample["qa"])
    return Rows(histories, questions)


def _sessions(conversation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    numbers = sorted(int(found[1]) for key in conversation if (found := _SESSION.fullmatch(key)))
    for number in numbers:
        turns = [
            {
                "turn_id": _id(turn["dia_id"]),
                "speaker": turn["speaker"],
                "text": turn["text"],
                "image_caption": turn.get("blip_caption"),
            }
            for turn in conversation[f"session_{number}"]
        ]
        date = conversation.get(f"session_{number}_date_time")
        if turns:
            yield {"session_id": f"D{number}", "date": date, "turns": turns}


def _questions(name: str, rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        category = _CATEGORIES.get(row["category"], str(row["category"]))
        answerable = category != "adversarial"
        yield {
            "qid": f"{name}-q{number}",
            "conv_id": name,
            "question": row["question"],
            "answer": row.get("answer") if answerable else None,
            "category": category,
            "answerable": answerable,
            "evidence_turns": [_id(found[0]) for text in row["evidence"] for found in _TURN.finditer(text)],
        }


def _id(written: str) -> str:
    found = _TURN.fullmatch(written)
    return f"D{int(found[1])}:{int(found[2])}" if found else written
