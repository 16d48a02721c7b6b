from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from tests.recall.memories import Memory, embed, two_friends, user_and_assistant

from convmem.recall import Partition, Query, Settings, query_text, search
from convmem.recall.intent import asks_for_reply

FRIENDS, ASSISTANT = two_friends(), user_and_assistant()


def ids(memory: Memory, question: str, *, settings: Settings | None = None, vectors: bool = True, **more):
    partition = memory.partition(vectors=vectors)
    query = Query(question, embed(question) if vectors else None, **more)
    return [hit.id for hit in search(partition, query, settings or Settings()).hits]


def text(memory: Memory, question: str, **more) -> str:
    return memory.texts[ids(memory, question, **more)[0]]


@pytest.mark.parametrize("vectors", [True, False])
@pytest.mark.parametrize(
    ("memory", "question", "answer"),
    [
        (FRIENDS, "Where did the van break down?", "Porto"),
        (FRIENDS, "What is the name of Jorge's cat? 猫叫什么", "糯米"),
        (FRIENDS, "Who studies whales in Tromsø?", "whales"),
        (FRIENDS, "Hana在婚礼上吃了什么？", "麻婆豆腐"),
        (ASSISTANT, "What did error E1187 turn out to be?", "E1187"),
        (ASSISTANT, "What is the router password?", "heron-42-quartz"),
        (ASSISTANT, "我对什么过敏？", "花生"),
        (ASSISTANT, "How much were the tyres, 1250?", "1,250"),
    ],
)
def test_the_answer_comes_first(memory, question, answer, vectors):
    assert answer in text(memory, question, vectors=vectors)


def test_what_is_visible_is_not_recalled_again():
    shown = ids(FRIENDS, "Where did the van break down?")[:3]
    again = ids(FRIENDS, "Where did the van break down?", exclude=shown)
    assert not set(shown) & set(again)
    assert again


def test_the_same_words_asked_before_are_not_recalled_but_a_search_finds_them():
    question = FRIENDS.texts[ids(FRIENDS, "Where did the van break down?")[0]]
    assert question in [FRIENDS.texts[id_] for id_ in ids(FRIENDS, question, small_talk=True)]
    asked = [FRIENDS.texts[id_] for id_ in ids(FRIENDS, question)]
    assert asked
    assert question not in asked


def test_search_can_stay_within_sessions():
    partition = FRIENDS.partition()
    hits = search(partition, Query("cello van whales lemon", within={"talk2"})).hits
    assert {hit.session for hit in hits} == {"talk2"}
    assert search(partition, Query("cello", within=set())).abstained == "empty"


def test_a_named_speaker_is_boosted_not_filtered():
    question = "What does Jorge do before work, climbing or swimming?"
    found = ids(FRIENDS, question)
    assert FRIENDS.texts[found[0]].startswith("I prefer swimming")
    assert any(FRIENDS.entries[int(i[1:])].speaker == "Hana" for i in found)
    (hit, *_) = search(FRIENDS.partition(), Query(question, embed(question))).hits
    assert "speaker" in hit.why


def test_a_named_time_is_boosted():
    memory = Memory()
    for month in range(12):
        memory.say("We went for a long walk along the canal.", session=f"m{month}", day=30.4 * month)
        memory.say(f"Number {month} was the nicest one so far.", session=f"m{month}", day=30.4 * month)
    now = datetime(2025, 5, 20, tzinfo=UTC)
    question = "Which walk did we take in November 2024?"
    (hit, *_) = search(memory.partition(), Query(question, embed(question), now=now)).hits
    assert datetime.fromtimestamp(hit.at, UTC).month == 11
    assert "date" in hit.why


def test_what_was_said_twice_appears_once():
    memory = two_friends()
    memory.say("the van broke down near Porto", speaker="Hana", session="talk5")
    found = [memory.texts[i].casefold().strip(".") for i in ids(memory, "Where did the van break down?")]
    assert found.count("the van broke down near porto") == 1


def test_turns_without_a_vector_are_found_by_their_words():
    vectors = FRIENDS.vectors()
    vectors[FRIENDS_VAN] = np.nan
    partition = Partition.from_entries(FRIENDS.entries, vectors)
    question = "Where did the van break down?"
    assert search(partition, Query(question, embed(question))).hits[0].order == FRIENDS_VAN


FRIENDS_VAN = next(place for place, said in enumerate(FRIENDS.texts.values()) if "near Porto" in said)


def test_bad_query_vectors_fall_back_to_words():
    partition = FRIENDS.partition()
    question = "Where did the van break down?"
    lexical = search(partition, Query(question))
    assert search(partition, Query(question, np.full(48, np.nan))) == lexical
    assert search(partition, Query(question, np.ones(7))) == lexical


