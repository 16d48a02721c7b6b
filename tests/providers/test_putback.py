"""The form in which one message goes back: what each dialect asks of it, and nothing of anybody else's."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from convmem.providers.dialects import resolve_dialects

NOW = datetime(2026, 11, 29, tzinfo=UTC)
SHIPPED = resolve_dialects(None)
ALL = sorted(SHIPPED.by_name)


def form(name, message, *, tools=True):
    return SHIPPED.by_name[name].sendable(message, tools=tools)


def call(call_id="c1", arguments="{}", **more):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def calling(*calls, **more):
    return {"role": "assistant", "content": None, "tool_calls": list(calls or [call()]), **more}


def says(content, **more):
    return {"role": "assistant", "content": content, **more}


# What says nothing.


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "message",
    [
        says(""),
        says(None),
        says("  \n"),
        says([]),
        says([{"type": "text", "text": ""}]),
        says("", reasoning_content="First I weigh the routes"),
        says(None, reasoning="First I weigh"),
        says([{"type": "thinking", "thinking": [{"type": "text", "text": "I weigh"}]}]),
        says("", tool_calls=[]),
        says("", refusal=None, annotations=[], audio=None),
        {"role": "assistant"},
        {"role": "assistant", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "content": ""},
        calling(call(call_id="")),
        calling({"type": "function", "function": {"name": "f", "arguments": "{}"}}),
        calling({"id": "c", "type": "function", "function": {"arguments": "{}"}}),
        calling("f()"),
        {"role": "tool", "content": "42"},
        {"role": "user", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": ""}]},
        {"role": "narrator", "content": "It rained."},
        {"content": "nobody"},
    ],
    ids=lambda message: json.dumps(message)[:60],
)
def test_what_says_nothing_does_not_go_back(name, message):
    assert form(name, message) is None


@pytest.mark.parametrize("name", ALL)
def test_a_call_that_was_cut_goes_back_only_where_it_was_answered(name):
    back = form(name, says("Let me look.", tool_calls=[call("c2", '{"city": "Kyo')]))
    asked = {"role": "user", "content": "Kyoto?"}
    dialect = SHIPPED.by_name[name]
    unanswered = dialect.kept([(asked, False), (back, False), ({"role": "user", "content": "Well?"}, True)])
    assert [message.get("tool_calls") for _, message in unanswered] == [None, None, None]
    assert unanswered[1][1]["content"] == "Let me look.", "the words beside it stay"
    result = {"role": "tool", "tool_call_id": back["tool_calls"][0]["id"], "content": "no such city"}
    answered = [message for _, message in dialect.kept([(asked, False), (back, False), (result, True)])]
    assert answered[1:] == [back, result]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("broken", ['{"city": "Kyo', "[1, 2]", '{"a": NaN}', "not at all"])
def test_arguments_that_are_no_json_object_stand_as_text_in_one(name, broken):
    (back,) = form(name, calling(call("c2", broken)))["tool_calls"]
    assert json.loads(back["function"]["arguments"]) == {"arguments": broken}


# Content beside calls.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("openai", None),
        ("gemini", None),
        ("deepseek", ""),
        ("kimi", ""),
        ("glm", ""),
        ("minimax", ""),
        ("qwen", ""),
        ("mistral", ""),
        ("openrouter", ""),
        ("xai", ""),
        ("vllm", ""),
        ("safe", ""),
        ("anthropic", "absent"),
        ("groq", "absent"),
    ],
)
@pytest.mark.parametrize("came", [{}, {"content": None}, {"content": ""}, {"content": " "}, {"content": []}])
def test_content_beside_calls_is_as_each_provider_wants_it(name, content, came):
    back = form(name, {"role": "assistant", **came, "tool_calls": [call()]})
    assert back.get("content", "absent") == content


@pytest.mark.parametrize("name", ALL)
def test_text_beside_calls_stays(name):
    assert form(name, says("Let me look.", tool_calls=[call()]))["content"] == "Let me look."


# Reasoning.


@pytest.mark.parametrize("came", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize(
    ("host", "model", "goes"),
    [
        ("api.deepseek.com", "deepseek-flash", "reasoning_content"),
        ("openrouter.ai", "deepseek/deepseek-v4-pro", "reasoning_content"),
        ("api.together.xyz", "deepseek-ai/DeepSeek-V4.1-Flash", "reasoning_content"),
        ("gpu-box", "deepseek-ai/DeepSeek-V4-Flash", "reasoning_content"),
        ("api.moonshot.ai", "kimi-k3", "reasoning_content"),
        ("api.moonshot.cn", "kimi-k3.1-pro", "reasoning_content"),
        ("openrouter.ai", "moonshotai/kimi-k3", "reasoning_content"),
        ("api.fireworks.ai", "accounts/fireworks/models/kimi-k3p1-pro", "reasoning_content"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "moonshotai.kimi-k3", "reasoning_content"),
        ("api.z.ai", "glm-5.3", "reasoning_content"),
        ("open.bigmodel.cn", "glm-4.7", "reasoning_content"),
        ("api.together.xyz", "zai-org/GLM-5.3", "reasoning_content"),
        ("api.minimax.io", "MiniMax-M3.1-Flash", "reasoning_content"),
        ("api.minimaxi.com", "MiniMax-M3", "reasoning_content"),
        ("api.stepfun.com", "step-3.7-flash", "reasoning"),
        ("openrouter.ai", "z-ai/glm-5.3", "reasoning"),
        ("api.together.xyz", "openai/gpt-oss-120b", "reasoning"),
        ("api.groq.com", "openai/gpt-oss-120b", "reasoning"),
        ("api.openai.com", "gpt-6-luna", None),
        ("mine.openai.azure.com", "my-deployment", None),
        ("generativelanguage.googleapis.com", "gemini-4-argon", None),
        ("dashscope.aliyuncs.com", "qwen3.8-max", None),
        ("dashscope-intl.aliyuncs.com", "qwen3.8-flash", None),
        ("ark.cn-beijing.volces.com", "doubao-seed-2-1-pro-260915", None),
        ("ark.cn-beijing.volces.com", "ep-20260101-x", None),
        ("api.siliconflow.cn", "Qwen/Qwen3.8-27B", None),
        ("tokenhub.tencentmaas.com", "hy4", None),
        ("qianfan.baidubce.com", "ernie-5.1", None),
        ("api.x.ai", "grok-4.7", None),
        ("api.mistral.ai", "mistral-large-4", None),
        ("api.cohere.ai", "command-a-plus-05-2026", None),
        ("litellm.internal", "claude-sonnet-5-5", None),
        ("bedrock-mantle.us-east-1.api.aws", "anthropic.claude-opus-5", None),
        ("localhost", "llama4", None),
    ],
)
def test_thoughts_go_back_under_the_name_that_each_provider_knows(host, model, goes, came):
    dialect = SHIPPED.of(host, model, NOW)
    for message in (calling(**{came: "I weigh."}), says("Done.", **{came: "I weigh."})):
        back = dialect.sendable(message, tools=True)
        told = {key: value for key, value in back.items() if key.startswith("reasoning")}
        assert told == ({goes: "I weigh."} if goes else {})


def test_thoughts_of_another_form_go_back_as_text_where_the_provider_wants_them():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Ich wäge."}]}]
    message = says([*parts, {"type": "text", "text": "Gut."}])
    back = form("deepseek", message)
    assert back == {"role": "assistant", "content": "Gut.", "reasoning_content": "Ich wäge."}
    assert form("mistral", message) is message, "to Mistral as Mistral said it"
    assert form("openai", message) == says([{"type": "text", "text": "Gut."}])
    assert form("safe", message) == says("Gut.")
    signed = says(
        [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Gut."}]
    )
    assert form("glm", signed) == says("Gut.", reasoning_content="hm")


def test_kimi_gets_a_filler_where_the_journal_has_no_thought():
    assert form("kimi", calling())["reasoning_content"] == " "
    assert form("kimi", calling(reasoning_content=""))["reasoning_content"] == " "
    assert form("kimi", calling(), tools=False)["reasoning_content"] == " "
    assert "reasoning_content" not in form("kimi", says("Done."))
    assert "reasoning_content" not in form("kimi", says("Done.", reasoning_content=""))


def test_deepseek_gets_an_empty_thought_in_requests_with_tools_and_none_in_others():
    assert form("deepseek", says("Done."))["reasoning_content"] == ""
    assert "reasoning_content" not in form("deepseek", says("Done.", reasoning="hm"), tools=False)


def test_details_go_back_to_whom_they_came_from():
    open_router = [{"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"}]
    minimax = [{"type": "reasoning.text", "text": "hm", "format": "MiniMax-response-v1"}]
    for name in ALL:
        back = form(name, says("Done.", reasoning_details=open_router))
        assert ("reasoning_details" in back) is name.startswith("openrouter"), name
    assert form("minimax", says("Done.", reasoning_details=minimax))["reasoning_details"] == minimax
    for name in {*ALL} - {"minimax"}:
        if not name.startswith("openrouter"):  # which serves MiniMax too
            assert "reasoning_details" not in form(name, says("Done.", reasoning_details=minimax))


# Nothing of one API's or provider's in another's.

_KNOWN = {"role", "content", "name", "tool_calls", "tool_call_id"}
_FOREIGN = {
    "id": "msg_1",
    "status": "completed",
    "phase": "final",
    "annotations": [],
    "audio": {"id": "audio_1", "data": "QUJD", "transcript": "Hello."},
    "provider_specific_fields": {},
    "extra_content": {"google": {"thought_signature": "s"}},
    "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "other"}],
    "thinking_blocks": [],
    "cache_control": {"type": "ephemeral"},
    "logprobs": None,
    "items": [{"type": "message"}],
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer", "tool"])
def test_fields_of_other_apis_stay_behind(name, role):
    message = {"role": role, "content": "Hello.", **_FOREIGN}
    if role == "tool":
        message["tool_call_id"] = "c1"
    rules = SHIPPED.by_name[name]
    known = {*_KNOWN, *rules.own_fields, *({"extra_content"} if rules.signatures else ())}
    known |= {"reasoning_content", "reasoning"} if rules.reasoning != "drop" else set()
    assert not form(name, message).keys() - (known if role == "assistant" else _KNOWN)


@pytest.mark.parametrize("name", ALL)
def test_parts_have_their_own_fields_alone(name):
    content = [
        {"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}, "cache_control": {}},
    ]
    for part in form(name, {"role": "user", "content": content})["content"]:
        assert part.keys() <= {"type", "text", "image_url"}


@pytest.mark.parametrize("name", ALL)
def test_a_spoken_reply_goes_back_as_its_words(name):
    message = says(None, audio={"id": "audio_9", "data": "QUJD", "transcript": "Good morning."})
    back = form(name, message)
    assert (back["content"], "audio" in back) == ("Good morning.", False)


@pytest.mark.parametrize("name", ALL)
def test_a_refusal_goes_back_in_words_where_it_has_no_field_of_its_own(name):
    back = form(name, says(None, refusal="I cannot help with that."))
    assert back.get("refusal") == ("I cannot help with that." if name == "openai" else None)
    assert name == "openai" or back["content"] == "I cannot help with that."


def test_calls_of_openais_other_kinds_are_function_calls_elsewhere():
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    assert form("openai", calling(custom))["tool_calls"] == [custom]
    (made,) = form("deepseek", calling(custom))["tool_calls"]
    assert made["function"] == {"name": "sql", "arguments": '{"input":"select 1"}'}
    legacy = says(None, function_call={"name": "f", "arguments": '{"a": 1}'})
    told = {"role": "function", "name": "f", "content": "42"}
    assert form("openai", legacy)["function_call"] == legacy["function_call"]
    assert form("openai", told) == told
    (made,) = form("kimi", legacy)["tool_calls"]
    assert form("kimi", told) == {"role": "tool", "tool_call_id": made["id"], "content": "42"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("arguments", ["", None, "  "])
def test_a_call_without_arguments_has_an_empty_object(name, arguments):
    (made,) = form(name, calling(call(arguments=arguments)))["tool_calls"]
    assert made["function"]["arguments"] == "{}"


@pytest.mark.parametrize("name", ALL)
def test_arguments_that_are_an_object_are_written_down(name):
    (made,) = form(name, calling(call(arguments={"城市": "京都"})))["tool_calls"]
    assert made["function"]["arguments"] == '{"城市":"京都"}'


def test_gemini_gets_its_signatures_and_a_placeholder_for_calls_made_elsewhere():
    signature = {"google": {"thought_signature": "abc"}}
    signed = calling(call("c1", extra_content=signature), call("c2"))
    assert form("gemini", signed)["tool_calls"] == signed["tool_calls"]
    first, second = form("gemini", calling(call("c1"), call("c2")))["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert "extra_content" not in second
    assert "extra_content" not in json.dumps(form("openai", signed))


@pytest.mark.parametrize(
    ("name", "role", "named"),
    [
        ("openai", "user", "Ana_Lima"),
        ("openai", "assistant", "Ana_Lima"),
        ("xai", "user", "Ana_Lima"),
        ("xai", "assistant", None),
        ("mistral", "user", None),
        ("safe", "user", "Ana_Lima"),
        ("safe", "assistant", None),
    ],
)
def test_names_are_said_where_they_are_taken_in_letters_that_are(name, role, named):
    message = {"role": role, "content": "a", "name": "Ana Lima"}
    assert form(name, message).get("name") == named


def test_pictures_go_to_models_that_see():
    look = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]}
    hear = {
        "role": "user",
        "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}],
    }
    assert form("openai", look) is look
    assert form("openai", hear) is hear
    assert form("kimi", look) is look
    for name, message, mark in [
        ("deepseek-pro", look, "[image]"),
        ("deepseek-r1", look, "[image]"),
        ("glm", hear, "[audio]"),
    ]:
        assert form(name, message)["content"] == [{"type": "text", "text": mark}]


def test_what_need_not_change_is_the_same_message():
    for message in (
        {"role": "user", "content": "a"},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        says("Done."),
    ):
        assert form("openai", message) is message


@pytest.mark.parametrize("name", ALL)
def test_halves_of_characters_do_not_go_back(name):
    for message in (
        {"role": "user", "content": "cut \ud83d"},
        says("cut \ud83d", tool_calls=[call(arguments='{"a": "\ud83d"}')]),
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "\udc00 cut"}]},
    ):
        json.dumps(form(name, message), ensure_ascii=False).encode()
    assert form(name, {"role": "user", "content": "\ud83d\ude00"})["content"] == "😀", "of two halves one"


# What the caller sent before.


def test_a_form_that_the_provider_refuses_does_not_return():
    deepseek, kimi = SHIPPED.by_name["deepseek"], SHIPPED.by_name["kimi"]
    for dialect in (deepseek, kimi):
        assert not dialect.takes(says(""), tools=True)
        assert not dialect.takes({"role": "human", "content": "a"}, tools=True)
        assert not dialect.takes({"role": "user", "content": "a", "status": "completed"}, tools=True)
        assert dialect.takes({"role": "user", "content": "a", "cache_control": {}}, tools=True)
        assert dialect.takes(says("a", name="x"), tools=False)
    seen = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]}
    assert deepseek.takes(seen, tools=True)
    assert not SHIPPED.by_name["deepseek-pro"].takes(seen, tools=True)
    assert not deepseek.takes(calling(), tools=True)
    assert deepseek.takes(calling(), tools=False)
    assert deepseek.takes(calling(reasoning_content=""), tools=True)
    assert not kimi.takes(calling(reasoning_content=""), tools=True)
    assert kimi.takes(calling(reasoning_content="hm"), tools=True)
