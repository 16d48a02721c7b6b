"""From rows to a data set: where turns stand, what may be used when, which questions can be asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from convmem.bench.datasets.dates import parse_date
from convmem.bench.datasets.model import Conversation, DataSet, Question, Session, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convmem.bench.datasets.model import Rows

__all__ = ["build"]

_UNDATED = datetime(2024, 1, 1, tzinfo=UTC)
"""When a conversation without any date is said to have taken place: all of it at once."""
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")
"""What stands where a data set failed to make a question."""
_AFTERWARDS = timedelta(days=1)


def build(name: str, rows: Rows) -> DataSet:
    """Make a data set; the questions come conversation by conversation, in the order they are put."""
    left_out: dict[str, int] = {}
    questions: dict[str, list[Question]] = {conv_id: [] for conv_id in rows.histories}
    conversations: dict[str, _Read] = {}
    for row in rows.questions:
        conv_id = row["conv_id"]
        if conv_id not in conversations:
            conversations[conv_id] = _Read(conv_id, rows.histories[conv_id])
        made = _question(row, conversations[conv_id])
        if isinstance(made, str):
            left_out[made] = left_out.get(made, 0) + 1
        else:
            questions[conv_id].append(made)
    in_order = (sorted(asked, key=lambda question: question.known) for asked in questions.values())
    return DataSet(name, tuple(chain.from_iterable(in_order)), left_out)


class _Read:
    """A conversation as it was read, and where its turns and sessions stand in it."""

    def __init__(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        self.place: dict[str, int] = {}
        self.session_of: dict[str, str] = {}
        self.begins: dict[str, int] = {}
        self.length: dict[str, int] = {}
        sessions: list[Session] = []
        for number, (row, at) in enumerate(zip(rows, _dates(rows), strict=True), start=1):
            own = f"s{number}"
            self.begins.setdefault(row["session_id"], len(self.place))
            turns = [_turn(turn) for turn in row["turns"] if turn["turn_id"] not in self.place]
            for turn in turns:
                self.place[turn.id] = len(self.place)
                self.session_of[turn.id] = own
                self.length[turn.id] = len(turn.text)
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
    answerable = row.get("answerable", True)
    if answerable and not row["evidence_turns"]:
        return "without evidence"
    if _PLACEHOLDER.fullmatch(row["question"].strip()):
        return "placeholders"
    known, session = len(read.place), None
    if asked := row.get("asked_at"):
        known = read.place[asked] if asked in read.place else read.begins[asked]
        session = read.session_of.get(asked)
    gold = _gold(row, read, known, session) if answerable else ()
    if answerable and not gold:
        return "without earlier evidence outside the running session"
    now = parse_date(row.get("question_date")) or (read.at[known] if asked else read.at[-1] + _AFTERWARDS)
    return Question(
        id=row["qid"],
        text=row["question"],
        answer=None if row.get("answer") is None else str(row["answer"]),
        category=row.get("category") or "all",
        answerable=answerable,
        gold=gold,
        gold_lengths=tuple(read.length[id_] for id_ in gold),
        gold_sessions=tuple(dict.fromkeys(read.session_of[id_] for id_ in gold)),
        conversation=read.conversation,
        known=known,
        session=session,
        now=now,
    )


def _gold(row: dict[str, Any], read: _Read, known: int, session: str | None) -> tuple[str, ...]:
    """The evidence that was there and not in sight when the question was put."""
    return tuple(
        id_
        for id_ in dict.fromkeys(row["evidence_turns"])
        if id_ in read.place
        and read.place[id_] < known
        and (session is None or read.session_of[id_] != session)
    )
