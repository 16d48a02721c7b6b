"""`convmem chat`, through a pipe and at a terminal, against the local provider."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest
from tests.cli.conftest import lines

import convmem
from convmem.cli.conversation import Conversation
from convmem.cli.screen import Screen
from convmem.testing import Fault, LocalProvider, Reply
from convmem.testing.fakes import FakeEmbedder

SRC = Path(__file__).parents[2] / "src"
LOCKER = "My locker at the pool is number 7719."


@pytest.fixture
def chat(run, provider, tmp_path, monkeypatch):
    """Run `convmem chat` with these lines on standard input."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def chatting(*args, lines=()):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        options = ("--base-url", provider.base_url, "--model", "m", "--embedder", "none")
        return run("chat", *options, "--db", tmp_path / "chat.db", *args)

    return chatting


def test_each_line_of_a_pipe_is_a_message_of_one_conversation(chat, provider):
    code, out, err = chat(lines=["Hello", "", "And now?"])
    assert (code, out, err) == (0, "echo: Hello\necho: And now?\n", "")
    first, second = provider.requests
    assert first.messages == [{"role": "user", "content": "Hello"}]
    assert [m["content"] for m in second.messages] == ["Hello", "echo: Hello", "And now?"]
    assert second.stream


@pytest.mark.parametrize("args", [("caf\udce9",), ("hi", "--system", "\udcff"), ("hi", "--model", "m\udcff")])
def test_words_that_are_no_text_are_refused(chat, provider, args):
    code, _, err = chat(*args)
    assert (code, "write it in UTF-8" in err) == (2, True)
    assert not provider.requests


def test_a_pipe_in_another_encoding_is_told(chat, provider, monkeypatch):
    def other(buffer):
        return io.TextIOWrapper(io.BytesIO(buffer), encoding="utf-8")

    monkeypatch.setattr("io.StringIO", lambda _: other(b"Hello\ncaf\xe9\n"))
    code, _, err = chat()
    assert (code, "standard input is not utf-8" in err) == (2, True)


def test_one_message_and_later_another_conversation_that_remembers(chat, provider):
    assert chat("--session", "pool", LOCKER)[:2] == (0, f"echo: {LOCKER}\n")
    provider.script(Reply("7719."))
    assert chat("--session", "today", "--system", "Be brief.", "which locker is mine?")[1] == "7719.\n"
    sent = provider.requests[-1].messages
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert LOCKER in sent[-1]["content"]
    chat("--continue", "thanks")
    assert [m["content"] for m in provider.requests[-1].messages] == [
        "which locker is mine?",
        "7719.",
        "thanks",
    ]


def test_answers_as_json_have_their_receipts(chat):
    code, out, _ = chat("--session", "s", "--json", lines=["Hello", "/help me"])
    rows = [json.loads(row) for row in out.splitlines()]
    assert code == 0
    assert [(row["session"], row["answer"]) for row in rows] == [
        ("s", "echo: Hello"),
        ("s", "echo: /help me"),
    ]
    assert rows[1]["receipt"]["journaled"] is True
    assert rows[1]["receipt"]["restored"] == 2
    assert rows[0]["receipt"]["usage"]["prompt_tokens"] > 0


def test_what_stands_behind_a_slash(chat):
    chat("--session", "pool", LOCKER)
    _, out, _ = chat(
        "--session",
        "today",
        lines=["/why", "which locker is mine?", "/why", "/remember Answer in French.", "/remember", "/cost"],
    )
    assert "Nothing was asked yet." in out
    assert "t1 user" in out
    assert f"  {LOCKER}" in out
    assert "tokens sent: recall" in out
    assert "Answer in French." in out
    assert "tokens sent, by the provider" in out
    _, out, _ = chat(
        lines=["/session", "/session pool", "/recall locker", "/nope", "/help", "/quit", "unheard"]
    )
    assert "today, 2 turns" in out
    assert "This is pool now." in out
    assert "There is no /nope" in out
    assert "/remember [TEXT]" in out
    assert "unheard" not in out
    _, out, _ = chat(lines=["/forget", "/forget zebra"])
    assert "Say what: /forget TEXT." in out
    assert "0 turns would be forgotten." in out


def test_through_a_pipe_nothing_is_forgotten_and_trouble_ends_it(chat, provider, tmp_path):
    chat("--session", "pool", LOCKER)
    asked = len(provider.requests)
    code, out, err = chat(lines=["/forget 7719", "n"])
    assert (code, "nobody is there to ask" in err) == (2, True)
    assert LOCKER in out
    assert len(provider.requests) == asked  # nor is the answer to a question that was not asked a message
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        assert [turn.text for turn in memory.turns(user="me", session="pool")] == [LOCKER, f"echo: {LOCKER}"]
    code, _, err = chat(lines=["/recall", "unheard"])
    assert (code, "query is empty" in err, len(provider.requests)) == (2, True, asked)


