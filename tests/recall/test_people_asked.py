"""A question that names somebody is embedded without the name: who said what is known exactly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import convmem
from convmem.recall.cohort import SENTENCES
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUESTION = "What did Odile name the boat?"
EVERYDAY = {text for language in SENTENCES for text in language}  # embedded once, to judge questions by


class Listening(FakeEmbedder):
    def __init__(self):
        super().__init__()
        self.asked: list[str] = []

    def embed(self, texts, kind):
        if kind == "query":
            self.asked += texts
        return super().embed(texts, kind)


def spoken(*, names: bool):
    lines = ["I named the boat Quillfeather.", "That is a fine name.", "It leaks a little.", "Then caulk it."]
    for i, line in enumerate(lines):
        yield {"role": "user", "content": line, **({"name": ("Odile", "Tamsin")[i % 2]} if names else {})}


@pytest.mark.parametrize(("names", "asked"), [(True, {"What did name the boat?"}), (False, {QUESTION})])
@pytest.mark.parametrize("how", ["recall", "prepare"])
def test_only_where_people_are_named_the_name_is_left_out(names, asked, how):
    embedder = Listening()
    with convmem.Memory(InMemoryStore(), embedder=embedder, clock=lambda: NOW, tz=UTC) as memory:
        memory.record(spoken(names=names), user="u", session="past", at=NOW)
        assert memory.reindex(timeout=30)
        if how == "recall":
            found = [hit.turn.text for hit in memory.recall(QUESTION, user="u")]
        else:
            prepared = memory.prepare([{"role": "user", "content": QUESTION}], user="u", session="now")
            found = [quoted.text for quoted in prepared.receipt.recalled]
    assert "I named the boat Quillfeather." in found
    assert set(embedder.asked) - EVERYDAY == asked


@pytest.mark.parametrize("how", ["record", "import_"])
def test_a_call_after_an_import_knows_its_people(how, bare):
    embedder = Listening()
    with convmem.Memory(InMemoryStore(), embedder=embedder, deadline_ms=60_000, tz=UTC) as memory:
        assert memory.recall("Is anybody here?", user="u") == []  # what is held of the user now knows nobody
        if how == "record":
            memory.record(spoken(names=True), user="u", session="past", at=NOW)
        else:
            with convmem.Memory(InMemoryStore(), embedder="none") as other:
                other.record(spoken(names=True), user="u", session="past", at=NOW)
                memory.import_(list(other.export()))
        assert memory.reindex(timeout=60)
        embedder.asked.clear()
        client = memory.wrap(bare, user="u", session="now")
        for _ in range(2):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
            assert memory.last_receipt().recalled
    assert set(embedder.asked) - EVERYDAY - {"Good morning."} == {"What did name the boat?"}
