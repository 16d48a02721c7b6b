"""The same conversation through every door: the same journal, the same bytes, the same memory."""

from __future__ import annotations

import re

import pytest
from tests.doors.doors import DOORS, KEPT_BY_PROVIDER, SYSTEM, State

from convmem.testing import Reply, ToolCall

BOTH = pytest.mark.parametrize("kind", ["sync", "async"], indirect=True, scope="module")
ASKED = ["hi, I am Ana", "look up 京都", "ok", "ok"]


def answer(request) -> Reply:
    """Looks things up when asked to, and says which tool answered."""
    last = (request.messages or request.items)[-1]
    said = last.get("output", last.get("content"))
    if last.get("role") == "user":
        if said.endswith("look up 京都"):
            return Reply("Let me see.", tool_calls=[ToolCall("look_up", {"q": "京都"}, id="call_1")])
        return Reply(f"你好: {said[-40:]}", chunk_size=5)
    return Reply(f"found {said}")


async def converse(door, client, *, whole=True) -> State:
    """A conversation of five calls; the app sends all of it each time, or what is new."""
    state, said = State(), []
    for text in ASKED:
        said.append({"role": "user", "content": text})
        begun = 0 if whole else len(said) - 1
        said.append(await door(client, said[begun:], state))
        if calls := said[-1].get("tool_calls"):
            said.append({"role": "tool", "tool_call_id": calls[0]["id"], "content": "a city"})
            said.append(await door(client, said[begun:] if whole else said[-1:], state))
    return state


def meant(turn) -> tuple:
    calls = [
        (c["id"], c["function"]["name"], c["function"]["arguments"])
        for c in turn.payload.get("tool_calls") or ()
    ]
    return turn.role, turn.text, calls, turn.payload.get("tool_call_id"), turn.state


JOURNAL = [
    ("user", "hi, I am Ana", [], None, "answered"),
    ("assistant", "你好: hi, I am Ana", [], None, "answered"),
    ("user", "look up 京都", [], None, "answered"),
    ("assistant", "Let me see.", [("call_1", "look_up", '{"q":"京都"}')], None, "answered"),
    ("tool", "a city", [], "call_1", "answered"),
    ("assistant", "found a city", [], None, "answered"),
    ("user", "ok", [], None, "answered"),
    ("assistant", "你好: ok", [], None, "answered"),
    ("user", "ok", [], None, "answered"),
    ("assistant", "你好: ok", [], None, "answered"),
]


@pytest.mark.parametrize("door", DOORS)
def test_the_same_conversation_leaves_the_same_journal(door, service, memory, provider):
    bare, run = service
    provider.default = answer
    client = memory.wrap(bare, user="ana", session="s")
    run(converse(DOORS[door], client))
    memory.flush()
    assert [meant(turn) for turn in memory.turns(user="ana", session="s")] == JOURNAL
    everything = memory.turns(user="ana", session="s", branches=True)
    assert {turn.state for turn in everything} == {"answered"}
    assert len(everything) == len(JOURNAL), "nothing twice"
    assert {row.name for row in memory.sessions(user="ana")} == {"s"}


@BOTH
@pytest.mark.parametrize("door", DOORS)
def test_bytes_and_events_are_the_bare_clients(door, service, memory, provider):
    bare, run = service
    provider.default = answer
    seen = []
    for client in (bare, memory.wrap(bare, user="ana", session="s")):
        state = run(converse(DOORS[door], client))
        seen.append((provider.requests[len(seen) and len(seen[0][0]) :], state.events))
    (plain, plain_events), (ours, our_events) = seen
    assert [without_ids(r.method, r.path, r.query, r.headers, r.body) for r in ours] == [
        without_ids(r.method, r.path, r.query, r.headers, r.body) for r in plain
    ]
    assert without_ids(our_events) == without_ids(plain_events)
    assert memory.stats().turns == len(JOURNAL)


def without_ids(*values) -> str:
    """What was said, without the numbers that the provider counts its requests by."""
    text = repr(values)
    text = re.sub(r"(chatcmpl-|(?:resp|conv|msg|fc)_)\d+", r"\1N", text)
    return re.sub(r"('created(?:_at)?': |x-stainless-retry-count': ')[\d.]+", r"\1N", text)


@BOTH
@pytest.mark.parametrize("door", [name for name in DOORS if name not in KEPT_BY_PROVIDER])
def test_an_app_that_sends_what_is_new_is_completed(door, service, memory, provider):
    bare, run = service
    provider.default = answer
    run(converse(DOORS[door], memory.wrap(bare, user="ana", session="s"), whole=False))
    memory.flush()
    assert [meant(turn) for turn in memory.turns(user="ana", session="s")] == JOURNAL
    body = [r for r in provider.requests if r.method == "POST"][-1]
    said = [m.get("content") for m in body.messages or body.items]
    said = [text for text in said if text and text != SYSTEM["content"]]
    assert said == [text for role, text, *_ in JOURNAL[:-1] if body.messages or role != "tool"]


@BOTH
def test_one_conversation_through_all_doors_in_turn(service, memory, provider):
    bare, run = service
    provider.default = answer
    client = memory.wrap(bare, user="ana", session="s")

    async def walk():
        for n, (name, door) in enumerate(DOORS.items()):
            if name in KEPT_BY_PROVIDER:
                continue
            asking = {"role": "user", "content": f"{n}: look up 京都"}
            said = await door(client, [asking], State())
            result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": f"city {n}"}
            await door(client, [result], State())

    run(walk())
    memory.flush()
    turns = memory.turns(user="ana", session="s")
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "assistant"] * (len(turns) // 4)
    assert len(turns) == 4 * (len(DOORS) - len(KEPT_BY_PROVIDER))
    last = [r for r in provider.requests if r.method == "POST"][-1]
    assert b"0: look up" in last.body, "what was said through the first door"


@BOTH
@pytest.mark.parametrize("door", DOORS)
def test_memory_of_another_session_comes_through(door, service, memory, provider):
    bare, run = service
    memory.record(
        [{"role": "user", "content": "My locker at the pool is number 7719."}], user="ana", session="spring"
    )
    memory.flush()
    question = {"role": "user", "content": "Which locker at the pool is mine?"}
    client = memory.wrap(bare, user="ana", session="s")
    run(DOORS[door](client, [question], State()))
    body = next(r for r in provider.requests if b"7719" in r.body)
    (holder,) = [m for m in body.messages or body.items if "7719" in str(m)]
    assert holder["role"] == "user"
    assert holder["content"].startswith("<memory>")
    assert holder["content"].endswith(question["content"])
    assert "7719" not in str(body.json.get("instructions"))
    memory.flush()
    assert memory.turns(user="ana", session="s")[0].text == question["content"]
