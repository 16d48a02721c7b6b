"""What apps and frameworks send back changed is what was said, in the journal and in the window."""

from __future__ import annotations

import contextlib
import json

import openai
import pytest

import convmem
from convmem.testing import Fault, Reply, ToolCall

PAGE = "The ferry to Texel leaves at nine."


def user(text, **fields):
    return {"role": "user", "content": text, **fields}


def said(text, **fields):
    return {"role": "assistant", "content": text, **fields}


def ask(client, messages, **given):
    return client.chat.completions.create(model="m", messages=messages, **given)


def rows(memory):
    return [row for line in memory.export() if "message" in (row := json.loads(line))]


@pytest.fixture
def anonymous(memory, bare):
    return memory.wrap(bare)


@pytest.mark.parametrize("scope", [{"user": "alice", "session": "s"}, {"user": "alice"}, {}])
def test_a_reply_that_comes_back_without_its_thoughts_and_with_a_name(provider, memory, bare, scope):
    client, history = memory.wrap(bare, **scope), []
    for i in range(12):
        history.append(user(f"问题{i}？"))
        provider.script(Reply(f"<think>\nabout {i}\n</think>\n\nAnswer {i}."))
        ask(client, history)
        assert provider.requests[-1].messages == history
        history.append(said(f"Answer {i}.", name="main"))
    kept = rows(memory)
    assert len(kept) == 24
    assert len({row["session"] for row in kept}) == 1
    assert kept[1]["message"]["content"].startswith("<think>"), "the journal keeps the original"


@pytest.mark.parametrize(
    ("before", "thought"), [(f"Context:\n{PAGE}\n\nQuestion: ", ""), ("", "<think>hm</think>")]
)
def test_a_process_that_begins_anew_recognizes_what_another_one_journaled(
    provider, tmp_path, bare, before, thought
):
    history = []
    for i in range(6):
        with convmem.Memory(tmp_path / "m.db", deadline_ms=5_000, embedder="none") as memory:
            newest = user(f"{before}Question {i}?")
            provider.script(Reply(f"{thought}Answer {i}."))
            ask(memory.wrap(bare), [*history, newest])
            assert provider.requests[-1].messages == [*history, newest]
            history += [user(f"Question {i}?"), said(f"Answer {i}.")]
            assert len(rows(memory)) == len(history)


def test_what_was_recorded_in_other_clothes_is_recognized_after_a_restart(tmp_path, bare, provider):
    with convmem.Memory(tmp_path / "m.db", deadline_ms=5_000, embedder="none") as memory:
        past = [user(f"Context:\n{PAGE}\n\nQuestion: Where?"), said("<think>hm</think>There.")]
        memory.record(past, session="s")
    with convmem.Memory(tmp_path / "m.db", deadline_ms=5_000, embedder="none") as memory:
        ask(memory.wrap(bare, session="s"), [user("Where?"), said("There."), user("When?")])
        assert len(rows(memory)) == 4


def test_what_is_put_back_is_what_the_app_left_out_and_nothing_twice(provider, memory, bare):
    client = memory.wrap(bare, user="alice", session="s")
    history = []
    for i in range(4):
        provider.script(Reply(f"<think>{i}</think>Answer {i}."))
        ask(client, [*history, user(f"Question {i}?\n\n<system-reminder>Be brief.</system-reminder>")])
        history += [user(f"Question {i}?"), said(f"Answer {i}.", name="main")]
    ask(client, [*history[-2:], user("And now?")])
    sent = provider.requests[-1].messages
    assert sent[-3:] == [*history[-2:], user("And now?")], "the app's own messages as it made them"
    assert len(sent) == 9, "and three rounds before them, once each"
    receipt = memory.last_receipt()
    assert receipt.restored == 6
    assert len(rows(memory)) == 10


def test_strangers_whose_chats_begin_alike_stay_apart(provider, memory, anonymous):
    front = "Context:\nAnn owes the bank 7,000.\n\nQuestion: "
    provider.script(
        Reply("<think>Ann is in debt.</think>Hello!"), Reply("Hello!"), Reply("Fine."), Reply("Good.")
    )
    ask(anonymous, [user(f"{front}hi")])
    ask(anonymous, [user("Context:\nBob won the lottery.\n\nQuestion: hi")])
    for _ in range(3):
        ask(anonymous, [user("hi"), said("Hello!"), user("what do you know of me?")])
        sent = provider.requests[-1].messages
        assert sent == [user("hi"), said("Hello!"), user("what do you know of me?")]