def test_what_is_kept_can_be_taken_away(chat):
    kept = ["/remember Answer in French.", "hi", "/why", "/remember"]
    _, out, _ = chat(lines=[*kept, "/unpin p1", "hi", "/why", "/remember"])
    assert "/unpin p1 takes it away" in out
    assert re.search(r"p1 \d{4}-\d\d-\d\d Answer in French\.", out)
    assert re.search(r"tokens sent: pins \d+ \+", out)
    assert out.count("tokens sent: pins") == 1
    assert "Taken away" in out
    assert "Nothing is kept." in out
    for line, error in (("/unpin p1", "has no pin 'p1'"), ("/unpin", "give the id")):
        code, _, err = chat(lines=[line])
        assert (code, error in err) == (2, True)


def test_a_provider_that_refuses_is_named_and_nothing_is_lost(chat, provider, tmp_path):
    provider.script(Fault.status(400))
    code, out, err = chat("Hello")
    assert (code, out) == (1, "")
    assert err.startswith(f"convmem: the provider at {provider.base_url}")
    assert err.count("\n") == 1
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        (session,) = memory.sessions(user="me")
        assert [(t.text, t.state) for t in memory.turns(user="me", session=session.name, branches=True)] == [
            ("Hello", "failed")
        ]


def test_money_is_counted_where_prices_are_known(chat, tmp_path):
    prices = tmp_path / "prices.toml"
    row = 'host = "127.0.0.1"\nmodel = "m"\nfrom = 2026-01-01\ninput = 2.00\ncached = 0.20\noutput = 8.00'
    prices.write_text(f"[[price]]\n{row}\n")
    assert "at list prices $0.0" in lines(chat("--prices", prices, lines=["Hello", "/cost"])[1])
    assert "No price is known" in lines(chat(lines=["Hello", "/cost"])[1])
    assert chat("--prices", tmp_path / "none.toml", "Hello")[0] == 2


@pytest.mark.parametrize(
    ("fault", "printed", "said"),
    [
        (Fault.cut(Reply("one two three four"), after_chunks=3), "one", "Connection error"),
        (Fault.error_event(Reply("one two three four"), after_chunks=3), "one", "had an error"),
        (Fault.not_json(), "", "the provider sent no text"),
        (Fault.empty_body(), "", "the provider sent no text"),
    ],
    ids=["cut", "error", "html", "empty"],
)
def test_an_answer_that_breaks_is_named_behind_what_came_of_it(chat, provider, fault, printed, said):
    provider.script(fault)
    code, out, err = chat("Hello")
    assert code == 1
    assert out.startswith(printed)
    assert said in err
    assert "Traceback" not in err


def test_an_answer_cannot_steer_the_terminal(chat, provider):
    provider.script(Reply("red \x1b[31m alert\x07"))
    assert "\x1b" not in chat("Hello")[1]


def test_the_only_model_of_a_provider_need_not_be_named(run, tmp_path):
    def asked(*models):
        with LocalProvider(models=models) as provider:
            args = (
                "--base-url",
                provider.base_url,
                "--db",
                tmp_path / "chat.db",
                "--embedder",
                "none",
                "Hello",
            )
            return (*run("chat", *args), [request.fields.get("model") for request in provider.requests])

    code, _, _, models = asked("only")
    assert (code, models[-1]) == (0, "only")
    code, _, err, _ = asked("one", "two")
    assert (code, "name the model with --model; the provider has one, two" in err) == (2, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--session", "s", "--continue"], "not both"),
        (["--continue"], "me has no conversation to go on with"),
        (["--policy", "lea"], "Did you mean 'lean'?"),
        (["--user", " "], "user"),
    ],
)
def test_wrong_usage_is_named(chat, args, said):
    code, out, err = chat(*args, "Hello")
    assert (code, out) == (2, "")
    assert said in err


