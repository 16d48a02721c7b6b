"""What answers is quoted, whatever share of the memory is about it; to strangers nothing is."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.recall.memories import DAY, START, Memory, embed

import convmem
from convmem.recall import Partition, Query, search
from convmem.recall.cohort import SENTENCES, Cohort
from convmem.stores.memory import InMemoryStore
from convmem.testing.fakes import FakeEmbedder

EVERYDAY = [text for language in SENTENCES for text in language]

ENGLISH_OTHER = [
    "The cellar smells of paint.", "My aunt breeds rabbits in Lund.", "The tram was full of skiers.",
    "I mended the blue curtain.", "Our dentist retired last spring.", "The choir sings on Thursdays.",
    "I burnt the pancakes again.", "A heron stood on the roof.", "The lawyer wants a stamp.",
    "My boots leak.",
]  # fmt: skip
CHINESE_OTHER = [
    "地窖里有股油漆味。", "姑妈在乡下养兔子。", "电车上全是滑雪的人。",
    "我补好了蓝窗帘。", "牙医去年春天退休了。",
    "合唱团每周四排练。", "我又把煎饼烤糊了。", "屋顶上站着一只苍鹭。", "律师要盖个章。", "我的靴子漏水。",
]  # fmt: skip
ALIKE = {
    "english": (
        [f"The ferry to Elba costs {n} euros on day {n}." for n in range(31, 71)],
        "What does the ferry to Elba cost?",
    ),
    "chinese": (
        [f"去涠洲岛的轮渡第{n}天要{n}块钱。" for n in range(31, 71)],
        "去涠洲岛的轮渡要多少钱？",
    ),
}  # fmt: skip
UNRELATED = [
    "The comet passes every seventy years.", "Write a limerick about a lazy wizard.", "Whales sleep upright.",
    "Turn this into plural: goose, mouse, tooth.", "The parliament elected a speaker.", "My niece juggles.",
    "彗星每七十年经过一次。", "写一首打油诗，讲一个懒巫师。", "鲸鱼竖着睡觉。",
    "把这些词排成字母顺序。", "议会选出了议长。", "侄女会抛球杂耍。",
]  # fmt: skip


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    vectors = embed(*EVERYDAY, dim=256)
    made = Cohort.of(vectors, vectors)
    assert made is not None
    return made


def about(language: str, share: float, rounds: int = 40) -> Memory:
    """A user and an assistant; of the rounds, this share is about the ferry."""
    alike, _ = ALIKE[language]
    other = ENGLISH_OTHER if language == "english" else CHINESE_OTHER
    memory = Memory()
    for n in range(rounds):
        on = int((n + 1) * share) > int(n * share)
        text = alike[n] if on else f"{other[n % 10]} {other[(n + 1 + n // 10) % 10]}"
        memory.say(text, session=f"s{n // 5}", day=n)
        memory.say(
            "Noted." if language == "english" else "记下了。", role="assistant", session=f"s{n // 5}", day=n
        )
    return memory


def quoted(memory: Memory, text: str, cohort: Cohort | None, *, vectors: bool) -> list[str]:
    """The texts worth quoting."""
    # Of many numbers, or two texts without a common word lie near each other by accident.
    said = embed(*memory.texts.values(), dim=256) if vectors else None
    partition = Partition.from_entries(memory.entries, said)
    query = Query(text, embed(text, dim=256) if vectors else None, cohort=cohort if vectors else None)
    ranking = search(partition, query)
    return [memory.texts[hit.id] for hit in ranking.hits if hit.score >= ranking.floor]


@pytest.mark.parametrize("language", ["english", "chinese"])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("rounds", [8, 40])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_question_gets_its_answer_whatever_share_of_the_memory_is_about_it(
    language, share, rounds, vectors, cohort
):
    memory = about(language, share, rounds)
    alike, question = ALIKE[language]
    if not any(text in alike for text in memory.texts.values()):
        memory.say(alike[0])
    assert set(quoted(memory, question, cohort, vectors=vectors)) & set(alike)


@pytest.mark.parametrize("text", UNRELATED)
@pytest.mark.parametrize("rounds", [8, 40])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_statement_that_has_nothing_to_do_with_the_past_gets_nothing(text, rounds, vectors, cohort):
    for language in ALIKE:
        for share in (0.2, 1.0):
            assert quoted(about(language, share, rounds), text, cohort, vectors=vectors) == []


@pytest.mark.parametrize("vectors", [True, False])
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("english", "The ferry to Elba costs more every day."),
        ("chinese", "去涠洲岛的轮渡越来越贵，要很多钱。"),
    ],
)
def test_a_statement_about_the_past_gets_it_also_where_all_of_it_is_about_that(
    language, text, vectors, cohort
):
    alike, _ = ALIKE[language]
    assert set(quoted(about(language, 1.0), text, cohort, vectors=vectors)) & set(alike)


@pytest.mark.parametrize(
    "text",
    ["What did I do on 7 May 2024?", "And on the 7th of May 2024?", "2024年5月7日我做了什么？", "5月7号呢？"],
)
@pytest.mark.parametrize("rounds", [8, 40])
def test_a_day_that_is_named_is_evidence_without_any_shared_word(text, rounds):
    memory = about("english", 0.0, rounds)
    now = datetime.fromtimestamp(START + 60 * DAY, UTC)
    ranking = search(memory.partition(vectors=False), Query(text, now=now))
    found = {memory.texts[hit.id] for hit in ranking.hits if hit.score >= ranking.floor}
    assert found == {"I burnt the pancakes again. A heron stood on the roof.", "Noted."}


def test_today_is_no_evidence_for_a_question_about_something_else():
    memory = about("english", 0.0)
    now = datetime.fromtimestamp(START + 39 * DAY + 3600, UTC)
    assert not search(memory.partition(vectors=False), Query("Which horoscope is there today?", now=now)).hits


@pytest.mark.parametrize(
    "text",
    [
        "Please tell me again what the ferry to Elba costs",
        "good morning! what does the ferry to Elba cost",
        "thanks, that helps. and the ferry to Elba, what does it cost",
        "你好，再告诉我一遍去涠洲岛的轮渡多少钱",
    ],
)
@pytest.mark.parametrize("vectors", [True, False])
def test_requests_and_questions_without_their_mark_are_answered(text, vectors, cohort):
    language = "english" if text.isascii() else "chinese"
    assert set(quoted(about(language, 1.0), text, cohort, vectors=vectors)) & set(ALIKE[language][0])


def test_chance_is_read_off_the_sentences_whatever_the_embedder():
    """Vectors in a narrow cone, as those of e5, and vectors all around give the same thresholds."""
    around = embed(*EVERYDAY, dim=96) - 0.8
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    cone = np.hstack((around, np.full((len(around), 1), 3.0)))
    one, other = Cohort.of(around, around), Cohort.of(cone, cone)
    assert one is not None
    assert other is not None
    assert np.allclose(one.chance, other.chance, atol=1e-3)


def test_vectors_that_tell_nothing_apart_make_no_cohort():
    same = np.ones((len(EVERYDAY), 8), dtype=np.float32)
    assert Cohort.of(same, same) is None
    assert Cohort.of(np.full_like(same, np.nan), same) is None


def test_a_cohort_of_another_dimension_is_not_used():
    memory = about("english", 1.0)
    strange = embed(*EVERYDAY, dim=12)
    text = "The ferry to Elba costs more every day."
    assert quoted(memory, text, Cohort.of(strange, strange), vectors=True)


class Watched(FakeEmbedder):
    """Remembers which thread embedded what; refuses everyday sentences when told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.by_thread: dict[str, list[str]] = {}
        self._refuses = refuses

    def embed(self, texts, kind):
        self.by_thread.setdefault(threading.current_thread().name, []).extend(texts)
        if self._refuses and set(texts) & set(EVERYDAY):
            raise RuntimeError("not these")
        return super().embed(texts, kind)


@pytest.mark.parametrize("refuses", [False, True])
def test_everyday_sentences_are_embedded_once_in_the_background(refuses):
    embedder = Watched(refuses=refuses)
    with convmem.Memory(InMemoryStore(), embedder=embedder, deadline_ms=60_000) as memory:
        memory.record(
            [{"role": "user", "content": "The ferry to Elba costs 31 euros."}], user="u", session="past"
        )
        memory.flush()
        for session in ("now", "later"):
            question = [{"role": "user", "content": "What does the ferry to Elba cost?"}]
            assert memory.prepare(question, user="u", session=session).receipt.recalled
        memory.flush()
    everyday = {name for name, texts in embedder.by_thread.items() if set(texts) & set(EVERYDAY)}
    assert everyday == {"convmem-vectors"}
    if not refuses:
        said = [text for text in embedder.by_thread["convmem-vectors"] if text in EVERYDAY]
        assert sorted(said) == sorted(2 * EVERYDAY)
