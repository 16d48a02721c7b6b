"""benchmarks/recall.py in small: what counts, what does not, what a budget is, what is not done twice."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from convmem.context.tokens import LearnedRatios
from convmem.testing.fakes import FakeEmbedder

FOLDER = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the benchmarks are not part of the sdist")

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


def write(path: Path, rows) -> None:
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
    asked = [
        ("boat", "people", "What did Odile name the sailboat?", ["D2:2"], {"category": "easy"}),
        ("member", "chat", "我的会员号是多少？", ["D1:0"], {}),
        ("cellar", "chat", "Where does the key to the cellar hang?", ["D2:3"], {}),
        ("early", "chat", "Which building did the dentist move me to?", ["D3:4"], {"asked_at": "D2:0"}),
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
    write(tmp_path / "data" / "tiny" / "conversations.jsonl", conversations)
    write(tmp_path / "data" / "tiny" / "questions.jsonl", questions)
    sessions = [
        {**s, "turns": [{**t, "turn_id": s["session_id"] + t["turn_id"]} for t in s["turns"]]} for s in chat
    ]
    write(tmp_path / "data" / "shared" / "sessions.jsonl", sessions)
    history = {
        "qid": "h",
        "question": "Which building did the dentist move me to?",
        "answerable": True,
        "evidence_turns": ["F3D3:4"],
        "haystack": ["F1", "F3"],
        "question_date": "2024/02/09 (Fri) 10:00",
    }
    write(tmp_path / "data" / "shared" / "questions.jsonl", [history])
    return tmp_path / "data"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """The benchmark's modules as its own folder names them, gone again afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    # A tokenizer's table, once loaded, is the whole process's: it must not turn up in the middle of other
    # tests. So both sides count as convmem counts for a model that nobody knows.
    for name in ("counting", "replay"):
        monkeypatch.setattr(importlib.import_module(name), "MODEL", "unknown")
    counted = (LearnedRatios().counter("unknown"), "estimate: good enough here")
    monkeypatch.setattr(importlib.import_module("recall"), "counter", lambda _: counted)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == FOLDER:
            del sys.modules[name]


def run(bench, data: Path, out: Path, *more: str, embedder=None):
    arguments = ["--data", str(data), "--out", str(out), "--budget", "90,400", *more]
    if embedder is None:
        arguments += ["--embedder", "none"]
    assert bench("recall").main(arguments, embedder=embedder) == 0
    return {row["qid"]: row for row in map(json.loads, (out / "tiny.jsonl").read_text("utf-8").splitlines())}


def test_what_is_found_counts_and_what_cannot_be_found_does_not(bench, data, tmp_path, capsys):
    found = run(bench, data, tmp_path / "out", "--sets", "tiny")
    assert set(found) == {"boat", "member", "cellar", "running", "impossible"}
    mine = {qid: row["found"]["convmem"] for qid, row in found.items()}
    for qid in ("boat", "member"):
        assert mine[qid]["90"]["strict"] == mine[qid]["400"]["strict"] == 1.0, qid
    assert mine["cellar"]["400"]["strict"] == 0.0
    assert 0.0 < mine["cellar"]["400"]["kept"] < 1.0
    assert mine["impossible"]["90"]["strict"] == 0.0
    assert found["running"]["gold"] == ["D1:0"], "what stands in the running session need not be recalled"
    printed = capsys.readouterr().out
    assert "| convmem |" in printed
    assert "| easy | 1 |" in printed
    assert "left out 1 placeholders; left out 1 without earlier evidence" in printed


def test_the_command_says_how_it_counted(data, tmp_path):
    command = [
        sys.executable,
        str(FOLDER / "recall.py"),
        "--data",
        str(data / "tiny"),
        "--out",
        str(tmp_path),
    ]
    command += [
        "--cache",
        str(tmp_path / "cache"),
        "--embedder",
        "none",
        "--baselines",
        "last-n",
        "--budget",
        "200",
    ]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.strip() == (tmp_path / "tiny.md").read_text("utf-8").strip()
    exact = "tokens tiktoken o200k" in done.stdout
    assert exact or ("do not compare" in done.stdout and "NOTE: tokens are not counted" in done.stderr)


