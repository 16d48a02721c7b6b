"""Messages that are put back, beside each other and beside the caller's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convmem.providers.dialects import resolve_dialects

SHIPPED = resolve_dialects(None)
ALL = sorted(SHIPPED.by_name)


def user(text):
    return {"role": "user", "content": text}


def says(text):
    return {"role": "assistant", "content": text}


def calling(*ids, text=""):
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": text, "tool_calls": calls}


def result(call_id):
    return {"role": "tool", "tool_call_id": call_id, "content": f"of {call_id}"}


def sent(name, back, own=()):
    own = list(own) or [user("now")]
    return SHIPPED.by_name[name].arranged([*((m, False) for m in back), *((m, True) for m in own)])


def kinds(messages):
    """The messages in a word each: the role's letter, the ids of calls, whose result it is."""
    return [
        m["role"][0] + "".join(c["id"] for c in m.get("tool_calls", ())) + m.get("tool_call_id", "")
        for m in messages
    ]


@pytest.mark.parametrize(
    ("back", "own", "kept"),
    [
        ([user("a"), calling("A"), result("A"), says("b")], [], ["u", "aA", "tA", "a", "u"]),
        ([user("a"), calling("A")], [], ["u", "u"]),
        ([user("a"), calling("A", text="Let me see.")], [], ["u", "a", "u"]),
        ([user("a"), calling("A", "B"), result("A"), says("b")], [], ["u", "aA", "tA", "a", "u"]),
        ([user("a"), result("A"), says("b")], [], ["u", "a", "u"]),
        ([result("A"), says("b")], [], ["a", "u"]),
        (
            [user("a"), calling("A"), user("hurry"), result("A"), says("b")],
            [],
            ["u", "aA", "tA", "u", "a", "u"],
        ),
        ([calling("A"), calling("B"), result("A"), result("B")], [], ["aA", "tA", "aB", "tB", "u"]),
        ([calling("A", "B"), result("B"), result("A"), says("b")], [], ["aAB", "tB", "tA", "a", "u"]),
        ([calling("A", "A"), result("A"), result("A"), says("b")], [], ["aA", "tA", "a", "u"]),
        ([calling("A"), result("A"), says("b"), calling("A"), says("c")], [], ["aA", "tA", "a", "a", "u"]),
        ([user("a"), calling("A")], [result("A")], ["u", "aA", "tA"]),
        ([user("a"), calling("A", "B"), result("A")], [result("B")], ["u", "aAB", "tA", "tB"]),
        ([user("a"), calling("A"), calling("B")], [result("B")], ["u", "aB", "tB"]),
    ],
)
def test_calls_go_with_their_results_or_not_at_all(back, own, kept):
    assert kinds(sent("openai", back, own)) == kept


@pytest.mark.parametrize("name", ["anthropic", "mistral", "vllm", "llama.cpp", "deepseek-r1"])
def test_a_greeting_before_the_first_user_is_left_out_where_a_user_must_be_first(name):
    assert kinds(sent(name, [says("Welcome to the inn."), user("A room?"), says("Yes.")])) == ["u", "a", "u"]
    assert kinds(sent(name, [says("Welcome.")])) == ["u"]
    own = [says("Welcome."), user("A room?")]
    assert sent(name, [], own) == own, "the caller's own is the caller's"


@pytest.mark.parametrize("name", ["openai", "deepseek", "kimi", "safe"])
def test_elsewhere_the_greeting_stays(name):
    assert kinds(sent(name, [says("Welcome."), user("A room?"), says("Yes.")])) == ["a", "u", "a", "u"]


def test_results_without_a_reply_are_left_out_where_an_assistant_must_follow():
    back = [user("a"), calling("A"), result("A")]
    assert kinds(sent("openai", back)) == ["u", "aA", "tA", "u"]
    assert sent("mistral", back) == [user("a\n\nnow")]
    told = [user("a"), calling("A", text="Let me see."), result("A"), calling("B"), result("B")]
    assert kinds(sent("mistral", told)) == ["u", "a", "u"]
    ids = ["abcdefgh1", "abcdefgh2"]
    whole = [user("a"), calling(ids[0]), result(ids[0]), calling(ids[1]), result(ids[1]), says("b")]
    assert sent("mistral", whole) == [*whole, user("now")]
    loop = [user("a"), calling(ids[0]), result(ids[0]), calling(ids[1])]
    assert sent("mistral", loop, [result(ids[1])]) == [*loop, result(ids[1])]


