"""A tiny data set of both kinds of chat, and a benchmark that counts as nobody's model does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from benchmarks.comparing import command

from convmem.bench import command as plain
from convmem.bench import replay
from convmem.tokens.count import LearnedRatios

if TYPE_CHECKING:
    from pathlib import Path

FILLER = [
    "The ferry was late again this morning.",
    "We watched the rain from the porch for an hour.",
    "My brother is learning to bake rye bread.",
    "The neighbours painted their fence yellow.",
    "I could not find my umbrella anywhere.",
    "Lunch was soup, as always on Mondays.",
]
LONG = "The archive has many rooms. " * 60 + "The key to the cellar hangs behind the third clock."


def turns(session: int, speakers: tuple[str, str] | None):
    """Six turns of small change, by two people or by a user and an assistant."""
    for i, text in enumerate(FILLER):
        who = {"speaker": speakers[i % 2]} if speakers else {"role": ("user", "assistant")[i % 2]}
        yield {"turn_id": f"D{session}:{i}", "text": f"{text} Day {session}.", **who}


def write_lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    people = [
        {
            "session_id": f"E{n}",
            "date": f"1:5{n} pm on {n} May, 2023",
            "turns": list(turns(n, ("Odile", "Tamsin"))),
        }
        for n in range(1, 5)
    ]
    people[1]["turns"][2] |= {"text": "I named the new sailboat Quillfeather.", "image_caption": "a boat"}
    chat = [
        {"session_id": f"F{n}", "date": f"2024-02-0{n} (Thursday)", "turns": list(turns(n, None))}
        for n in range(1, 5)
    ]
    chat[0]["turns"][0]["text"] = "我的会员号是 K-204，记一下。"
    chat[1]["turns"][3]["text"] = LONG
    chat[2]["turns"][4]["text"] = "The dentist moved me to the zinc building."
    conversations = [{"conv_id": "people", "sessions": people}, {"conv_id": "chat", "sessions": chat}]
    boat = {"category": "easy", "answer": "The Quillfeather!"}
    building = {"asked_at": "D2:0", "answer": "zinc"}
    asked = [
        ("boat", "people", "What did Odile name the sailboat?", ["D2:2"], boat),
        ("member", "chat", "我的会员号是多少？", ["D1:0"], {"answer": "K-204"}),
        ("cellar", "chat", "Where does the key to the cellar hang?", ["D2:3"], {}),
        ("early", "chat", "Which building did the dentist move me to?", ["D3:4"], building),
        (
            "running",
            "chat",
            "Which building did the dentist move me to?",
            ["D1:0", "D3:4"],
            {"asked_at": "D3:5"},
        ),
        ("impossible", "people", "What did Tamsin say about opera?", ["D3:1"], {"category": "hard"}),
        ("none", "people", "Who was never mentioned?", [], {"answerable": False}),
        ("faulty", "people", "[ERROR]", ["D1:1"], {}),
        ("bare", "people", "Is it?", [], {}),
    ]
    questions = [
        {"qid": qid, "conv_id": conv, "question": text, "answerable": True, "evidence_turns": gold, **more}
        for qid, conv, text, gold, more in asked
    ]
    write_lines(tmp_path / "data" / "tiny" / "conversations.jsonl", conversations)
    write_lines(tmp_path / "data" / "tiny" / "questions.jsonl", questions)
    sessions = [
        {**s, "turns": [{**t, "turn_id": s["session_id"] + t["turn_id"]} for t in s["turns"]]} for s in chat
    ]
    write_lines(tmp_path / "data" / "shared" / "sessions.jsonl", sessions)
    history = {
        "qid": "h",
        "question": "Which building did the dentist move me to?",
        "answerable": True,
        "evidence_turns": ["F3D3:4"],
        "haystack": ["F1", "F3"],
        "question_date": "2024/02/09 (Fri) 10:00",
    }
    write_lines(tmp_path / "data" / "shared" / "questions.jsonl", [history])
    return tmp_path / "data"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path):
    """Runs the benchmark over `tiny`, and returns its lines by question.

    A tokenizer's table, once loaded, is the whole process's: it must not turn up in the middle of other
    tests. So both sides count as convmem counts for a model that nobody knows.
    """
    monkeypatch.setattr(replay, "MODEL", "unknown")
    counted = (LearnedRatios().counter("unknown"), "estimate: good enough here")
    monkeypatch.setattr(plain, "counter", lambda _: counted)

    def run(*more: str, out: Path = tmp_path / "out", embedder=None, timed: int = 0):
        arguments = ["--data", str(data), "--sets", "tiny", "--out", str(out), "--timed", str(timed)]
        arguments += ["--budget", "90,400", *more]
        if embedder is None:
            arguments += ["--embedder", "none"]
        assert command.main(arguments, embedder=embedder) == 0
        lines = (out / "tiny.jsonl").read_text("utf-8").splitlines()
        return {row["qid"]: row for row in map(json.loads, lines)}

    return run
