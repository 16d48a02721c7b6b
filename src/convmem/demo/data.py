"""The demo's data as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Line", "Question", "chitchat", "conversation", "plain_first", "questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message of the conversation."""

    session: str
    at: datetime
    role: str
    content: str


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


def _read(name: str) -> Iterator[dict[str, Any]]:
    text = files("convmem.demo").joinpath(name).read_text(encoding="utf-8")
    return (json.loads(line) for line in text.splitlines())


def conversation() -> tuple[Line, ...]:
    """The conversation, in the order in which it was held; user and assistant take turns."""
    return tuple(
        Line(
            session=row["session"],
            at=datetime.fromisoformat(row["at"]),
            role=row["role"],
            content=row["content"],
        )
        for row in _read("conversation.jsonl")
    )


def questions() -> tuple[Question, ...]:
    """Questions about the conversation."""
    return tuple(
        Question(
            id=row["id"],
            text=row["question"],
            lang=row["lang"],
            kind=row["kind"],
            evidence=tuple(row["evidence"]),
            answer=row["answer"],
        )
        for row in _read("questions.jsonl")
    )


def plain_first(drawn: Sequence[Question], lang: str) -> list[Question]:
    """The first question in this language about what was said in it, then the others as they come."""
    plain = next((each for each in drawn if each.lang == lang and each.kind != "cross"), None)
    return sorted(drawn, key=lambda question: question is not plain)


def chitchat() -> tuple[str, ...]:
    """Messages that need no memory."""
    return tuple(row["text"] for row in _read("chitchat.jsonl"))