def test_without_a_key_it_says_which_is_missing(run, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    code, _, err = run("chat", "Hello", "--key-env", "NO_SUCH_KEY")
    assert (code, "NO_SUCH_KEY holds no key" in err) == (2, True)


def test_a_provider_that_cannot_be_reached_is_named_with_what_says_where_it_is(run, tmp_path):
    for url in ("http://127.0.0.1:9/v1/", "no-url"):
        db = ("--db", tmp_path / "x.db", "--embedder", "none")
        for model in (["--model", "m"], []):
            code, _, err = run("chat", "--base-url", url, *model, *db, "Hello")
            assert code == (1 if model else 2)
            assert f"the provider at {url}" in err
            assert "OPENAI_BASE_URL says where it is" in err


def test_a_key_that_is_asked_for_has_to_be_there(chat, provider):
    code, _, err = chat("--key-env", "NO_SUCH_KEY", "Hello")
    assert (code, "NO_SUCH_KEY holds no key" in err, len(provider.requests)) == (2, True, 0)
    provider.script(Fault.status(401))
    assert "--key-env names the variable" in chat("Hello")[2]


def test_notes_wait_for_the_end_of_an_answer(capsys):
    screen = Screen(plain=True)
    with screen.noting():
        with screen.holding_notes():
            logging.getLogger("convmem").warning("late")
            assert "late" not in capsys.readouterr().err
        assert capsys.readouterr().err == "note: late\n"


def test_what_the_first_question_needs_is_loaded_before_and_nothing_is_journaled(provider, tmp_path):
    embedder = FakeEmbedder()
    bare = openai.OpenAI(base_url=provider.base_url, api_key="x")
    with bare, convmem.Memory(tmp_path / "x.db", embedder=embedder) as memory:
        memory.record([{"role": "user", "content": LOCKER}], user="me", session="pool")
        talk = Conversation(memory, bare, model="m", user="me", session="today")
        with talk.warming():
            pass
        assert ("query", 1) in embedder.calls
        assert [session.name for session in memory.sessions(user="me")] == ["pool"]
        assert memory.stats().calls == 0


class Terminal:
    """A program at a terminal, read until something is said."""

    def __init__(self, *args: object, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(  # noqa: S603 (our own words)
            [sys.executable, "-m", "convmem", *map(str, args)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "PYTHONPATH": str(SRC), "TERM": "xterm-256color", "COLUMNS": "100", **env},
            start_new_session=True,
        )
        os.close(theirs)
        self.unread = ""

    def until(self, words: str, timeout: float = 60.0) -> str:
        """Read until these words come, and give all up to them."""
        end = time.monotonic() + timeout
        while words not in self.unread:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"waited for {words!r}, saw {self.unread!r}"
            try:
                piece = os.read(self._ours, 4_096)
            except OSError:  # the other end was closed
                piece = b""
            assert piece, f"it ended before {words!r}: {self.unread!r}"
            self.unread += piece.decode(errors="replace")
        before, _, self.unread = self.unread.partition(words)
        return before

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._ours, text.encode())

    def close(self) -> int:
        """Wait for its end."""
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            os.close(self._ours)


def test_only_the_turns_of_who_talks_are_counted(provider, tmp_path):
    """And who has none is told whose the memory is."""
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        memory.record([{"role": "user", "content": LOCKER}], user="anna", session="pool")
        memory.record(
            [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], user="小林"
        )
    for user, turns in ((None, 0), ("anna", 1), ("小林", 2)):
        env = {"CONVMEM_DB": str(tmp_path / "chat.db"), "OPENAI_API_KEY": "x"}
        whose = ("--user", user) if user else ()
        terminal = Terminal(
            "chat", "--base-url", provider.base_url, "--model", "m", "--embedder", "none", *whose, env=env
        )
        head = terminal.until(" remembered")
        assert head.endswith(f"{turns} turn" + "s" * (turns != 1))
        assert ("this memory is of anna, 小林" in " ".join(head.split())) == (user is None)
        terminal.until("you")
        terminal.type("\x04")
        assert terminal.close() == 0


def test_at_a_terminal(provider, tmp_path):
    """Somebody talks, breaks an answer off, asks why, forgets and leaves."""
    long = Reply(" ".join(f"word{n}" for n in range(2_000)), chunk_delay_s=0.02)
    provider.script(Reply("Noted."), long)
    terminal = Terminal(
        "chat", "--base-url", provider.base_url, "--model", "m", "--embedder", "none", "--session", "pool",
        env={"CONVMEM_DB": str(tmp_path / "chat.db"), "CONVMEM_USER": "ana", "OPENAI_API_KEY": "x"},
    )  # fmt: skip
    assert "m · ana, pool · 0 turns remembered" in terminal.until("/help")
    terminal.until("you")
    terminal.type(f"{LOCKER}\n")
    assert "Noted." in terminal.until("/why")
    terminal.type("Tell me a lot\n")
    terminal.until("word3")
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("broken off")
    terminal.until("you")
    terminal.type("/forget 7719\n")
    assert LOCKER in terminal.until("[y/N]")
    terminal.type("y\n")
    terminal.until("Forgotten.")
    terminal.until("you")
    terminal.type("\x04")
    assert terminal.close() == 0
    with convmem.Memory(tmp_path / "chat.db", embedder=None) as memory:
        turns = memory.turns(user="ana", session="pool", branches=True)
    assert [turn.state for turn in turns][-1] == "partial"
    assert turns[-1].text.startswith("word0 word1")
    assert not any("7719" in turn.text for turn in turns)
