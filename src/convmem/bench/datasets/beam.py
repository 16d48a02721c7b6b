"""BEAM as published: a folder of a size, such as `chats/100K`, with a folder per conversation.

`chat.json` (or `chat_trunecated.json`, which then is the one to use) is a list of batches, `{"turns":
[[{"role", "id", "content", "time_anchor"?}]], "time_anchor"}`, at 10M tokens a list of such lists by plan;
`probing_questions/probing_questions.json` has a list of questions per ability, with the ids of the messages
they rest on in `source_chat_ids`: numbers, lists of them, or lists by name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from convmem.bench.datasets.model import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["is_beam", "name_of", "read"]

_PLACE = re.compile(r"\s*->->\s*[\d,.\s]*$")
"""Where in its plan a message stands, written behind it; no user would say that."""
_ANSWERS = ("answer", "ideal_answer", "ideal_response", "ideal_summary", "expected_compliance")


def is_beam(folder: Path) -> bool:
    """Whether the folder holds conversations of BEAM."""
    return any(folder.glob("*/probing_questions/probing_questions.json"))


def name_of(folder: Path) -> str:
    """What the set is called: after its size."""
    return f"beam_{folder.resolve().name}"


def read(folder: Path) -> Rows:
    """Read all conversations of a size."""
    histories: dict[str, list[dict[str, Any]]] = {}
    questions: list[dict[str, Any]] = []
    found = folder.glob("*/probing_questions/probing_questions.json")
    for path in sorted(found, key=lambda path: (len(path.parts[-3]), path.parts[-3])):
        home = path.parent.parent
        name = f"beam-{folder.resolve().name}-{home.name}"
        chat = home / "chat_trunecated.json"
        batches = json.loads((chat if chat.is_file() else home / "chat.json").read_text(encoding="utf-8"))
        histories[name] = list(_sessions(_batches(batches)))
        questions += _questions(name, json.loads(path.read_text(encoding="utf-8")))
    return Rows(histories, questions)


def _batches(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The batches, those of plans one after the other."""
    for row in rows:
        if "turns" in row:
            yield row
        else:
            for plan in row.values():
                yield from _batches(plan or [])


def _sessions(batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, batch in enumerate(batches, start=1):
        messages = [message for turn in batch["turns"] for message in turn]
        anchors = (message.get("time_anchor") for message in messages)
        yield {
            "session_id": f"B{number}",
            "date": batch.get("time_anchor") or next((anchor for anchor in anchors if anchor), None),
            "turns": [
                {
                    "turn_id": str(message["id"]),
                    "role": message["role"],
                    "text": _PLACE.sub("", message["content"]),
                }
                for message in messages
            ],
        }


def _questions(name: str, by_ability: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for ability, rows in by_ability.items():
        for number, row in enumerate(rows):
            yield {
                "qid": f"{name}-{ability}-{number}",
                "conv_id": name,
                "question": row["question"],
                "answer": next((row[key] for key in _ANSWERS if row.get(key)), None),
                "category": ability,
                "answerable": ability != "abstention",
                "evidence_turns": list(dict.fromkeys(map(str, _numbers(row.get("source_chat_ids"))))),
            }


def _numbers(value: object) -> Iterator[int]:
    """All whole numbers in it, however they are nested."""
    match value:
        case bool() | None:
            return
        case int():
            yield value
        case str():
            yield from map(int, re.findall(r"\d+", value))
        case dict():
            for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from _numbers(inner)  # pyright: ignore[reportUnknownArgumentType]
        case list():
            for inner in value:  # pyright: ignore[reportUnknownVariableType]
                yield from _numbers(inner)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return