def test_words_that_a_stranger_did_not_send_are_never_quoted_to_them(provider, memory, bare):
    client = memory.wrap(bare, policy=convmem.WindowPolicy("tiny", high=60, low=20, summary=200, recall=400))
    provider.script(Reply("<think>The debt of Ann is 7,000 at the bank.</think>Hello, how is the garden?"))
    ask(client, [user("Context:\nAnn owes the bank 7,000.\n\nQuestion: What do I owe the bank?")])
    history = [user("What do I owe the bank?"), said("Hello, how is the garden?")]
    for i in range(8):
        history.append(user(f"What do I owe the bank, and why? ({i})"))
        provider.script(Reply(f"Nothing that I know of, {i}. " * 8))
        ask(client, history)
        sent = json.dumps(provider.requests[-1].messages)
        assert "7,000" not in sent
        assert "debt" not in sent
        history.append(said(f"Nothing that I know of, {i}. " * 8))


def test_a_half_reply_is_not_beside_the_whole_one(provider, memory, client):
    half = Reply("Half of the answer, and then the line breaks " * 3, chunk_size=5)
    provider.script(Fault.cut(half, after_chunks=6), Reply("All of it."))
    with contextlib.suppress(openai.APIError, Exception):  # before openai 3 httpx's own error
        list(ask(client, [user("Tell me.")], stream=True))
    ask(client, [user("Tell me.")])
    ask(client, [user("Thanks.")])
    assert provider.requests[-1].messages == [user("Tell me."), said("All of it."), user("Thanks.")]
    states = [turn.state for turn in memory.turns(user="alice", session="s", branches=True)]
    assert states == ["answered", "partial", "answered", "answered", "answered"]


def test_tool_calls_told_as_text_and_rounds_of_calls_left_out(provider, memory, client):
    tools = [
        {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}
    ]
    provider.script(
        Reply(None, tool_calls=[ToolCall("tide", {"port": "Den Helder"}, id="call_9")]), Reply("High at six.")
    )
    asked = ask(client, [user("Tide?")], tools=tools).choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": "call_9", "content": "06:00"}
    ask(client, [user("Tide?"), asked, result], tools=tools)
    told = [
        user("Tide?"),
        said("Action: tide\nAction Input: {'port': 'Den Helder'}"),
        user("Observation: 06:00"),
        said("High at six."),
        user("Thanks."),
    ]
    for history in (told, [user("Tide?"), said("High at six."), user("Thanks.")]):
        provider.script(Reply("You are welcome."))
        ask(client, history)
        assert provider.requests[-1].messages == history
    assert len(rows(memory)) == 6


def test_the_past_is_recorded_once_in_whatever_clothes(memory):
    past = [
        user("Which wine?\n\nReminder: be brief."),
        said("<think>hm</think>Rioja."),
        user("And bread?"),
        said("Rye."),
    ]
    ids = memory.record(past, user="alice", session="s")
    again = [user("Which wine?"), said("Rioja.", name="main"), user("And bread?"), said("Rye.")]
    assert memory.record(again, user="alice", session="s") == ids
    assert memory.record([*again, user("Salt?")], user="alice", session="s")[:4] == ids
    assert [turn.payload for turn in memory.turns(user="alice", session="s")] == [*past, user("Salt?")]


def test_an_edit_that_keeps_the_replies_is_a_branch(provider, memory, client):
    history = [user("Plan a dinner."), said("Soup."), user("And wine?")]
    provider.script(Reply("Soup."), Reply("Rioja."), Reply("Soave."))
    ask(client, history[:1])
    ask(client, history)
    changed = [user("Plan a dinner. No nuts, please."), *history[1:], said("Rioja."), user("And bread?")]
    ask(client, changed)
    assert [turn.text for turn in memory.turns(user="alice", session="s")] == [
        m["content"] for m in changed
    ] + ["Soave."]
