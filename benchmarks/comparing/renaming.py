"""The same conversations under other names and in another year: recall must not live on either."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from convmem.bench.datasets import Conversation, DataSet, Session, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from convmem.bench.datasets import Question

__all__ = ["changed"]

_NAMES = (
    "Ottoline", "Fenwick", "Isolde", "Bartram", "Zelda", "Quillon", "Rosamund", "Leopold", "Xenia", "Gideon",
    "Marcella", "Thaddeus",
)  # fmt: skip
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_DAYS_OF_A_YEAR = 365


def changed(data: DataSet, *, rename: bool, days: int) -> DataSet:
    """The set with its speakers renamed, wherever their names stand, and with all dates moved.

    Each 365 days are a calendar year: years that stand in texts move by these, months and days stay, so that
    a text still means the day it meant. What is left of the days moves the sessions and questions alone.
    """
    made: dict[int, tuple[Conversation, Callable[[str], str]]] = {}
    questions: list[Question] = []
    for question in data.questions:
        key = id(question.conversation)
        if key not in made:
            made[key] = _changed(question.conversation, rename=rename, days=days)
        conversation, text = made[key]
        moved = replace(
            question,
            text=text(question.text),
            conversation=conversation,
            now=_moved(question.now, days),
        )
        questions.append(moved)
    return replace(data, questions=tuple(questions))


def _changed(
    conversation: Conversation, *, rename: bool, days: int
) -> tuple[Conversation, Callable[[str], str]]:
    names = _names(conversation) if rename else {}
    years = days // _DAYS_OF_A_YEAR
    pattern = _pattern(names)

    def text(original: str) -> str:
        if pattern is not None:
            original = pattern.sub(lambda found: names[found[0]], original)
        return _YEAR.sub(lambda found: str(int(found[0]) + years), original) if years else original

    def turn(original: Turn) -> Turn:
        speaker = original.speaker
        return Turn(original.id, original.role, names.get(speaker or "", speaker), text(original.text))

    sessions = (
        Session(session.name, _moved(session.at, days), tuple(map(turn, session.turns)))
        for session in conversation.sessions
    )
    return Conversation(conversation.id, tuple(sessions)), text


def _moved(at: datetime, days: int) -> datetime:
    """The same day some years later or earlier, and what is left of the days."""
    years, rest = divmod(days, _DAYS_OF_A_YEAR)
    try:
        there = at.replace(year=at.year + years)
    except ValueError:  # 29 February
        there = at.replace(year=at.year + years, day=28)
    return there + timedelta(days=rest)


def _names(conversation: Conversation) -> dict[str, str]:
    """Another name for each speaker, one that nobody says anywhere."""
    speakers = list(dict.fromkeys(turn.speaker for turn in conversation.turns if turn.speaker))
    said = "\n".join(turn.text for turn in conversation.turns)
    free = [name for name in _NAMES if name not in said and name not in speakers]
    free += [f"Speaker{number}" for number in range(len(free), len(speakers))]
    return dict(zip(speakers, free, strict=False))


def _pattern(names: Mapping[str, str]) -> re.Pattern[str] | None:
    """Finds the names; Latin ones as whole words, also among Chinese characters."""
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(
        "|".join(
            rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" if name.isascii() else re.escape(name)
            for name in longest_first
        )
    )
