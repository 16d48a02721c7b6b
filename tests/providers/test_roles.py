"""Roles of other programs: what they mean, and what becomes of those that mean nothing."""

from __future__ import annotations

import json

import openai
import pytest

import convmem
from convmem.importers import by_session, read
from convmem.providers.roles import ROLES, known_role
from convmem.testing import LocalProvider


@pytest.mark.parametrize(
    ("role", "known"),
    [
        *((role, role) for role in ROLES),
        ("human", "user"),
        ("Human", "user"),
        ("USER", "user"),
        (" user ", "user"),
        ("prompter", "user"),
        ("用户", "user"),
        ("ai", "assistant"),
        ("AI", "assistant"),
        ("model", "assistant"),
        ("bot", "assistant"),
        ("CHATBOT", "assistant"),
        ("gpt", "assistant"),
        ("Assistant", "assistant"),
        ("助手", "assistant"),
        ("observation", "tool"),
        ("narrator", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_what_a_role_means(role, known):
    assert known_role(role) == known


SAID = [
    ("Human", "The well is behind the mill."),
    ("model", "Noted."),
    ("User", "水井在哪里？"),
    ("bot", "磨坊后面。"),
]


def test_roles_of_other_programs_are_recorded_as_those_of_chat(tmp_path):
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        memory.record([{"role": role, "content": text} for role, text in SAID], user="ana", session="s")
        turns = memory.turns(user="ana", session="s")
        assert [turn.role for turn in turns] == ["user", "assistant"] * 2
        prepared = memory.prepare([{"role": "human", "content": "Thanks!"}], user="ana", session="s")
        assert [message["role"] for message in prepared.messages] == ["user", "assistant"] * 2 + ["user"]
        memory.record([{"role": role, "content": text} for role, text in SAID], user="ana", session="s")
        assert len(memory.turns(user="ana", session="s")) == len(SAID), "the same list again is a repeat"


@pytest.mark.parametrize("door", ["record", "prepare"])
def test_a_role_that_means_nothing_is_refused_with_its_place(door, tmp_path):
    messages = [{"role": "user", "content": "a"}, {"role": "narrator", "content": "It rained."}]
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        told = r"messages\[1\] has the role 'narrator', which no chat API has; give one of user, assistant"
        with pytest.raises(convmem.InputError, match=told):
            getattr(memory, door)(messages, user="ana", session="s")
        assert memory.turns(user="ana", session="s") == []


def test_a_log_with_other_roles_is_imported_and_goes_back(tmp_path):
    log = tmp_path / "log.jsonl"
    rows = ({"session": "z", "role": role, "content": text} for role, text in SAID)
    log.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ((messages, _),) = by_session(read(log)).values()
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none") as memory,
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        memory.record(messages, user="ana", session="z")
        client = memory.wrap(bare, user="ana", session="z")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Thanks!"}])
        assert len(provider.requests[-1].messages) == len(SAID) + 1


def test_an_import_names_the_line_of_an_unknown_role(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"role": "user", "content": "a"}\n{"role": "narrator", "content": "b"}\n')
    with pytest.raises(convmem.InputError, match="line 2 has the role 'narrator'"):
        read(log)


def test_what_was_recorded_with_another_role_before_goes_back_as_chat_has_it(tmp_path):
    """A wrapped call journals what the caller sent; an export keeps it, and its import too."""
    said = {"role": "ai", "content": "From before."}
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=5_000) as memory,
        LocalProvider(strict=False) as lenient,
        LocalProvider() as strict,
        openai.OpenAI(base_url=lenient.base_url, api_key="x", max_retries=0) as one,
        openai.OpenAI(base_url=strict.base_url, api_key="x", max_retries=0) as other,
    ):
        first = [{"role": "human", "content": "a"}, said, {"role": "user", "content": "b"}]
        memory.wrap(one, user="ana", session="s").chat.completions.create(model="m", messages=first)
        assert lenient.requests[0].messages == first, "the caller's own is not changed"
        client = memory.wrap(other, user="ana", session="s")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "c"}])
        roles = [message["role"] for message in strict.requests[0].messages]
        assert roles == ["user", "assistant", "user", "assistant", "user"]
        exported = list(memory.export())
    with convmem.Memory(tmp_path / "b.db", embedder="none") as copy:
        copy.import_(exported)
        assert list(copy.export()) == exported
