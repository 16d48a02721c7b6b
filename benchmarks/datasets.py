"""Conversations with questions whose answers lie in known turns, read from JSON Lines.

The layout: `conversations.jsonl` with `{conv_id, sessions: [{session_id, date, turns: [{turn_id, role or
speaker, text, date?, image_caption?}]}]}`, and `questions.jsonl` with `{qid, conv_id, question, category,
answerable, evidence_turns, asked_at?, question_date?}`. Instead of conversations there may be
`sessions.jsonl`; a question then names its own history in `haystack`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Conversation", "DataSet", "Question", "Session", "Turn", "find", "load", "parse_date"]

_WEEKDAY = re.compile(r"\s*\(\w+\)")
_FORMATS = ("%I:%M %p on %d %B, %Y", "%B-%d-%Y", "%Y-%m-%d", "%Y/%m/%d %H:%M", "%Y/%m/%d")
_UNDATED = datetime(2024, 1, 1, tzinfo=UTC)
"""When a conversation without any date is said to have taken place: all of it at once."""
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")
"""What stands where a data set failed to make a question."""
_AFTERWARDS = timedelta(days=1)


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
        category: the data's category.
        gold: ids of the turns that answer it, those left out that come later or stand in front of it.
        conversation: the history.
        known: how many turns of it had been said when the question was put.
        session: the session in which it was put; None for a new one.
        now: when it was put.
    """

    id: str
    text: str
    category: str
    gold: tuple[str, ...]
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


def find(folder: Path, names: Sequence[str]) -> list[Path]:
    """The folder itself when it is a data set, else the data sets in it; only those named.

    Raises:
        FileNotFoundError: a set is not there.
    """
    if (folder / "questions.jsonl").is_file():
        return [folder]
    wanted = list(names) or sorted(path.parent.name for path in folder.glob("*/questions.jsonl"))
    if not wanted:
        raise FileNotFoundError(f"{folder} holds no questions.jsonl, nor does a folder in it")
    if missing := [name for name in wanted if not (folder / name / "questions.jsonl").is_file()]:
        raise FileNotFoundError(f"{folder} has no data set called {', '.join(missing)}")
    return [folder / name for name in wanted]


def load(folder: Path) -> DataSet:
    """Read one data set; the questions come conversation by conversation, in the order they are put."""
    rows = list(_rows(folder / "questions.jsonl"))
    shared = folder / "sessions.jsonl"
    if shared.is_file():
        sessions = {row["session_id"]: row for row in _rows(shared)}
        histories = {row["qid"]: [sessions[name] for name in row["haystack"]] for row in rows}
        rows = [{**row, "conv_id": row["qid"]} for row in rows]
    else:
        histories = {row["conv_id"]: row["sessions"] for row in _rows(folder / "conversations.jsonl")}
    left_out: dict[str, int] = {}
    questions: dict[str, list[Question]] = {name: [] for name in histories}
    conversations: dict[str, _Read] = {}
    for row in rows:
        if not row.get("answerable", True):
            continue
        name = row["conv_id"]
        if name not in conversations:
            conversations[name] = _Read(name, histories[name])
        made = _question(row, conversations[name])
        if isinstance(made, str):
            left_out[made] = left_out.get(made, 0) + 1
        else:
            questions[name].append(made)
    in_order = (sorted(asked, key=lambda question: question.known) for asked in questions.values())
    return DataSet(folder.name, tuple(chain.from_iterable(in_order)), left_out)


def parse_date(text: str | None) -> datetime | None:
    """A date as the data sets write it, as an aware datetime; None for none.

    Raises:
        ValueError: it is written in a way not known here.
    """
    if not text:
        return None
    bare = _WEEKDAY.sub("", text).strip()
    for form in _FORMATS:
        try:
            return datetime.strptime(bare, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    found = datetime.fromisoformat(bare)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


class _Read:
    """A conversation as it was read, and where its turns and sessions stand in it."""

    def __init__(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        self.place: dict[str, int] = {}
        self.session_of: dict[str, str] = {}
        self.begins: dict[str, int] = {}
        sessions: list[Session] = []
        for number, (row, at) in enumerate(zip(rows, _dates(rows), strict=True), start=1):
            own = f"s{number}"
            self.begins.setdefault(row["session_id"], len(self.place))
            turns = [_turn(turn) for turn in row["turns"] if turn["turn_id"] not in self.place]
            for turn in turns:
                self.place[turn.id] = len(self.place)
                self.session_of[turn.id] = own
            sessions.append(Session(own, at, tuple(turns)))
        self.conversation = Conversation(name, tuple(sessions))
        self.at = [session.at for session in sessions for _ in session.turns]


def _dates(rows: Sequence[dict[str, Any]]) -> list[datetime]:
    """When each session took place; one without a date when the one before it did."""
    known = [_session_date(row) for row in rows]
    last = next((at for at in known if at is not None), _UNDATED)
    dates: list[datetime] = []
    for at in known:
        last = at if at is not None else last
        dates.append(last)
    return dates


def _session_date(row: dict[str, Any]) -> datetime | None:
    own = parse_date(row.get("date"))
    return own or next((at for turn in row["turns"] if (at := parse_date(turn.get("date")))), None)


def _turn(row: dict[str, Any]) -> Turn:
    text = row["text"].replace("\0", " ").encode("utf-8", "replace").decode()
    if caption := row.get("image_caption"):
        text += f" [image: {caption}]"
    speaker = row.get("speaker")
    return Turn(row["turn_id"], "user" if speaker else row["role"], speaker, text)


def _question(row: dict[str, Any], read: _Read) -> Question | str:
    """The question; or why it cannot be asked."""
    if not row["evidence_turns"]:
        return "without evidence"
    if _PLACEHOLDER.fullmatch(row["question"].strip()):
        return "placeholders"
    known, session = len(read.place), None
    if asked := row.get("asked_at"):
        known = read.place[asked] if asked in read.place else read.begins[asked]
        session = read.session_of.get(asked)
    gold = [
        id_
        for id_ in row["evidence_turns"]
        if id_ in read.place
        and read.place[id_] < known
        and (session is None or read.session_of[id_] != session)
    ]
    if not gold:
        return "without earlier evidence outside the running session"
    now = parse_date(row.get("question_date")) or (read.at[known] if asked else read.at[-1] + _AFTERWARDS)
    return Question(
        id=row["qid"],
        text=row["question"],
        category=row.get("category") or "all",
        gold=tuple(dict.fromkeys(gold)),
        conversation=read.conversation,
        known=known,
        session=session,
        now=now,
    )


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
