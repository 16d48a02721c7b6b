"""The demo's data: well formed, in order, and as hard as each question's kind says."""

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest

from convmem.demo.data import plain_first, questions

HAN = re.compile(r"[\u3400-\u9fff]+")
LATIN = re.compile(r"[0-9a-zà-öø-ÿ]+")
CODE = re.compile(r"(?=[A-Za-z-]*\d)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)+|\d{9,}|\b(?=[A-Z]*\d)[A-Z0-9]{6,}\b")

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and are as at be by did do does for from had has have he her his how i in is it its me my
        not of on or our out she so that the their they this to was we were what when which why will with you
        """,
    )
)
STOP_CHARS = frozenset("的了吗呢吧是在有和也都就还我你他她它这那哪谁什么怎为把不没去来上下里多少几时候")


def read(name: str) -> list[dict[str, Any]]:
    text = files("convmem").joinpath("demo", name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


TURNS = read("conversation.jsonl")
QUESTIONS = read("questions.jsonl")
CHITCHAT = read("chitchat.jsonl")
UNSHARED = [q for q in QUESTIONS if q["kind"] != "shared"]
SHARED = [q for q in QUESTIONS if q["kind"] == "shared"]


def name_of(question: dict[str, Any]) -> str:
    return str(question["id"])


def stem(word: str) -> str:
    """Cut common English endings, rather too many than too few: a false match makes the rule stricter."""
    for ending in ("ings", "ing", "ies", "ied", "ers", "er", "est", "ed", "es", "ly", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def content_words(text: str) -> set[str]:
    """English stems, and Chinese pairs of characters that are not both function words."""
    words = {stem(w) for w in LATIN.findall(text.lower()) if w not in STOP_WORDS}
    for run in HAN.findall(text):
        words |= {a + b for a, b in pairwise(run) if not {a, b} <= STOP_CHARS}
    return words


def content_characters(text: str) -> set[str]:
    return {c for run in HAN.findall(text) for c in run} - STOP_CHARS


def is_chinese(text: str) -> bool:
    """Whether a reader would call it Chinese: a Han character weighs about half an English word."""
    return sum(map(len, HAN.findall(text))) > 2 * len(LATIN.findall(text.lower()))


def weight(text: str) -> float:
    """Length in English words, a Han character counted as .6 of one."""
    return len(LATIN.findall(text.lower())) + 0.6 * sum(map(len, HAN.findall(text)))


def test_turns_have_exactly_the_four_fields() -> None:
    for turn in TURNS:
        assert list(turn) == ["session", "at", "role", "content"]
        assert all(isinstance(v, str) and v.strip() == v and v for v in turn.values())
        assert turn["role"] in {"user", "assistant"}


def test_there_are_some_three_hundred_turns_in_about_twenty_sessions() -> None:
    assert 280 <= len(TURNS) <= 340
    sizes = Counter(t["session"] for t in TURNS)
    assert 18 <= len(sizes) <= 22
    assert min(sizes.values()) >= 8


def test_times_are_aware_and_strictly_increasing_within_the_year() -> None:
    times = [datetime.fromisoformat(t["at"]) for t in TURNS]
    assert all(t.utcoffset() is not None for t in times)
    assert all(a < b for a, b in pairwise(times))
    assert datetime(2026, 2, 1, tzinfo=UTC) <= times[0]
    assert times[-1] < datetime(2026, 12, 1, tzinfo=UTC)


def test_in_each_session_user_and_assistant_alternate_and_the_reply_comes_within_a_minute() -> None:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn in TURNS:
        sessions[turn["session"]].append(turn)
    for turns in sessions.values():
        assert [t["role"] for t in turns] == ["user", "assistant"] * (len(turns) // 2)
        for asked, replied in zip(turns[::2], turns[1::2], strict=True):
            wait = datetime.fromisoformat(replied["at"]) - datetime.fromisoformat(asked["at"])
            assert wait < timedelta(minutes=1)


def test_no_two_substantial_turns_are_the_same() -> None:
    texts = Counter(t["content"] for t in TURNS if len(t["content"]) > 12)
    assert not [text for text, n in texts.items() if n > 1]


def test_the_conversation_is_bilingual_with_chinese_english_and_mixed_sessions() -> None:
    languages: dict[str, set[bool]] = defaultdict(set)
    for turn in TURNS:
        languages[turn["session"]].add(is_chinese(turn["content"]))
    kinds = Counter(frozenset(found) for found in languages.values())
    assert kinds[frozenset({True})] >= 5
    assert kinds[frozenset({False})] >= 5
    assert kinds[frozenset({True, False})] >= 3
    chinese = sum(is_chinese(t["content"]) for t in TURNS)
    assert 0.35 < chinese / len(TURNS) < 0.65


def test_a_dozen_replies_are_long_enough_for_trimming_to_matter() -> None:
    replies = [weight(t["content"]) for t in TURNS if t["role"] == "assistant"]
    assert sum(w >= 300 for w in replies) >= 12
    assert 30 <= sorted(replies)[len(replies) // 2] <= 120


def test_questions_have_exactly_their_fields() -> None:
    for i, question in enumerate(QUESTIONS, start=1):
        assert list(question) == ["id", "lang", "kind", "question", "evidence", "answer"]
        assert question["id"] == f"q{i:02d}"
        assert all(isinstance(question[k], str) and question[k] for k in ("question", "answer"))
    assert len({q["question"] for q in QUESTIONS}) == len(QUESTIONS)


def test_questions_come_in_the_promised_numbers() -> None:
    assert len(QUESTIONS) == 40
    assert Counter(q["lang"] for q in QUESTIONS) == {"en": 20, "zh": 20}
    assert Counter((q["kind"], q["lang"]) for q in QUESTIONS) == {
        ("shared", "en"): 10,
        ("shared", "zh"): 10,
        ("paraphrase", "en"): 5,
        ("paraphrase", "zh"): 5,
        ("cross", "en"): 5,
        ("cross", "zh"): 5,
    }


@pytest.mark.parametrize("question", QUESTIONS, ids=name_of)
def test_a_question_is_in_its_language_and_points_at_turns(question: dict[str, Any]) -> None:
    assert is_chinese(question["question"]) == (question["lang"] == "zh")
    evidence = question["evidence"]
    assert evidence
    assert evidence == sorted(set(evidence))
    assert all(isinstance(i, int) and 0 <= i < len(TURNS) for i in evidence)


@pytest.mark.parametrize("question", UNSHARED, ids=name_of)
def test_an_unshared_question_has_no_content_word_of_its_evidence(question: dict[str, Any]) -> None:
    for i in question["evidence"]:
        turn = TURNS[i]["content"]
        assert not content_words(question["question"]) & content_words(turn)
        assert not content_characters(question["question"]) & content_characters(turn)


@pytest.mark.parametrize("question", UNSHARED, ids=name_of)
def test_cross_means_another_language_and_paraphrase_the_same(question: dict[str, Any]) -> None:
    asked_in_chinese = question["lang"] == "zh"
    for i in question["evidence"]:
        assert (is_chinese(TURNS[i]["content"]) != asked_in_chinese) == (question["kind"] == "cross")


@pytest.mark.parametrize("question", SHARED, ids=name_of)
def test_a_shared_question_has_content_words_of_some_evidence(question: dict[str, Any]) -> None:
    words = content_words(question["question"])
    assert any(words & content_words(TURNS[i]["content"]) for i in question["evidence"])


def test_a_code_that_answers_a_question_stands_in_all_its_evidence_and_nowhere_else() -> None:
    seen = 0
    for question in QUESTIONS:
        for code in CODE.findall(question["answer"]):
            seen += 1
            assert [i for i, t in enumerate(TURNS) if code in t["content"]] == question["evidence"], code
    assert seen >= 9


def test_some_answers_were_given_by_the_assistant_and_some_stand_in_long_turns() -> None:
    assert sum(all(TURNS[i]["role"] == "assistant" for i in q["evidence"]) for q in QUESTIONS) >= 2
    assert any(weight(TURNS[i]["content"]) >= 300 for q in QUESTIONS for i in q["evidence"])


def test_chitchat_is_forty_short_messages_in_both_languages() -> None:
    assert len(CHITCHAT) == 40
    assert all(list(c) == ["text"] and 0 < len(c["text"]) <= 24 for c in CHITCHAT)
    assert len({c["text"] for c in CHITCHAT}) == 40
    chinese = sum(bool(HAN.search(c["text"])) for c in CHITCHAT)
    assert 15 <= chinese <= 25


def test_the_plainest_question_comes_first():
    drawn = questions()[::-1]
    for lang in ("en", "zh"):
        first, *others = plain_first(drawn, lang)
        assert (first.lang, first.kind != "cross") == (lang, True)
        assert others == [question for question in drawn if question is not first]
    assert plain_first(drawn, "fr") == list(drawn)
