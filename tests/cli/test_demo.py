"""`convmem demo`, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import convmem
from convmem.demo.data import questions
from convmem.demo.play import Demo
from convmem.testing.fakes import FakeEmbedder
from convmem.wire.quoting import quoted

pytest.importorskip("typer")
pytest.importorskip("rich")

SRC = Path(__file__).parent.parent.parent / "src"
ANSI = re.compile(r"\x1b\[")
CHAT = [
    {
        "role": "user",
        "content": "My locker code at the pool is 4417.",
        "session": "pool",
        "at": "2026-03-02T09:00Z",
    },
    {"role": "assistant", "content": "Noted: 4417.", "session": "pool", "at": "2026-03-02T09:01Z"},
    {"role": "user", "content": "我妹妹住在泉州。", "session": "family", "at": "2026-03-05T09:00Z"},
    {"role": "assistant", "content": "泉州好地方。", "session": "family", "at": "2026-03-05T09:01Z"},
]


# `python -m convmem` on a machine that is not late.
PATIENT = """
import sys
import convmem
from convmem.cli import main
convmem.Memory.__init__.__kwdefaults__["deadline_ms"] = 60_000
main(sys.argv[1:])
"""


@pytest.fixture
def chat(tmp_path):
    file = tmp_path / "chat.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in CHAT), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The whole built-in conversation, once: as JSON, in a process of its own."""
    store = tmp_path_factory.mktemp("demo") / "demo.db"
    args = ["--json", "--embedder", "none", "--seed", "3", "--store", str(store)]
    done = subprocess.run(  # noqa: S603 (our own words)
        [sys.executable, "-W", "error", "-c", PATIENT, "demo", *args],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC), "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    return json.loads(done.stdout), store


@pytest.mark.slow
def test_the_built_in_conversation_is_remembered_with_its_dates(played):
    document, store = played
    conversation = document["conversation"]
    assert (conversation["turns"], conversation["sessions"]) == (324, 22)
    assert document["store"]["path"] == str(store)
    with convmem.Memory(store, embedder=None) as memory:
        turns = memory.turns(user="demo", session="first-evening")
    assert [turn.at.isoformat() for turn in turns[:2]] == [
        "2026-02-03T20:41:10+08:00",
        "2026-02-03T20:41:23+08:00",
    ]


@pytest.mark.slow
def test_each_question_shows_both_requests_and_where_the_evidence_stands(played):
    document, _ = played
    assert len(document["questions"]) == document["summary"]["asked"] == 8
    known = {question.id: question for question in questions()}
    begins = document["questions"][0]  # for a terminal that does not say Chinese
    assert (begins["lang"], begins["kind"] == "cross") == ("en", False)
    for asked in document["questions"]:
        alone, remembered = asked["without_memory"], asked["with_memory"]
        assert alone["messages"] == [{"role": "user", "content": known[asked["id"]].text}]
        newest = remembered["messages"][-1]["content"]
        assert newest.endswith(known[asked["id"]].text)
        # A line that goes on stands indented, so that nobody's words look like a line of memory's.
        assert all(quoted(quote["text"]) in newest for quote in remembered["recalled"])
        assert asked["found"] == any(quote["evidence"] for quote in remembered["recalled"])
        assert (
            sum(v for k, v in remembered["tokens"].items() if k != "total") == remembered["tokens"]["total"]
        )
        assert remembered["tokens"]["recall"] <= 1_024
    assert document["summary"]["found"] == sum(asked["found"] for asked in document["questions"]) >= 4


@pytest.mark.slow
def test_small_talk_is_left_alone(played):
    document, _ = played
    assert document["small_talk"] == {"asked": 10, "nothing_added": 10}


def test_a_chat_of_your_own(run, chat, tmp_path):
    ask = ("--ask", "What is my locker code?", "--ask", "妹妹住在哪里?")
    code, out, err = run("demo", "--data", chat, *ask, "--embedder", "none", "--store", tmp_path / "x.db")
    assert (code, err) == (0, "")
    assert "4 turns of 2 sessions (chat.jsonl) recorded" in out
    assert "t1: My locker code at the pool is 4417." in out
    assert "[2026-03-05]" in out
    assert not ANSI.search(out)
    shown, _, commands = out.partition("Search it:")
    assert max(map(len, shown.splitlines())) <= 80
    assert "Without memory a model has only the question; with memory it reads:" in " ".join(out.split())
    again = next(line for line in commands.splitlines() if " recall " in line)
    assert shlex.split(again)[:4] == [sys.executable, "-m", "convmem", "recall"]
    assert shlex.split(again)[-4:] == ["--db", str(tmp_path / "x.db"), "-u", "demo"]
    with convmem.Memory(tmp_path / "x.db", embedder=None) as memory:
        assert {session.name for session in memory.sessions(user="demo")} >= {"pool", "family"}


