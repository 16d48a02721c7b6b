from __future__ import annotations

import re

import pytest
from tests.recall.memories import embed, two_friends, user_and_assistant

from convmem.recall import Query, search
from convmem.recall.intent import is_question, is_small_talk, looks_back, standing_rules

CHIT_CHAT = [
    "hi",
    "Hello!",
    "hey hey",
    "good morning :)",
    "thanks",
    "Thanks a lot!!",
    "thank you very much, that's great",
    "ok",
    "okaaay",
    "lol",
    "hahaha nice",
    "sounds great",
    "cool, will do",
    "bye for now",
    "good night, sleep well",
    "yes",
    "nope",
    "got it",
    "👍👍",
    "how's it going?",
    "好的",
    "好的，谢谢",
    "谢谢你",
    "哈哈",
    "哈哈哈哈",
    "嗯",
    "嗯嗯，知道了",
    "早",
    "早上好！",
    "晚安",
    "你好",
    "在吗？",
    "收到",
    "没问题",
    "明白了，谢谢",
    "太棒了！",
    "再见",
    "辛苦啦",
    "行",
    "不客气～",
]
QUESTIONS = [
    "Where did the van break down?",
    "How much was the fuel pump?",
    "Who can't be around felines?",
    "What does Jorge do in the mornings?",
    "When does Hana climb?",
    "Which instrument did Jorge part with?",
    "Why did he need cash?",
    "Where does the sister live now?",
    "What did the cold do to the citrus plant?",
    "Thanks! And where is the other tree kept?",
    "hi, what was the dish at the wedding?",
    "ok so who plays in a quartet?",
    "Is anybody afraid of ropes?",
    "what's the cat's age",
    "Remind me what I lent",
    "Did we talk about Norway?",
    "Name the person Hana trains with.",
    "What animal is being studied up north?",
    "how did the trip to Portugal go",
    "Any news about the wedding?",
    "车在哪里坏的？",
    "油泵多少钱？",
    "猫叫什么名字",
    "猫几岁了？",
    "谁怕医生？",
    "婚礼在哪个城市？",
    "Hana吃了什么菜？",
    "Jorge为什么卖琴？",
    "柠檬树怎么样了",
    "谁在研究鲸鱼？",
    "你好，Hana星期几去攀岩？",
    "好的，那她和谁一起去？",
    "谁对猫过敏？",
    "Jorge早上做什么运动？",
    "哈哈那辆车后来修好了吗",
    "姐姐住在哪里？",
    "新郎会什么乐器",
    "谢谢，上次说的油泵是什么问题？",
    "谁不敢在户外攀岩？",
    "冬天的夜晚她喜欢吗？",
]


def test_forty_of_each():
    assert len(CHIT_CHAT) == len(set(CHIT_CHAT)) == len(QUESTIONS) == len(set(QUESTIONS)) == 40


@pytest.mark.parametrize("text", CHIT_CHAT)
def test_chit_chat_recalls_nothing(text):
    for memory in (two_friends(), user_and_assistant()):
        ranking = search(memory.partition(), Query(text, embed(text)))
        assert ranking.abstained
        assert ranking.hits == ranking.standing == ()


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("vectors", [True, False])
def test_questions_are_searched(text, vectors):
    memory = two_friends()
    assert not is_small_talk(text)
    ranking = search(memory.partition(vectors=vectors), Query(text, embed(text)))
    assert ranking.abstained in (
        {""} if vectors else {"", "no margin"}
    )  # without vectors, words must be shared


def test_an_explicit_search_never_abstains():
    assert search(two_friends().partition(), Query("thanks", embed("thanks"), small_talk=True)).hits


@pytest.mark.parametrize(
    "text",
    [
        "Always answer in French.",
        "From now on, call me Bo.",
        "please never use emojis in replies",
        "Don't ever share my address.",
        "以后都用中文回答",
        "请一直用公制单位",
        "从现在开始叫我老李",
        "每次都要先给结论",
        "Thanks. Please keep your answers under five lines.",
    ],
)
def test_lasting_rules_are_seen(text):
    ((start, end),) = standing_rules(text)
    assert text.endswith(text[start:end])


@pytest.mark.parametrize(
    "text",
    [
        "I always drink tea.",
        "Never mind.",
        "Should I always answer?",
        "Could you please check this?",
        "以后再说吧",
        "他总是迟到",
        "Always the same story",
        "please find the file attached",
        "我以后想去冰岛",
        "",
    ],
)
def test_other_sentences_are_no_rules(text):
    assert standing_rules(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "What did I say about the tyres?",
        "When was the dentist?",
        "我之前说过什么？",
        "还记得我的猫吗",
        "how many times have I moved",
    ],
)
def test_looking_back_is_seen(text):
    assert is_question(text)
    assert looks_back(text)


@pytest.mark.parametrize(
    "text",
    [
        "Write a poem about rain.",
        "What is the capital of Peru?",
        "I painted the hallway.",
        "帮我写一封信",
        "今天天气怎么样",
    ],
)
def test_looking_ahead_is_not_looking_back(text):
    assert not looks_back(text)


KEEPS_GOING = """
666 | yyds | 恭喜恭喜 | 唉，好累 | 真的假的？ | 为什么？ | 然后呢？ | 你觉得呢？ | 不用了 | 绝了
新年快乐 | 稍等 | 唔該
没问题，就按你说的办 | why? | and then? | really? | Happy New Year! | one sec
"""


@pytest.mark.parametrize("text", [text.strip() for text in re.split(r"[|\n]", KEEPS_GOING.strip())])
def test_what_only_keeps_a_talk_going_is_small_talk(text):
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text", ["推荐个馆子", "帮我安排一下周末", "Recommend a restaurant for Friday", "为什么取消了聚会？"]
)
def test_who_wants_something_gets_an_answer(text):
    assert is_question(text)
    assert not is_small_talk(text)


def test_an_appointment_that_moved_is_no_rule():
    assert not standing_rules("以后周会改到周四上午十点")
    assert standing_rules("以后都用中文回答")
