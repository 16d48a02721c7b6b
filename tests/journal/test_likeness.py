"""Messages in other clothes are the turns they were, one example each, and changed ones are not."""

from __future__ import annotations

import json

import pytest

from convmem.journal.likeness import alike
from convmem.journal.look import look_of


def dress(known, came, *others):
    """How one is the other: `sure`, `followed` where the known reply must follow, or None."""
    found = alike(look_of(known), look_of(came), others)
    return None if found is None else "sure" if found.sure else "followed"


def hides(known, came):
    return alike(look_of(known), look_of(came)).hidden


def user(text, **fields):
    return {"role": "user", "content": text, **fields}


def said(text, **fields):
    return {"role": "assistant", "content": text, **fields}


def calling(*calls, content=None):
    made = [
        {
            "id": f"call_{i}f",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for i, (name, arguments) in enumerate(calls)
    ]
    return said(content, tool_calls=made)


WEATHER = calling(("get_weather", {"city": "Lima", "days": 3}))


@pytest.mark.parametrize(
    ("known", "came"),
    [
        (said("Yes."), said("Yes.", name="main")),
        (said("Yes.", name="main"), said("Yes.")),
        (said("One.\n\n- a  \n- b\n"), said("One.\n- a\n- b")),
        (said("<think>hm</think>\n\nYes."), said("Yes.")),
        (said("<thinking>a\nb</thinking>Yes."), said(" Yes.", name="m")),
        (said("hm, so\n</think>\nYes."), said("Yes.")),
        (said("Yes."), said("<think>\nhm\n</think>\nYes.")),
        (
            said('<details type="reasoning" done="true"><summary>Thought</summary>hm</details>\n好的。'),
            said("好的。"),
        ),
        (said("[THINK]hm[/THINK]Yes."), said("Yes.")),
        (said([{"type": "text", "text": "Yes."}, {"type": "text", "text": "No."}]), said("Yes.\nNo.")),
        (said("cafe\u0301"), said("caf\u00e9")),
        (
            said(None, audio={"id": "audio_1", "transcript": "Yes.", "data": "AAAA"}),
            said(None, audio={"id": "audio_1"}),
        ),
        (said(None, audio={"id": "audio_1", "transcript": "Yes."}), said("Yes.")),
        (WEATHER, {**WEATHER, "name": "main", "content": ""}),
        (calling(("f", {"a": 1}), content="Wait."), calling(("f", {"a": 1}))),
        (WEATHER, calling(("get_weather", {"days": 3, "city": "Lima"}))),
        (user("hi"), user("hi", name="ann")),
        (user("hi"), user([{"type": "text", "text": "hi "}], name="ann")),
    ],
)
def test_the_same_in_other_clothes_wherever_it_stands(known, came):
    assert dress(known, came) == "sure"


@pytest.mark.parametrize(
    "text",
    [
        "Calling tools:\n"
        + str(
            [{"id": "call_0f", "function": {"name": "get_weather", "arguments": {"city": "Lima", "days": 3}}}]
        ),
        'Action: get_weather\nAction Input: {"city": "Lima", "days": 3}',
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Lima", "days": 3}}</tool_call>',
        "get_weather(city='Lima', days=3)",
        "[调用工具] get_weather：城市=Lima",
    ],
)
def test_tool_calls_as_text(text):
    expected = None if "城市" in text else "sure"  # without all arguments it is another message
    assert dress(WEATHER, said(text)) == expected


@pytest.mark.parametrize(
    ("known", "came", "others"),
    [
        (user("[2026-03-01 10:00] hi"), user("hi"), ()),
        (user("[2026-03-01 10:00] hi"), user("[2026-03-01 10:05] hi"), ()),
        (user("hi\n<system-reminder>Two files.</system-reminder>"), user("hi"), ()),
        (user("Current time: 2026-03-01 10:00\nhi"), user("Current time: 2026-03-02 11:00\nhi"), ()),
        (user("现在是 2026年3月1日\n你好"), user("你好"), ()),
        # The date may be what was edited: without the known reply behind it, it is another message.
        (user("Remind me of the dentist (2026-12-03)"), user("Remind me of the dentist (2026-12-24)"), ()),
        (user("Which wine?\n\nReminder: be brief."), user("Which wine?"), ()),
        (user("Which wine?\nAnswer in one line."), user("Which wine?"), ()),
        (user("Which wine? (Be brief.)"), user("Which wine?"), ["And bread? (Be brief.)"]),
        (user("Context:\nRioja is red.\n\nQuestion: Which wine?"), user("Which wine?"), ()),
        (user("<docs>\nRioja\n</docs>\n\nWhich wine?"), user("Which wine?"), ()),
        (user("参考资料：\n雨前龙井。\n\n问题：喝什么茶？"), user("喝什么茶？"), ()),
        (user("Ann says: Which wine?"), user("Which wine?"), ["Ann says: And bread?"]),
        (user("Context: red\n\nWhich wine?"), user("Context: white\n\nWhich wine?"), ()),
        (user("Which wine?"), user("<system-note>Dinner.</system-note>\nWhich wine?"), ()),
        (user("Which wine?"), user("Ann: Which wine?"), ["Ann: And bread?", "Ann: Salt?"]),
        (
            user([{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "data:,a"}}]),
            user("Look."),
            (),
        ),
    ],
)
def test_decoration_that_went_or_changed_where_the_known_reply_follows(known, came, others):
    assert dress(known, came, *others) == "followed"


