"""The alignment rules, one example each; letters are turns, capital letters the assistant's."""

from __future__ import annotations

import pytest

from convmem.context.rounds import legal, rounds
from convmem.journal.align import Incoming, align
from convmem.journal.tree import Tree
from convmem.protocols import Node
from convmem.wire.identity import ROOT, chain

KEY = b"k" * 32


def meaning(letter: str) -> bytes:
    return letter.encode().ljust(16, b"-")


def role(letter: str) -> str:
    return "assistant" if letter.isupper() else "user"


def tree(*branches: str, unanswered: str = "", forgotten: str = "") -> Tree:
    """Branches said one after the other; `unanswered` is a branch whose last turn nobody answered."""
    nodes: dict[bytes, Node] = {}
    for branch in (*branches, unanswered):
        identities = chain(KEY, ROOT, map(meaning, branch))
        for i, (letter, identity) in enumerate(zip(branch, identities, strict=True)):
            is_open = branch == unanswered and i == len(branch) - 1
            parent = identities[i - 1] if i else ROOT
            if branch[: i + 1] == forgotten:
                nodes[identity] = Node(0, identity, parent, b"", "", None)
            elif identity not in nodes:
                state = "failed" if is_open else "answered"
                nodes[identity] = Node(len(nodes) + 1, identity, parent, meaning(letter), role(letter), state)
    return Tree(nodes.values())


def placed(known: Tree, sent: str, *, recording: bool = False) -> tuple[str, int, bytes]:
    place = align(KEY, known, [Incoming(meaning(c), role(c)) for c in sent], recording=recording)
    return place.kind, place.known, place.end


def test_what_a_damaged_file_lost_is_known_by_what_followed():
    whole = tree("aAbBcC")
    for lost in ("a", "aA", "b", "abC"):
        gone = {meaning(letter) for letter in lost}
        holed = Tree(node for node in whole.latest_first() if node.meaning not in gone)
        assert placed(holed, "aAbBcCd", recording=True)[2] == end_of("aAbBcCd")


def end_of(path: str) -> bytes:
    return chain(KEY, ROOT, map(meaning, path))[-1]


@pytest.mark.parametrize(
    ("branches", "sent", "kind", "known", "path"),
    [
        # An app that sends everything.
        ([], "a", "start", 0, "a"),
        ([], "aAb", "start", 0, "aAb"),
        (["aA"], "aAb", "continue", 2, "aAb"),
        (["aAbB"], "aAc", "branch", 2, "aAc"),
        (["aAbB"], "aAb", "regenerate", 3, "aAb"),
        (["aAbB"], "xXy", "start", 0, "xXy"),
        # One that sends the newest message only.
        (["aA"], "b", "continue", 0, "aAb"),
        (["aA"], "a", "continue", 0, "aAa"),
        (["aA", "bB"], "c", "continue", 0, "bBc"),
        # One that sends a truncated tail.
        (["aAbBcC"], "bBcCd", "continue", 4, "aAbBcCd"),
        (["aAbBcC"], "Cd", "continue", 1, "aAbBcCd"),
        (["aAbBcC"], "bBc", "regenerate", 3, "aAbBc"),
        (["aAbBcCdD"], "bBx", "branch", 2, "aAbBx"),
        # Short messages that stand in many places.
        (["oSoSoS"], "oSo", "regenerate", 3, "oSo"),
        (["aAoSoSoS"], "oSo", "continue", 2, "aAoSoSoSo"),
        (["aAoSbB"], "oSo", "branch", 2, "aAoSo"),
        (["aAoSbBoS"], "oSc", "continue", 2, "aAoSbBoSc"),
    ],
)
def test_places(branches, sent, kind, known, path):
    assert placed(tree(*branches), sent) == (kind, known, end_of(path))


def test_a_message_nobody_answered_is_said_again_and_not_twice():
    known = tree("aA", unanswered="aAb")
    assert placed(known, "b") == ("repeat", 1, end_of("aAb"))
    assert placed(known, "aAb") == ("repeat", 3, end_of("aAb"))
    assert placed(known, "Ab") == ("repeat", 2, end_of("aAb"))
    assert placed(known, "c") == ("continue", 0, end_of("aAc"))


def test_a_late_answer_elsewhere_makes_the_same_words_new():
    assert placed(tree("aA", "aAxX", unanswered=""), "b") == ("continue", 0, end_of("aAxXb"))


def test_old_history_with_a_forgotten_turn_is_recognized_around_the_gap():
    known = tree("aAbBcC", forgotten="aAb")
    assert placed(known, "aAbBcCd") == ("continue", 6, end_of("aAbBcCd"))
    assert placed(known, "bBcCd") == ("continue", 4, end_of("aAbBcCd"))
    assert placed(known, "d") == ("continue", 0, end_of("aAbBcCd"))


def test_words_whose_answer_was_forgotten_were_answered():
    known = tree("aAbB", forgotten="aAbB")
    assert placed(known, "b") == ("continue", 0, end_of("aAbb"))


def test_the_past_is_recorded_once_and_continued():
    known = tree("aAbB")
    assert placed(known, "aAbB", recording=True) == ("repeat", 4, end_of("aAbB"))
    assert placed(known, "bB", recording=True) == ("repeat", 2, end_of("aAbB"))
    assert placed(known, "cC", recording=True) == ("continue", 0, end_of("aAbBcC"))
    assert placed(known, "aAbBcC", recording=True) == ("continue", 4, end_of("aAbBcC"))


def test_two_people_chatting_have_no_assistant_turns():
    known = tree("abc")
    assert placed(known, "abc", recording=True) == ("repeat", 3, end_of("abc"))
    assert placed(known, "abcd", recording=True) == ("continue", 3, end_of("abcd"))
    assert placed(known, "c", recording=True) == ("repeat", 1, end_of("abc"))
    assert placed(known, "x", recording=True) == ("continue", 0, end_of("abcx"))


def test_a_round_keeps_calls_and_results_together():
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]}
    results = [{"role": "tool", "tool_call_id": i, "content": "x"} for i in ("2", "1")]
    asked = {"role": "user", "content": "?"}
    said = {"role": "assistant", "content": "!"}
    assert rounds([said, asked, calls, *results, said, asked, said]) == [
        [said],
        [asked, calls, *results, said],
        [asked, said],
    ]
    assert legal([asked, calls, *results, said])
    assert not legal([asked, calls, results[0], said])
    assert not legal([asked, calls])
    assert not legal([asked, results[0]])
