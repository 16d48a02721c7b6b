"""Whatever happens in a session, every request that memory makes is legal for the provider it goes to."""

from __future__ import annotations

import json

import openai
import pytest
from tests.legality.app import App, ask
from tests.legality.matrix import CASES, PROVIDERS, TABLE

import convmem
from convmem.testing import LocalProvider

# A stream, and an app with its whole history, differ from the rest in these.
_STREAMED = frozenset({"tools, thinking", "cut reply, tools", "spoken reply", "switch"})
_WHOLE = frozenset(
    {"thinking", "tools, thinking", "cut reply, tools", "broken arguments", "pictures", "switch"}
)


def cells():
    """The cells of the matrix: provider, way of asking, case, habit of the app."""
    for provider in PROVIDERS:
        for door in provider.doors:
            for case, details in CASES.items():
                # What is spoken is not in the Responses API.
                lacking = (door == "stream" and case not in _STREAMED) or (
                    door == "responses" and case == "spoken reply"
                )
                if lacking or not details.fits(provider):
                    continue
                for habit in ("newest", "whole") if door == "chat" and case in _WHOLE else ("newest",):
                    name = f"{provider}-{door}-{case}-{habit}"
                    # What memory puts back is the same by each door; what differs is tried in the slow set.
                    marks = () if (door, habit) == ("chat", "newest") else pytest.mark.slow
                    yield pytest.param((provider, door, case, habit), id=name, marks=marks)


@pytest.fixture(scope="module")
def running():
    """A local provider for each row, with what it was asked."""
    made = {str(each): LocalProvider(dialect=each.dialect).start() for each in PROVIDERS}
    yield made
    for provider in made.values():
        provider.close()


@pytest.fixture(scope="module")
def pool():
    """Making a client costs more than a call."""
    with openai.OpenAI(base_url="http://127.0.0.1:9", api_key="x", max_retries=0) as shared:
        yield shared


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """One memory for all cells, each a user of its own: opening one costs more than a session."""
    table = tmp_path_factory.mktemp("legality") / "dialects.toml"
    table.write_text(TABLE)
    with convmem.Memory(":memory:", embedder="none", deadline_ms=5_000, dialects=table) as opened:
        yield opened


@pytest.mark.parametrize("cell", [*cells()])
def test_every_request_is_legal_and_the_session_whole(running, pool, memory, request, cell):
    row, door, case, habit = cell
    details = CASES[case]
    # The other provider of a switch: the one whose rules differ most, and another for that one.
    guest = PROVIDERS[1] if row.dialect != "deepseek" else PROVIDERS[0]
    hosts = {False: guest, True: row} if "switch" in case else {False: row, True: row}
    app, user = App(habit), request.node.callspec.id
    clients = {
        str(each): memory.wrap(
            pool.with_options(base_url=running[str(each)].base_url), user=user, session="s"
        )
        for each in hosts.values()
    }
    for number, step in enumerate(details.steps):
        asked = hosts[step.guest]
        provider = running[str(asked)]
        app.speak(step.says, picture=step.picture)
        for reply in (step.reply, type(step.reply)("Well then.")):
            provider.default = lambda _, reply=reply: reply
            seen = len(provider.requests)
            try:
                said = ask(
                    clients[str(asked)],
                    door,
                    app,
                    model=asked.model,
                    dialect=asked.dialect,
                    tools=details.tools,
                    as_json=details.json,
                )
            except openai.APIStatusError as error:
                sent = _sent(provider, seen)
                pytest.fail(f"call {number + 1} ({step.says!r}) at {asked}: {error}\n{sent}", pytrace=False)
            if app.hear(said) or habit == "newest":
                break
    memory.flush()
    kept = "\n".join(turn.text for turn in memory.turns(user=user, session="s"))
    for turn in app.said:
        if turn.role != "assistant" or turn.text:
            assert turn.text in kept, f"the session has lost {turn.text!r}"
    assert details.steps[0].says in _sent(provider, seen), "the last request does not hold the first message"


def _sent(provider, seen) -> str:
    """The messages of the last request, one a line."""
    body = provider.requests[seen:][-1].fields if provider.requests[seen:] else {}
    lines = body.get("messages") or body.get("input") or ()
    return "\n".join(json.dumps(line, ensure_ascii=False)[:300] for line in lines)