def test_every_system_keeps_to_the_budget_but_the_full_history(bench, data, tmp_path):
    found = run(bench, data, tmp_path / "out", "--sets", "tiny", embedder=FakeEmbedder())
    for row in found.values():
        assert set(row["found"]) == {"convmem", "bm25", "dense", "last-n", "full"}
        for system, outcomes in row["found"].items():
            for budget, outcome in outcomes.items():
                assert outcome["tokens"] <= int(budget) or (system == "full" and outcome["strict"] == 1.0)


def test_a_context_over_the_budget_ends_the_run(bench, data, tmp_path, monkeypatch):
    replay = bench("replay")
    monkeypatch.setattr(replay.Replay, "ask", lambda *_: replay.Context("word " * 200, set()))
    with pytest.raises(AssertionError, match="convmem took"):
        run(bench, data, tmp_path / "out", "--sets", "tiny")


def test_a_history_put_together_from_shared_sessions_hides_their_names(bench, data, tmp_path):
    question = bench("datasets").load(data / "shared").questions[0]
    assert [session.name for session in question.conversation.sessions] == ["s1", "s2"]
    assert question.now == datetime(2024, 2, 9, 10, tzinfo=UTC)
    run(bench, data, tmp_path / "out")
    row = json.loads((tmp_path / "out" / "shared.jsonl").read_text("utf-8"))
    assert row["found"]["convmem"]["400"]["strict"] == 1.0


def test_a_second_run_embeds_nothing_and_finds_the_same(bench, data, tmp_path):
    class Counting(FakeEmbedder):
        limit: int | None = None

        def embed(self, texts, kind):
            if self.limit is not None and sum(n for _, n in self.calls) >= self.limit:
                raise KeyboardInterrupt
            return super().embed(texts, kind)

    def asked(embedder):
        return sum(n for _, n in embedder.calls)

    broken, rest, again = Counting(), Counting(), Counting()
    broken.limit = 16
    options = ("--sets", "tiny", "--cache", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        run(bench, data, tmp_path / "0", *options, embedder=broken)
    first = run(bench, data, tmp_path / "1", *options, embedder=rest)
    second = run(bench, data, tmp_path / "2", *options, embedder=again)
    assert asked(broken) == 16
    assert 0 < asked(rest) < 48 + len(first) + 5
    assert asked(again) == 0

    def figures(found):
        return {
            (qid, system, budget): (outcome["strict"], outcome["kept"], outcome["tokens"])
            for qid, row in found.items()
            for system, outcomes in row["found"].items()
            for budget, outcome in outcomes.items()
        }

    assert figures(first) == figures(second)


def test_a_sample_is_drawn_by_its_seed(bench, data, tmp_path):
    first = run(bench, data, tmp_path / "1", "--sets", "tiny", "--limit", "3", "--seed", "5")
    second = run(bench, data, tmp_path / "2", "--sets", "tiny", "--limit", "3", "--seed", "5")
    assert list(first) == list(second)
    assert len(first) == 3


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1:56 pm on 8 May, 2023", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("March-15-2024", datetime(2024, 3, 15, tzinfo=UTC)),
        ("2025-12-15 (Monday)", datetime(2025, 12, 15, tzinfo=UTC)),
        ("2023/05/28 (Sun) 06:47", datetime(2023, 5, 28, 6, 47, tzinfo=UTC)),
        ("2024-02-03T04:05:06+00:00", datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (None, None),
    ],
)
def test_dates_as_data_sets_write_them(bench, text, meant):
    assert bench("datasets").parse_date(text) == meant


def test_intervals_are_over_conversations(bench):
    measures = bench("measures")
    values, conversations = [1.0, 1.0, 0.0, 0.0] * 25, ["a", "a", "b", "b"] * 25
    assert measures.half_width(values, conversations, 1) == pytest.approx(0.5)
    assert measures.half_width(values, ["a"] * 100, 1) == pytest.approx(0.1, abs=0.03)
    found = measures.judge(["x", "y", "z"], {"y": 0.4, "z": 1.7}, {"x"})
    assert (found.strict, found.kept) == pytest.approx((1 / 3, 2.4 / 3))
