"""Every example is short, says how to run it, and does what it says, offline and against a provider."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.examples.conftest import EXAMPLES

import convmem
from convmem.testing import Fault, Reply, ToolCall

SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(
    "file", [*SCRIPTS, *sorted((EXAMPLES / "web_chat_page").iterdir())], ids=lambda file: file.name
)
def test_it_is_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) < 80


@pytest.mark.parametrize("file", [f for f in SCRIPTS if f.name != "offline.py"], ids=lambda file: file.name)
def test_it_says_how_to_run_it(file):
    text = file.read_text(encoding="utf-8")
    head = text.split('"""')[1]
    assert f"python examples/{file.name}" in head
    assert "offline" in head
    assert "OPENAI_API_KEY" in head


def test_quickstart_knows_after_a_restart_what_was_said_before(run, keyed):
    printed = run("quickstart.py")
    assert "You told me: “I fly to Kyoto on 3 April and stay at the Heron Inn.”" in printed
    assert "你说过：“我的游泳卡每年三月到期。”" in printed
    assert "session kyoto: 2 turns\nsession 游泳: 2 turns\nsession today: 4 turns" in printed
    assert [request.fields["model"] for request in keyed.requests] == ["gpt-6-luna"] * 4
    assert run_offline(run, "quickstart.py").splitlines()[:12] == printed.splitlines()[:12]


def test_streams_of_two_users_keep_apart(run, keyed):
    printed = run("streaming.py")
    assert "[alice] → You told me: “My locker at the pool is 7719.”" in printed
    assert "[小林] → 你说过：“我的车停在B2层37号。”" in printed
    assert "[alice] broken off, partial: 'You '" in printed
    assert "[小林] broken off, partial: '你说过：'" in printed
    for request in keyed.requests:
        text = str(request.messages)
        assert not ("7719" in text and "37" in text)
    assert "[alice] broken off, partial: 'You '" in run_offline(run, "streaming.py")


def test_the_terminal_chat_remembers_from_one_start_to_the_next(run, keyed):
    first = run("terminal_chat.py", "--user", "ana", typed=["My bike is a blue Peugeot.", "/why", "/quit"])
    assert first.startswith("Earlier conversations of ana: 0")
    assert "answered: user ana, session " in first
    assert "model gpt-6-luna" in first
    second = run("terminal_chat.py", "--user", "ana", typed=["", "What colour is my bike?", "/new", "Hm!"])
    assert second.startswith("Earlier conversations of ana: 1")
    assert "You told me: “My bike is a blue Peugeot.”" in second
    third = run("terminal_chat.py", "--user", "ana", "--model", "other", typed=["/why"])
    assert third == "Earlier conversations of ana: 3\nnothing was asked yet\n"


def test_the_terminal_chat_goes_on_after_an_error_of_the_provider(run, keyed):
    keyed.script(Fault.status(402), Reply("Here I am."))
    printed = run("terminal_chat.py", typed=["Are you there?", "Are you there?"])
    assert "[Error code: 402" in printed
    assert printed.endswith("Here I am.\n")


def test_ctrl_c_in_the_terminal_chat_stops_an_answer_and_keeps_what_came(keyed, tmp_path):
    keyed.script(Fault.stall(after_chunks=3, reply=Reply("It is half past nine.")), Reply("Good night!"))
    command = [sys.executable, str(EXAMPLES / "terminal_chat.py"), "--user", "ana"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as chat:  # noqa: S603 (ours)
        chat.stdin.write("What time is it?\n")
        chat.stdin.flush()
        came = ""
        while not came.endswith("It is half past "):
            came += (letter := chat.stdout.read(1))
            assert letter, "it ended"
        chat.send_signal(signal.SIGINT)
        rest, _ = chat.communicate("Then good night!\n", timeout=60)
    assert rest.startswith(" …")
    assert "Good night!" in rest
    with convmem.Memory(tmp_path / "chat.db") as memory:
        said = [(turn.text, turn.state) for turn in memory.turns(user="ana")]
    assert said[1] == ("It is half past ", "partial")
    assert len(said) == 4


def test_the_terminal_chat_asks_for_a_key_or_goes_offline(run, capsys):
    with pytest.raises(SystemExit):
        run("terminal_chat.py")
    assert "set OPENAI_API_KEY" in capsys.readouterr().err
    assert "I will keep that in mind." in run("terminal_chat.py", "--offline", typed=["My bike is blue."])


def test_the_agent_calls_its_tool_knowing_an_earlier_session(run, keyed):
    wrong = Reply(tool_calls=[ToolCall("days_until", {"day": "in April"})])
    right = Reply(tool_calls=[ToolCall("days_until", {"day": "2027-04-03"})])
    keyed.script(Reply("Have a good trip!"), wrong, right)
    printed = run("agent.py")
    assert "ValueError" in printed
    assert "The tool says:" in printed
    assert "['user', 'assistant', 'tool', 'assistant', 'tool', 'assistant']" in printed
    asked = [request.messages for request in keyed.requests[1:]]
    assert "I fly to Kyoto on 3 April 2027." in asked[0][0]["content"]
    assert {messages[0]["content"] for messages in asked} == {asked[0][0]["content"]}
    assert "The tool says:" in run_offline(run, "agent.py")


def test_the_custom_policy_cuts_and_what_left_is_recalled(run, keyed):
    printed = run("custom_policy.py").splitlines()
    assert [line.endswith("CUT") for line in printed] == [n == 6 for n in range(11)]
    assert printed[-1] == "You told me: “My locker at the pool is number 7719.”"
    assert "7719" in str(keyed.requests[-1].messages)
    assert run_offline(run, "custom_policy.py").splitlines()[-1] == printed[-1]


def test_the_custom_store_lasts(run, keyed):
    printed = run("custom_store.py")
    assert "assistant: You told me: “The code of the boiler is E119.”" in printed
    assert run_offline(run, "custom_store.py") == printed


def test_langchain_models_remember(run, keyed):
    printed = run("langchain_memory.py")
    assert "You told me: “The gate of the allotment opens with 4482.”" in printed
    assert "user alice, session today" in printed
    assert "4482" in str(keyed.requests[-1].messages)


def run_offline(run, name):
    """The same without a key, as `make examples` does: the stand-in answers, by the default model's rules."""
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
            environment.delenv(variable)
        return run(name)