def test_questions_that_name_a_person_are_embedded_without_the_name():
    assert query_text(FRIENDS.partition(), "Where does Jorge swim?") == "Where does swim?"
    assert query_text(FRIENDS.partition(), "Where is the lake?") == "Where is the lake?"
    assert query_text(FRIENDS.partition(), "Jorge") == "Jorge"
    assert query_text(ASSISTANT.partition(), "Where does Jorge swim?") == "Where does Jorge swim?"


@pytest.mark.parametrize(
    "off",
    [
        Settings(dense=0.0, dense_session=0.0),
        Settings(previous=0, next=0, second_previous=0, second_next=0),
        Settings(session=0.0),
        Settings(speaker=0.0, asking=0.0, month=0.0),
        Settings(user=0.0, user_forward=0.0, recent=0.0, recent_asked=0.0, context=0.0),
        Settings(pair=0.0),
        Settings(round=0.0, early=0.0, prefers=0.0),
        Settings(few_turns=0),
    ],
)
def test_every_step_can_be_switched_off(off):
    for memory in (FRIENDS, ASSISTANT):
        partition = memory.partition()
        question = "Where did the van break down? Hana, what about the tyres?"
        changed = search(partition, Query(question, embed(question)), off)
        assert changed.hits
    assert "Porto" in text(FRIENDS, "Where did the van break down near Porto?", settings=off)


def test_reasons_are_given():
    question = "Where did the van break down?"
    (hit, *_) = search(FRIENDS.partition(), Query(question, embed(question))).hits
    assert hit.why[0] in {"lexical", "dense"}
    assert {"lexical", "dense"} <= set(hit.why)


def test_users_rules_are_returned_apart():
    standing = search(ASSISTANT.partition(), Query("What should I cook tonight?")).standing
    assert [ASSISTANT.texts[hit.id][:4] for hit in standing] == ["以后都用", "From"]


def test_hits_are_ranked_and_limited():
    hits = search(
        FRIENDS.partition(), Query("cello van whales lemon", embed("cello van whales lemon"), top_k=5)
    ).hits
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_an_empty_memory_answers_nothing():
    ranking = search(Partition.from_entries([]), Query("Where did the van break down?", embed("x")))
    assert ranking.hits == ()
    assert ranking.abstained == "empty"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (
            "I prefer short walks to long ones, my knee hurts.",
            "What should I do with the children on Sunday?",
        ),
        ("我更喜欢坐火车，不喜欢开车。", "下个月的旅行该怎么安排？"),
    ],
)
def test_advice_knows_what_the_user_prefers(said, asked):
    memory = user_and_assistant()
    told = memory.say(said, session="day9", day=9)
    memory.say("Noted.", role="assistant", session="day9", day=9)
    place = ids(memory, asked).index(told)
    (hit,) = [hit for hit in search(memory.partition(), Query(asked, embed(asked))).hits if hit.id == told]
    assert "preference" in hit.why
    assert place < ids(memory, asked, settings=Settings(prefers=0.0)).index(told)


def test_what_was_said_last_says_what_a_short_message_is_about():
    memory = user_and_assistant()
    visible = [
        memory.say("Back to the winter tyres of Berglund's.", session="now", day=20),
        memory.say("Winter tyres, certainly: what about them?", role="assistant", session="now", day=20),
    ]

    def place(session: str) -> int:
        return ids(memory, "And the price, again?", session=session, exclude=visible).index(paid)

    paid = next(id_ for id_, text in memory.texts.items() if "1,250 kr" in text)
    assert place("now") < place("another")


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("What did you suggest as a name for the starter?", True),
        ("Which opening did you recommend to me last week?", True),
        ("你之前推荐的那家面馆叫什么？", True),
        ("我上次问你那道菜，你是怎么说的？", True),
        ("Can you suggest a name for my starter?", False),
        ("What did I tell you about the starter?", False),
        ("你能推荐一家面馆吗？", False),
        ("我之前说的那家面馆叫什么？", False),
    ],
)
def test_what_asks_for_a_reply(text, asks):
    assert asks_for_reply(text) is asks


def test_a_question_for_a_reply_prefers_replies():
    question = "Which name did you suggest for my sourdough starter?"
    reply = next(id_ for id_, said in ASSISTANT.texts.items() if "Bread Pitt" in said)
    place, without = (ids(ASSISTANT, question, settings=each).index(reply) for each in REPLY)
    assert place < without


REPLY = (Settings(), Settings(reply=0.0))