def test_mistral_gets_ids_of_nine_letters_and_digits_the_same_for_call_and_result():
    back = [user("a"), calling("call_1", "call_2"), result("call_2"), result("call_1"), says("b")]
    first = sent("mistral", back)
    ids = [call["id"] for call in first[1]["tool_calls"]]
    assert all(len(each) == 9 and each.isalnum() for each in ids)
    assert len({*ids}) == 2
    assert [first[2]["tool_call_id"], first[3]["tool_call_id"]] == ids[::-1]
    later = sent("mistral", [*back, user("now"), says("c")], [user("again")])
    assert later[: len(first)] == first
    assert sent("openai", back)[1] is back[1]


def test_ids_that_the_callers_own_results_name_stay():
    back = [user("a"), calling("call_1")]
    assert sent("mistral", back, [result("call_1")]) == [*back, result("call_1")]


def test_ids_that_claude_refuses_are_replaced_and_others_stay():
    odd = "functions.look_up:0"
    made = sent("anthropic", [user("a"), calling(odd, "toolu_1"), result(odd), result("toolu_1"), says("b")])
    named, kept = (call["id"] for call in made[1]["tool_calls"])
    assert kept == "toolu_1"
    assert named.isalnum()
    assert made[2]["tool_call_id"] == named


def test_without_tools_claude_gets_no_calls():
    back = [user("a"), calling("A", text="Let me see."), result("A"), says("b")]
    dialect = SHIPPED.by_name["anthropic"]
    for tools, kept in ((True, ["u", "aA", "tA", "a", "u"]), (False, ["u", "a", "u"])):
        forms = [form for m in back if (form := dialect.sendable(m, tools=tools)) is not None]
        assert kinds(sent("anthropic", forms)) == kept


def test_a_beginning_that_was_continued_is_one_message_whatever_it_is_called():
    for name, mark in (("deepseek", "prefix"), ("mistral", "prefix"), ("kimi", "partial")):
        beginning = {"role": "assistant", "content": "Dear ", mark: True}
        form = SHIPPED.by_name[name].sendable(beginning, tools=False)
        assert sent(name, [user("a"), form, says("Ana,")])[1] == says("Dear Ana,")


def test_gemini_signs_the_call_that_is_first_when_another_was_left_out():
    dialect = SHIPPED.by_name["gemini"]
    back = dialect.sendable(calling("A", "B"), tools=True)
    made = sent("gemini", [user("a"), back, result("B"), says("b")])
    (call,) = made[1]["tool_calls"]
    assert call["extra_content"]["google"]["thought_signature"] == "skip_thought_signature_validator"


IDS = st.sampled_from(["A", "call_2", "functions.f:0", "abcdefgh9"])
PUT_BACK = st.one_of(
    st.builds(user, st.sampled_from(["a", "茶"])),
    st.builds(says, st.sampled_from(["b", "好"])),
    st.builds(
        lambda ids, text: calling(*ids, text=text),
        st.lists(IDS, min_size=1, max_size=3),
        st.sampled_from(["", "hm"]),
    ),
    st.builds(result, IDS),
    st.builds(lambda role: {"role": role, "content": "late"}, st.sampled_from(["system", "developer"])),
)


@given(st.sampled_from(ALL), st.lists(PUT_BACK, max_size=12), st.booleans())
def test_whatever_was_said_calls_and_results_go_out_together(name, back, tools):
    dialect = SHIPPED.by_name[name]
    forms = [form for m in back if (form := dialect.sendable(m, tools=tools)) is not None]
    made = sent(name, forms)
    waiting: list[str] = []
    for at, message in enumerate(made):
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        if at and dialect.after_tool == "assistant" and made[at - 1]["role"] == "tool":
            assert message["role"] == "assistant"
    assert not waiting
    assert dialect.first == "any" or made[0]["role"] == "user"
    pairs = [(form, False) for form in forms]
    whole = dialect.kept(pairs)
    assert dialect.kept([(m, False) for _, m in whole]) == [(i, m) for i, (_, m) in enumerate(whole)], (
        "once is enough"
    )


@given(st.sampled_from(ALL), st.lists(PUT_BACK, max_size=10))
def test_a_conversation_that_grows_begins_as_it_began(name, back):
    """A whole round more changes nothing before it, up to the newest user's text."""
    dialect = SHIPPED.by_name[name]
    forms = [form for m in back if (form := dialect.sendable(m, tools=True)) is not None]
    today = sent(name, forms)
    reply = dialect.sendable(says("reply"), tools=True)
    tomorrow = sent(name, [*forms, user("now"), reply], [user("again")])
    assert tomorrow[: len(today)] == today
