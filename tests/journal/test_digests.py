"""What is kept of messages seen lately: by all they say, so that a changed message is another one."""

from __future__ import annotations

import copy

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convmem
from convmem.journal import digests as seen
from convmem.journal.digests import SeenMessages
from convmem.tokens.count import count_message
from convmem.wire.identity import meaning_digest

KEY = bytes(32)
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0]) | st.text(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)
MESSAGES = st.dictionaries(st.sampled_from(["content", "name", "tool_calls", "x"]), VALUES).map(
    lambda fields: {"role": "user", **fields}
)


def words(text: str) -> int:
    return len(text.split())


def letters(text: str) -> int:
    return len(text)


@given(st.lists(MESSAGES, max_size=12))
def test_what_is_kept_is_what_would_be_worked_out(messages):
    kept = SeenMessages(KEY)
    for message in [*messages, *copy.deepcopy(messages)]:
        found = kept.of(message)
        assert repr(found.message) == repr(message), "types and order of fields included"
        assert found.incoming.meaning == meaning_digest(KEY, message)
        for count in (words, letters, words):
            assert found.tokens(count) == count_message(message, count)


def test_the_same_words_are_the_same_message():
    kept = SeenMessages(KEY)
    message = {"role": "user", "content": "hello"}
    assert kept.of(message) is kept.of(dict(message))
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]}
    assert kept.of(called) is kept.of(copy.deepcopy(called))
    before = kept.of(message)
    kept.clear()
    assert kept.of(message) is not before


def test_what_it_holds_is_bounded(monkeypatch):
    monkeypatch.setattr(seen, "_CHARACTERS", 2_000)
    kept = SeenMessages(KEY)
    first = kept.of({"role": "user", "content": "first"})
    for n in range(40):
        kept.of({"role": "user", "content": f"another {n}"})
        assert len(kept._young) + len(kept._old) <= 20
    assert kept.of({"role": "user", "content": "first"}) is not first


def test_of_huge_messages_the_latest_few_are_held(monkeypatch):
    monkeypatch.setattr(seen, "_HUGE_CHARACTERS", 1_000_000)
    kept = SeenMessages(KEY)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    huge = [
        {"role": "user", "content": "x" * 400_000},
        {"role": "user", "content": [{"type": "text", "text": "什么花？"}, picture]},
    ]
    first = [kept.of(message) for message in huge]
    again = [kept.of(copy.deepcopy(message)) for message in huge]
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert [found.incoming.meaning for found in again] == [meaning_digest(KEY, message) for message in huge]
    assert kept.of({**huge[0], "name": "mara"}) is not first[0], "another message, and one too many"
    assert kept.of(huge[1]) is first[1]
    assert kept.of(huge[0]) is not first[0]
    assert sum(weight for _, weight in kept._huge.values()) <= 1_000_000
    beyond = {"role": "user", "content": "x" * 1_100_000}
    assert kept.of(beyond) is not kept.of(beyond)


def test_a_huge_message_is_told_from_one_with_other_types():
    kept = SeenMessages(KEY)
    text = {"type": "text", "text": "y" * 300_000}
    made = [
        {"role": "user", "content": [text], "x": value}
        for value in (1, True, 1.0, "1", None, [1], [], {}, {"a": "b"}, ["a", "b"], -0.0, 0.0)
    ]
    assert len({id(kept.of(message)) for message in made}) == len(made)


@pytest.mark.parametrize("change", ["text", "part"])
def test_an_app_may_change_its_messages_between_calls(memory, bare, provider, change):
    client = memory.wrap(bare, user="alice", session="s", policy="window")
    part = {"type": "text", "text": "I live in Porto."}
    history = [{"role": "user", "content": [part]}, {"role": "assistant", "content": "Noted."}]
    asked = {"role": "user", "content": "where do I live?"}
    client.chat.completions.create(model="m", messages=[*history, asked])
    if change == "text":
        history[1]["content"] = "Noted!"
    else:
        part["text"] = "I live in Braga."
    client.chat.completions.create(model="m", messages=[*history, asked])
    assert provider.requests[-1].messages == [*history, asked]
    turns = memory.turns(user="alice", session="s", branches=True)
    said = [turn.payload for turn in memory.turns(user="alice", session="s")]
    assert said[:3] == [*history, asked]
    assert len(turns) > 4, "the conversation as it was is still there"


class Rewriting(openai.OpenAI):
    """A client that changes what it sends in place, as some subclasses do."""

    def _prepare_options(self, options):
        for message in options.json_data["messages"]:
            message["content"] += " (sent)"
        return options


def test_what_a_client_or_a_hook_does_to_its_messages_does_not_come_back(provider, tmp_path):
    def vandal(event):
        for message in getattr(event, "messages", ()):
            message["content"] = "overwritten"

    with (
        Rewriting(base_url=provider.base_url, api_key="x", max_retries=0) as client,
        convmem.Memory(
            tmp_path / "chat.db", embedder="none", deadline_ms=60_000, policy="window", hooks=[vandal]
        ) as memory,
    ):
        wrapped = memory.wrap(client, user="alice", session="s")
        for text in ("one", "two", "three"):
            wrapped.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
        sent = [m["content"] for m in provider.requests[-1].messages]
        assert sent == [
            "one (sent)",
            "echo: one (sent) (sent)",
            "two (sent)",
            "echo: two (sent) (sent)",
            "three (sent)",
        ]
        assert memory.turns(user="alice", session="s")[0].text == "one"


def test_what_prepare_gives_may_be_changed(memory):
    asked = [{"role": "user", "content": "where do I live?"}]
    for _ in range(2):
        prepared = memory.prepare(asked, user="alice", session="s")
        assert prepared.messages == asked
        prepared.messages[0]["content"] = "something else"


def test_prefix_tokens_are_of_the_tokens_sent(memory, bare):
    client = memory.wrap(bare, user="alice", session="s", policy="window")
    history = [{"role": "user", "content": "I live in Porto."}]
    shared = []
    for _ in range(3):
        reply = client.chat.completions.create(model="m", messages=history)
        receipt = memory.receipt_for(reply)
        shared.append((receipt.prefix_tokens, receipt.tokens.total))
        history += [
            {"role": "assistant", "content": reply.choices[0].message.content},
            {"role": "user", "content": "and where do I work, do you know?"},
        ]
    (none, first), (again, second), (more, third) = shared
    assert none is None
    assert again == first
    assert first < second == more < third
    history[0] = {"role": "user", "content": "I live in Porto, I said."}
    client.chat.completions.create(model="m", messages=history)
    assert 0 < memory.last_receipt().prefix_tokens < first