def test_all_turns_are_embedded_before_it_asks(run, chat, monkeypatch, tmp_path):
    """The embedder is only let go when all turns are remembered and the demo waits for it."""
    waited_for = threading.Event()

    class Slow(FakeEmbedder):
        def embed(self, texts, kind):
            if kind == "passage":
                waited_for.wait(30)
            return super().embed(texts, kind)

    settle = Demo.settle

    def settled(self, seconds, tell):
        waited_for.set()
        return settle(self, seconds, tell)

    monkeypatch.setattr("convmem.demo.play.resolve_embedder", lambda _: Slow())
    monkeypatch.setattr(Demo, "settle", settled)
    code, out, _ = run("demo", "--data", chat, "--ask", "locker code", "--store", tmp_path / "x.db")
    told = " ".join(out.split())
    assert code == 0
    assert re.search(r"4 turns of 2 sessions \(chat.jsonl\) recorded in [\d.]+ s, 4 embedded\.", told)
    assert "4 of 4 turns were embedded when the questions were asked" in told


def test_a_budget_holds(run, chat, tmp_path):
    code, out, _ = run(
        "demo", "--data", chat, "--ask", "locker code", "--budget", 0, "--json", "--store", tmp_path / "x.db",
        "--embedder", "none",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["questions"][0]["with_memory"]["recalled"] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--questions", "41"], "there are 40 questions, not 41"),
        (["--questions", "-1"], "--questions"),
        (["--policy", "balancd"], "Did you mean 'balanced'?"),
        (["--embedder", "bogus"], "No embedder is called 'bogus'"),
        (["--store", "CHAT"], "is there already"),
        (["--store", "none/x.db"], "there is no folder none"),
        (["--ask", " "], "a question is empty"),
        (["--data", "CHAT"], "only you know what to ask"),
        (["--data", "none.json", "--ask", "x"], "none.json cannot be read"),
        (["--dat", "x"], "No such option"),
    ],
)
def test_bad_input_is_named_and_ends_with_2(run, chat, args, said):
    code, out, err = run("demo", *(str(chat) if arg == "CHAT" else arg for arg in args))
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())
    assert not out


def test_help_and_version(run):
    code, out, _ = run("--version")
    assert (code, out.strip()) == (0, f"convmem {convmem.__version__}")
    code, out, _ = run("demo", "--help")
    assert code == 0
    assert "No model answers" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "settings", "sequences"),
    [
        ((), {}, {"bold", "colour"}),
        ((), {"NO_COLOR": "1"}, {"bold"}),
        (("--plain",), {}, set()),
    ],
    ids=["colours", "NO_COLOR", "plain"],
)
def test_a_terminal_is_asked_and_has_colours(chat, tmp_path, options, settings, sequences):
    """Somebody at a terminal types a question; nobody asks one who said --plain, which is for files."""
    ours, theirs = pty.openpty()
    args = ["demo", "--data", str(chat), "--embedder", "none", "--store", str(tmp_path / "x.db"), *options]
    asked = ["--ask", "locker code"] if options else []
    env = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    with subprocess.Popen(  # noqa: S603 (our own words)
        [sys.executable, "-m", "convmem", *args, *asked],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**env, "PYTHONPATH": str(SRC), "TERM": "xterm-256color", "COLUMNS": "100", **settings},
    ) as process:
        os.close(theirs)
        if not options:
            os.write(ours, b"What is my locker code?\n\n")
        seen = b""
        while piece := read_some(ours):
            seen += piece
    os.close(ours)
    text = seen.decode()
    assert process.returncode == 0
    assert "4417" in text
    assert ("Ask your memory" in text) == (not options)
    found = set()
    for codes in re.findall(r"\x1b\[([0-9;]*)m", text):
        found |= {
            "bold" if code == "1" else "colour"
            for code in codes.split(";")
            if re.fullmatch("1|[34][0-7]", code)
        }
    assert found == sequences
    if options:
        assert "\x1b" not in text


def read_some(terminal):
    try:
        return os.read(terminal, 4_096)
    except OSError:  # the other end was closed
        return b""


@pytest.mark.parametrize(
    ("missing", "remedy"), [("typer", "pip install rich typer"), ("openai", "pip install openai")]
)
def test_without_the_extra_it_says_what_to_install(missing, remedy):
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from convmem.cli import main
main(['demo', '--questions', '1'])
"""
    done = subprocess.run(  # noqa: S603 (our own words)
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        timeout=60,
        text=True,
    )
    assert done.returncode == 2
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