@pytest.mark.parametrize(
    ("known", "came", "others"),
    [
        (said("Yes."), said("Yes, but no."), ()),
        (said("Yes. And no."), said("Yes."), ()),
        (said("<think>hm</think>Yes."), said("<think>hm</think>No."), ()),
        (said("I look up get_weather for Lima, 3 days."), WEATHER, ()),
        (WEATHER, said("The weather in Lima will be fine for 3 days."), ()),
        (WEATHER, said("I could ask get_weather about Lima for 3 days, shall I?"), ()),
        (WEATHER, calling(("get_weather", {"city": "Oslo", "days": 3})), ()),
        (user("Which wine?"), user("Which wine? And make it cheap."), ()),
        (user("Which wine?"), user("Which wine?\nAnd make it cheap."), ()),
        (user("Which wine? And make it cheap."), user("Which wine?"), ()),
        (user("Which wine?"), user("Please: Which wine?"), ()),
        (user("Plan for four."), user("Plan for five."), ()),
        (user("(10:30) standup"), user("(11:30) standup"), ()),
        (user("ok", name="ann"), user("ok", name="bob"), ()),
        (
            user("Look."),
            user([{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "data:,a"}}]),
            (),
        ),
        (user("ok"), said("ok"), ()),
        (user("第3章"), user("第4章"), ()),
        (user("How many tiles?"), user("many tiles?"), ["How many spoons?"]),
        (user("Which wine?"), user("Look: Which wine?"), ["Look: bread", "And salt?"]),
        (user("Look: Which wine?"), user("Which wine?"), ["Look: bread", "And salt?"]),
        (user("continue"), user("Porto continue"), ["A walk in Porto."]),
    ],
)
def test_other_words_are_another_message(known, came, others):
    assert known["role"] != came["role"] or dress(known, came, *others) is None


def test_what_the_journal_has_and_the_caller_did_not_send_is_told():
    assert hides(said("<think>secret</think>Yes."), said("Yes."))
    assert hides(user("Context: secret\n\nQuestion: why?"), user("why?"))
    assert not hides(said("Yes."), said("Yes.", name="main"))
    assert not hides(user("why?"), user("[2026-03-01 10:00] why?"))


def test_a_half_reply_that_the_app_saw_less_of_is_the_half_reply():
    half = look_of(said("The keeper rose at four and lit"), whole=False)
    assert alike(half, look_of(said("The keeper rose at four")))
    assert alike(half, look_of(said("The keeper rose at four and lit the lamp."))) is None


def test_a_message_too_long_to_be_looked_at_is_known_by_its_digest_alone():
    assert look_of(user("x" * 250_001)) is None
