"""Replies and messages that memory has trouble with: the turn is kept all the same."""

from __future__ import annotations

import contextlib

import openai
import pytest

from convmem.testing import Fault, Reply, ToolCall
from convmem.wire.message import meaning_of

ASKED = [{"role": "user", "content": "what is six times seven?", "name": "ana"}]


def ask(client, messages, **given):
    return client.chat.completions.create(model="m", messages=messages, **given)


def journal(memory):
    memory.flush()
    return [(turn.text, turn.state) for turn in memory.turns(user="alice", session="s", branches=True)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", [90, 101, 900, 100_000])
def test_arguments_that_a_model_ran_away_with_are_journaled(client, memory, provider, depth, stream):
    history = []
    for n, arguments in enumerate(("[" * depth, "[" * depth + "]" * depth)):
        provider.script(Reply("", tool_calls=[ToolCall("f", arguments, id=f"c{n}")], chunk_size=50_000))
        history.append({"role": "user", "content": f"go {n}"})
        reply = ask(client, history, stream=stream)
        if stream:
            list(reply)
        assert memory.receipt_for(reply).journaled
        call = {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        history += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{n}", "content": "no JSON"},
        ]
    assert memory.receipt_for(ask(client, history)).journaled
    turns = memory.turns(user="alice", session="s", branches=True)
    assert [turn.role for turn in turns] == ["user", "assistant", "tool"] * 2 + ["assistant"]
    assert turns[4].payload["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", [90, 200, 800])
def test_of_a_reply_with_something_too_deep_to_keep_the_text_is_kept(client, memory, provider, depth, stream):
    deep: object = 1
    for _ in range(depth):
        deep = {"a": deep}
    provider.script(Reply("forty-two", extra={"vendor": deep}))
    reply = ask(client, ASKED, stream=stream)
    if stream:
        deltas = [chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices]
        assert "".join(deltas) == "forty-two"
    assert memory.receipt_for(reply).journaled
    assert journal(memory) == [(ASKED[0]["content"], "answered"), ("forty-two", "answered")]


def test_what_cannot_be_journaled_as_it_is_is_journaled_plainer(
    client, memory, provider, monkeypatch, caplog
):
    def fails(message):
        if "vendor" in message or message.get("name") == "ana":
            raise RuntimeError("nobody expected this")
        return meaning_of(message)

    monkeypatch.setattr("convmem.wire.identity.meaning_pieces", lambda message: iter([fails(message)]))
    monkeypatch.setattr("convmem.wire.message.meaning_of", fails)
    provider.script(Reply("四十二", extra={"vendor": {"odd": 1}}))
    assert memory.receipt_for(ask(client, ASKED)).journaled
    assert provider.requests[-1].json["messages"] == ASKED
    assert journal(memory) == [(ASKED[0]["content"], "answered"), ("四十二", "answered")]
    ask(client, [*ASKED, {"role": "assistant", "content": "四十二"}, {"role": "user", "content": "sure?"}])
    assert [text for text, _ in journal(memory)] == [ASKED[0]["content"], "四十二", "sure?", "echo: sure?"]
    assert caplog.text.count("cannot be journaled as it is") == 3


def test_a_reply_that_came_whole_stays_whole(client, memory, provider):
    asked = [*ASKED, {"role": "assistant", "content": "42"}, {"role": "user", "content": "sure?"}]
    provider.script(Reply("quite sure", chunk_size=100))
    ask(client, asked)
    provider.script(Fault.cut(Reply("quite sure", chunk_size=100), after_chunks=2))
    with contextlib.suppress(openai.APIError, Exception):
        list(ask(client, asked, stream=True))
    assert journal(memory)[-1] == ("quite sure", "answered")
    assert memory.last_receipt().state == "partial"
