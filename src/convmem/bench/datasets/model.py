"""What a data set is: conversations, and questions whose answers lie in known turns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["Conversation", "DataSet", "Question", "Rows", "Session", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn; `speaker` where people are named, `role` otherwise."""

    id: str
    role: str
    speaker: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Session:
    """One session. Its name is its number: the data's own ids may tell evidence from filler."""

    name: str
    at: datetime
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """All sessions of one user, in order."""

    id: str
    sessions: tuple[Session, ...]

    @property
    def turns(self) -> Iterator[Turn]:
        """All turns, in order."""
        return chain.from_iterable(session.turns for session in self.sessions)


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the turns that answer it.

    Attributes:
        id: the data's id.
        text: the question.
        answer: the data's answer; None where it gives none.
        category: the data's category.
        answerable: whether the conversation has the answer.
        gold: ids of the turns that answer it, those left out that come later or stand in front of it; none
            for a question that has no answer.
        gold_lengths: characters of each of them.
        gold_sessions: the sessions of these turns.
        conversation: the history.
        known: how many turns of it had been said when the question was put.
        session: the session in which it was put; None for a new one.
        now: when it was put.
    """

    id: str
    text: str
    answer: str | None
    category: str
    answerable: bool
    gold: tuple[str, ...]
    gold_lengths: tuple[int, ...]
    gold_sessions: tuple[str, ...]
    conversation: Conversation
    known: int
    session: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set, and how many of its answerable questions cannot be asked, by reason."""

    name: str
    questions: tuple[Question, ...]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Rows:
    """A set as read, in the layout of `datasets.layout`, whatever the format of its files.

    Attributes:
        histories: the sessions of each conversation, by its id.
        questions: each with `conv_id`.
    """

    histories: Mapping[str, Sequence[dict[str, Any]]]
    questions: Sequence[dict[str, Any]]
