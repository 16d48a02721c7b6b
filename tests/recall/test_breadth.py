"""Questions that ask for much: told from narrow ones in two languages, and answered from everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.recall.memories import Memory, embed, two_friends

from convmem.recall import Query, Settings, pack, search
from convmem.recall.breadth import breadth

LINES = (Path(__file__).parent / "data" / "questions.tsv").read_text(encoding="utf-8").splitlines()
QUESTIONS = [line.split("\t") for line in LINES]
"""A hundred, half of them Chinese, written before the patterns were."""

SUBJECTS = ["hull", "mast", "engine", "cabin", "rudder", "galley", "anchor", "sails"]


def boat() -> Memory:
    memory = Memory()
    for number, subject in enumerate(SUBJECTS):
        session = f"s{number}"
        memory.say(f"Today I turn to the {subject} of the old boat.", session=session, day=7 * number)
        memory.say(
            f"Begin with the {subject}: clean it, then sand it. " * 20,
            role="assistant",
            session=session,
            day=7 * number,
        )
        for step in range(4):
            memory.say(
                f"Thanks, what did I restore over time? Step {step} of the {subject} of the boat.",
                session=session,
                day=7 * number,
            )
            memory.say(
                f"Well done with the boat. Now varnish the {subject}. " * 16,
                role="assistant",
                session=session,
                day=7 * number,
            )
    return memory


BOAT = boat()


def packed(question: str, budget: int, settings: Settings | None = None):
    ranking = search(BOAT.partition(), Query(question, embed(question)), settings or Settings())
    return pack(ranking, BOAT.read, budget, lambda text: len(text) // 4 + 1)


@pytest.mark.parametrize("kind", ["summary", "order", "count", "narrow"])
@pytest.mark.parametrize("wide", [True, False])
def test_broad_questions_are_told_from_narrow_ones(kind, wide):
    asked = [text for said, text in QUESTIONS if said == kind and wide == (max(text) > "\u3000")]
    assert len(asked) >= 7
    wrong = [text for text in asked if (breadth(text) or "narrow") != kind]
    assert len(wrong) <= len(asked) * 0.05, wrong


@pytest.mark.parametrize(
    "question",
    ["Summarize what I did for the boat over time", "In what order did I restore the parts of the boat?"],
)
def test_broad_questions_get_what_every_session_was_about(question):
    def openings(settings: Settings | None = None) -> int:
        return sum(e.text.startswith("Today I turn") for e in packed(question, 450, settings).excerpts)

    assert openings() >= 6
    assert openings(Settings(round=0)) <= 1


def test_an_order_is_one_of_what_the_user_brought_up():
    excerpts = packed("In what order did I restore the parts of the boat?", 600).excerpts
    openings = [e.text.split()[5] for e in excerpts if e.text.startswith("Today I turn")]
    assert len(openings) >= 6
    assert openings == [subject for subject in SUBJECTS if subject in openings]
    assert {excerpt.label for excerpt in excerpts} == {"user"}


def test_larger_budgets_show_more_of_each_turn():
    question = "Summarize what I did for the boat over time"
    few, many = packed(question, 500).excerpts, packed(question, 4_000).excerpts
    assert len(many) > len(few)
    longest = [max(len(e.text) for e in excerpts if e.label == "assistant") for excerpts in (few, many)]
    assert longest[1] > 1.5 * longest[0]


def test_people_are_not_asked_broadly():
    friends = two_friends().partition()
    question = "In what order did we bring up the van and the cello?"
    settings = (Settings(), Settings(round=0))
    one, other = (search(friends, Query(question, embed(question)), each) for each in settings)
    assert one == other
    assert {hit.most for hit in one.hits} == {0}
