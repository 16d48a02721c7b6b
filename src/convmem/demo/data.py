"""The demo's data: a conversation, questions about it, small talk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from convmem.importers import jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from convmem.importers import Imported

__all__ = ["Question", "chitchat", "conversation", "plain_first", "questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something to ask of a memory.

    Attributes:
        id: its name.
        text: the question.
        lang: `en` or `zh`; empty for a question of the user's own.
        kind: `shared` words with the evidence, a `paraphrase`, or `cross`, in the other language.
        evidence: which lines of the conversation answer it, any of them; empty where nobody knows.
        answer: what they say.
    """

    id: str
    text: str
    lang: str = ""
    kind: str = ""
    evidence: tuple[int, ...] = ()
    answer: str = ""


def _text(name: str) -> str:
    return files("convmem.demo").joinpath(name).read_text(encoding="utf-8")


def conversation() -> tuple[Imported, ...]:
    """The conversation, in the order in which it was held; user and assistant take turns."""
    return tuple(jsonl.parse(_text("conversation.jsonl")))


def questions() -> tuple[Question, ...]:
    """Questions about the conversation."""
    rows: Iterable[dict[str, Any]] = map(json.loads, _text("questions.jsonl").splitlines())
    return tuple(
        Question(
            id=row["id"],
            text=row["question"],
            lang=row["lang"],
            kind=row["kind"],
            evidence=tuple(row["evidence"]),
            answer=row["answer"],
        )
        for row in rows
    )


def plain_first(drawn: Sequence[Question], lang: str) -> list[Question]:
    """The first question in this language about what was said in it, then the others as they come."""
    plain = next((each for each in drawn if each.lang == lang and each.kind != "cross"), None)
    return sorted(drawn, key=lambda question: question is not plain)


def chitchat() -> tuple[str, ...]:
    """Messages that need no memory."""
    return tuple(json.loads(line)["text"] for line in _text("chitchat.jsonl").splitlines())
