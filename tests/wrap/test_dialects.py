"""Requests that memory makes are legal in the dialect of the strict provider they go to."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import openai
import pytest

import convmem
from convmem.testing import Fault, LocalProvider, Reply, ToolCall
from convmem.testing.provider import DIALECTS

TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
]
SYSTEM = {"role": "system", "content": "Answer briefly."}


def user(text):
    return {"role": "user", "content": text}


def results_for(message):
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['id']}"}
        for call in message["tool_calls"]
    ]


def thinker(request) -> Reply:
    """A model that thinks before it speaks, and looks things up when it is asked to."""
    last = request.messages[-1]
    thought = f"thought {request.n}"
    if last["role"] == "user" and "look up" in last["content"]:
        asked = [ToolCall("look_up", {"q": n}) for n in ("京都", "tea")]
        return Reply(tool_calls=asked, reasoning_content=thought)
    return Reply(f"said {request.n}", reasoning_content=thought)


def speaker(request) -> Reply:
    """The same without thoughts."""
    reply = thinker(request)
    return Reply(reply.content, tool_calls=reply.tool_calls)


def heard(client, *, stream, **given) -> dict:
    """The reply as the message an app would keep."""
    if not stream:
        reply = client.chat.completions.create(**given).choices[0].message
        message = reply.model_dump(exclude_none=True, warnings=False)
        kept = {key: value for key, value in message.items() if key not in {"refusal", "annotations"}}
        return {"content": "", **kept}  # DeepSeek refuses a message without the key
    message: dict = {"role": "assistant", "content": ""}
    calls: list[dict] = []
    for chunk in client.chat.completions.create(**given, stream=True):
        for choice in chunk.choices:
            if isinstance(choice.delta.content, str):  # Mistral's thoughts come as lists of parts
                message["content"] += choice.delta.content
            if (thought := getattr(choice.delta, "reasoning_content", None)) is not None:
                message["reasoning_content"] = message.get("reasoning_content", "") + thought
            for part in choice.delta.tool_calls or []:
                if part.id:
                    function = {"name": part.function.name, "arguments": ""}
                    calls.append({"id": part.id, "type": "function", "function": function})
                calls[-1]["function"]["arguments"] += part.function.arguments or ""
    return {**message, "tool_calls": calls} if calls else message


def connected(provider, **options):
    return openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0, **options)


class App:
    """Holds the conversation and does for itself what each provider wants of what it sends."""

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self.said: list[dict] = []
        self.texts = (f"look up {n}" if n % 2 else f"question {n}" for n in range(1_000))

    def request(self, *, thinking: bool) -> list[dict]:
        last = self.said[-1] if self.said else {}
        new = results_for(last) if last.get("tool_calls") else [user(next(self.texts))]
        self.said += new
        sent = new if self.habit == "newest" else self.said
        return [SYSTEM, *(as_sent(message, thinking=thinking) for message in sent)]


def as_sent(message: dict, *, thinking: bool) -> dict:
    if message["role"] != "assistant":
        return message
    bare = {key: value for key, value in message.items() if key != "reasoning_content"}
    return {**bare, "reasoning_content": message.get("reasoning_content", "")} if thinking else bare


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("habit", ["newest", "full"])
def test_deepseek_thinking_with_tools_then_gpt_and_back(habit, stream, memory):
    """Twenty calls on DeepSeek, ten on GPT from the middle of a tool loop on, ten on DeepSeek again."""
    with LocalProvider(dialect="deepseek") as deepseek, LocalProvider() as gpt:
        deepseek.default, gpt.default = thinker, speaker
        phases = [(deepseek, "deepseek-flash", 20), (gpt, "gpt-6-luna", 10), (deepseek, "deepseek-flash", 10)]
        app = App(habit)
        before: dict[str, str] = {}
        for provider, model, calls in phases:
            thinking = provider is deepseek
            with connected(provider) as bare:
                client = memory.wrap(bare, user="alice", session="s")
                for _ in range(calls):
                    own = app.request(thinking=thinking)
                    reply = heard(client, stream=stream, model=model, messages=own, tools=TOOLS)
                    sent = provider.requests[-1].messages
                    expected = [SYSTEM, *(as_sent(message, thinking=thinking) for message in app.said)]
                    assert [normal(m) for m in sent] == [normal(m) for m in expected]
                    assert sent[-len(own) + 1 :] == own[1:], "the caller's own is not changed"
                    # Nothing is recalled here, so each request begins with the whole one before it.
                    line = "\n".join(map(json.dumps, sent))
                    assert line.startswith(before.get(model, ""))
                    before[model] = line
                    app.said.append(reply)
                if provider is deepseek and calls == 20:
                    assert app.said[-1].get("tool_calls"), "the other provider takes over within the loop"
        turns = memory.turns(user="alice", session="s")
        assert len(turns) == len(app.said)
        thoughts = [turn.payload.get("reasoning_content") for turn in turns if turn.role == "assistant"]
        assert sum(bool(thought) for thought in thoughts) == 30, "kept verbatim, and never made up"


def normal(message: dict) -> dict:
    """What two copies of a message have in common: no empty content beside calls."""
    return {
        key: value
        for key, value in message.items()
        if value or not (key == "content" and message.get("tool_calls"))
    }


def test_without_tools_deepseek_is_not_sent_what_it_ignores(memory):
    with LocalProvider(dialect="deepseek") as provider, connected(provider) as bare:
        provider.default = thinker
        client = memory.wrap(bare, user="alice", session="s")
        for text in ("one", "two", "three"):
            client.chat.completions.create(model="deepseek-v4-pro", messages=[user(text)])
        assert len(provider.requests[-1].messages) == 5
        assert "thought" not in provider.requests[-1].body.decode()
        client.chat.completions.create(model="deepseek-v4-pro", messages=[user("four")], tools=TOOLS)
        replies = [m for m in provider.requests[-1].messages if m["role"] == "assistant"]
    assert [reply["reasoning_content"] for reply in replies] == ["thought 1", "thought 2", "thought 3"]


def test_how_an_app_sent_a_message_without_tools_is_no_form_for_a_request_with_tools(memory):
    with LocalProvider(dialect="deepseek") as provider, connected(provider) as bare:
        provider.default = thinker
        client = memory.wrap(bare, user="alice", session="s")
        given = {"model": "deepseek-flash"}
        client.chat.completions.create(**given, messages=[user("one")])
        said = {"role": "assistant", "content": "said 1", "refusal": None}
        client.chat.completions.create(**given, messages=[user("one"), said, user("two")])
        client.chat.completions.create(**given, messages=[user("three")])
        assert provider.requests[-1].messages[1] == said, "the cache knows it so"
        client.chat.completions.create(**given, messages=[user("four")], tools=TOOLS)
        back = provider.requests[-1].messages[1]
    assert back == {"role": "assistant", "content": "said 1", "reasoning_content": "thought 1"}


@pytest.mark.parametrize(
    ("on", "dialect"),
    [("2025-03-01", "deepseek-r1"), ("2025-12-24", "deepseek-v3.2"), ("2026-06-01", "deepseek")],
)
def test_what_the_model_of_one_name_wants_depends_on_the_date(on, dialect, tmp_path):
    day = datetime.fromisoformat(on).replace(tzinfo=UTC)
    with (
        convmem.Memory(tmp_path / "a.db", deadline_ms=5_000, embedder="none", clock=lambda: day) as memory,
        LocalProvider(dialect=dialect) as provider,
        connected(provider) as bare,
    ):
        provider.default = thinker
        client = memory.wrap(bare, user="alice", session="s")
        new = [user("look up A")]
        for text in ("look up B", "C", "D"):
            reply = heard(client, stream=False, model="deepseek-reasoner", messages=new, tools=TOOLS)
            new = results_for(reply) if reply.get("tool_calls") else [user(text)]
        sent = provider.requests[-1].messages
    has = [bool(message.get("reasoning_content")) for message in sent if message["role"] == "assistant"]
    assert has == [dialect != "deepseek-r1"] * 2


def test_r1_gets_one_message_where_memory_would_put_two_of_one_role(tmp_path):
    old = datetime(2025, 3, 1, tzinfo=UTC)
    with (
        convmem.Memory(tmp_path / "a.db", deadline_ms=5_000, embedder="none", clock=lambda: old) as memory,
        LocalProvider(dialect="deepseek-r1") as provider,
        connected(provider) as bare,
    ):
        said = [user("one"), user("two"), {"role": "assistant", "content": "a"}, user("three")]
        memory.record(said, user="alice", session="s")
        client = memory.wrap(bare, user="alice", session="s")
        client.chat.completions.create(model="deepseek-reasoner", messages=[user("four")])
        client.chat.completions.create(model="deepseek-reasoner", messages=[user("five")])
        first, second = (request.messages for request in provider.requests)
    assert [m["content"] for m in first] == ["one\n\ntwo", "a", "three\n\nfour"]
    assert second[: len(first)] == first
    assert [turn.text for turn in memory_turns(tmp_path)][:5] == ["one", "two", "a", "three", "four"]


def memory_turns(tmp_path):
    with convmem.Memory(tmp_path / "a.db", embedder="none") as memory:
        return memory.turns(user="alice", session="s")


def test_where_two_of_one_role_are_taken_they_stay_two(memory, provider, bare):
    memory.record([user("one"), user("two")], user="alice", session="s")
    memory.wrap(bare, user="alice", session="s").chat.completions.create(
        model="gpt-4o", messages=[user("three")]
    )
    assert [m["content"] for m in provider.requests[0].messages] == ["one", "two", "three"]


def test_callers_own_messages_are_the_callers_business(memory):
    """What R1 refuses of the caller is refused as without memory, and recorded as it happened."""
    with LocalProvider(dialect="deepseek-r1") as provider, connected(provider) as bare:
        client = memory.wrap(bare, user="alice", session="s")
        with pytest.raises(openai.BadRequestError, match="successive"):
            client.chat.completions.create(model="deepseek-r1", messages=[user("one"), user("two")])
        assert provider.requests[0].messages == [user("one"), user("two")]
        turns = memory.turns(user="alice", session="s", branches=True)
        assert [turn.state for turn in turns] == ["failed", "failed"]


def test_a_system_message_from_the_middle_is_a_users_where_it_is_refused(memory, provider, bare):
    late = {"role": "system", "content": "From now on in French."}
    wrapped = memory.wrap(bare, user="alice", session="s")
    wrapped.chat.completions.create(model="gpt-4o", messages=[user("one")])
    wrapped.chat.completions.create(model="gpt-4o", messages=[user("two"), late])
    with LocalProvider(dialect="deepseek") as other, connected(other) as second:
        client = memory.wrap(second, user="alice", session="s")
        client.chat.completions.create(model="deepseek-flash", messages=[user("three")])
        roles = [message["role"] for message in other.requests[0].messages]
    assert roles == ["user", "assistant", "user", "user", "assistant", "user"]
    wrapped.chat.completions.create(model="gpt-4o", messages=[user("four")])
    assert late in provider.requests[-1].messages, "where it is taken it stays"


def test_nothing_follows_a_prefix_and_what_the_model_made_of_it_is_one_message(memory):
    memory.record([user("My locker at the pool is number 7719.")], user="alice", session="old")
    memory.flush()
    prefix = {"role": "assistant", "content": "```python\n", "prefix": True}
    with LocalProvider(dialect="deepseek") as provider, connected(provider) as bare:
        provider.script(Reply("print(7719)\n```"), Reply("fine"))
        client = memory.wrap(bare, user="alice", session="s")
        asked = user("Print my locker's number at the pool.")
        client.chat.completions.create(model="deepseek-flash", messages=[asked, prefix], tools=TOOLS)
        first = provider.requests[0].messages
        assert first[-1] == prefix
        assert "7719" in first[0]["content"]
        assert first[0]["content"].endswith(asked["content"])
        client.chat.completions.create(model="deepseek-flash", messages=[user("thanks")], tools=TOOLS)
        second = provider.requests[1].messages
    whole = {"role": "assistant", "content": "```python\nprint(7719)\n```", "reasoning_content": ""}
    assert second == [asked, whole, user("thanks")]


def test_a_cut_does_not_take_json_modes_word(tmp_path, provider, bare):
    policy = convmem.WindowPolicy("tiny", high=60, low=30)
    history = [user("Answer in JSON."), {"role": "assistant", "content": "{}"}]
    history += [user("word " * 40), {"role": "assistant", "content": "{}"}, user("and now?")]
    with convmem.Memory(tmp_path / "a.db", policy=policy, embedder="none", deadline_ms=5_000) as memory:
        client = memory.wrap(bare, user="alice", session="s")
        for wanted, whole in (("json_object", True), ("text", False)):
            given = {"model": "gpt-4o", "messages": history, "response_format": {"type": wanted}}
            reply = client.chat.completions.create(**given)
            assert (provider.requests[-1].messages == history) is whole
            assert any("JSON" in note for note in memory.receipt_for(reply).notes) is whole


def test_gemini_gets_back_its_signatures_and_others_do_not(tmp_path):
    table = tmp_path / "mine.toml"
    table.write_text('[[match]]\nmodel = "gemini-*"\ndialect = "gemini"\n')
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=5_000, dialects=table) as memory,
        LocalProvider(dialect="gemini") as gemini,
        LocalProvider() as gpt,
        connected(gemini) as one,
        connected(gpt) as other,
    ):
        gemini.default = gpt.default = speaker
        client = memory.wrap(one, user="alice", session="s")
        given = {"model": "models/gemini-3.8-flash", "tools": TOOLS}
        list(client.chat.completions.create(**given, messages=[user("look up A")], stream=True))
        asked = memory.turns(user="alice", session="s")[-1].payload
        assert [call["function"]["arguments"] for call in asked["tool_calls"]] == [
            '{"q":"京都"}',
            '{"q":"tea"}',
        ]
        client.chat.completions.create(**given, messages=results_for(asked))
        assert gemini.requests[-1].messages[1]["tool_calls"] == asked["tool_calls"]
        second = memory.wrap(other, user="alice", session="s")
        second.chat.completions.create(model="gpt-4o", messages=[user("look up B")], tools=TOOLS)
        assert "signature" not in gpt.requests[-1].body.decode()
        foreign = memory.turns(user="alice", session="s")[-1].payload
        second.chat.completions.create(model="gpt-4o", messages=results_for(foreign), tools=TOOLS)
        client.chat.completions.create(**given, messages=[user("and?")])
        assert "signature-1-0" in gemini.requests[-1].body.decode()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "ollama", "nvidia"])
def test_servers_of_open_models(dialect, stream, tmp_path):
    """A past with all that strict templates refuse, then tool loops by an app that sends the newest only."""
    table = table_for(tmp_path, dialect)
    past = [
        user("one"),
        user("two"),
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}],
            "reasoning_content": "hm",
            "mood": 1,
        },
        {"role": "developer", "content": "In French."},
        user("three"),
    ]
    with (
        convmem.Memory(tmp_path / "a.db", embedder="none", deadline_ms=5_000, dialects=str(table)) as memory,
        LocalProvider(dialect=dialect) as provider,
        connected(provider) as bare,
    ):
        provider.default = thinker
        memory.record(past, user="alice", session="s")
        client = memory.wrap(bare, user="alice", session="s")
        new = [user("look up A")]
        for text in ("B", "look up C", "D", "E"):
            heard(client, stream=stream, model="local", messages=new, tools=TOOLS)
            reply = memory.turns(user="alice", session="s")[-1].payload
            new = results_for(reply) if reply.get("tool_calls") else [user(text)]
        sent = provider.requests[-1]
        ids = [call["id"] for m in sent.messages for call in m.get("tool_calls", ())]
    assert len(ids) == 4
    assert ids == [m["tool_call_id"] for m in sent.messages if m["role"] == "tool"][:4]
    assert ("thought 1" in sent.body.decode()) is (dialect != "nvidia")


HOSTED = sorted({*DIALECTS} - {"deepseek-v3.2"})  # V3.2 is asked for by a date, above


def table_for(tmp_path, dialect):
    """Whatever is on this machine is in one dialect."""
    path = tmp_path / f"{dialect}.toml"
    path.write_text(f'[[match]]\nhost = "127.0.0.1"\ndialect = "{dialect}"\n')
    return path


@pytest.mark.parametrize("dialect", HOSTED)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_the_past_was_requests_are_legal_and_grow(dialect, seed, tmp_path):
    """A random past, and an app that sends the newest only: each request begins with the one before it."""
    rng = random.Random(f"{dialect}-{seed}")
    past = [message for n in range(rng.randint(1, 5)) for message in past_round(rng, n)]
    with (
        convmem.Memory(
            ":memory:", embedder="none", deadline_ms=5_000, dialects=table_for(tmp_path, dialect)
        ) as memory,
        LocalProvider(dialect=dialect) as provider,
        connected(provider) as bare,
    ):
        provider.default = thinker
        memory.record(past, user="alice", session="s")
        client = memory.wrap(bare, user="alice", session="s")
        new, line = [user("look up A")], ""
        for text in ("B", "look up C", "D"):
            heard(client, stream=rng.random() < 0.5, model="any", messages=new, tools=TOOLS)
            sent = [json.dumps(message) for message in provider.requests[-1].messages]
            assert "\n".join(sent).startswith(line)
            line = "\n".join(sent)
            reply = memory.turns(user="alice", session="s")[-1].payload
            new = results_for(reply) if reply.get("tool_calls") else [user(text)]
        assert memory.last_receipt().restored > 0


def past_round(rng, n):
    """A round as some other provider may have left it."""
    said = [user(f"u{n}")] * rng.randint(1, 2)
    if rng.random() < 0.3:
        said.append({"role": rng.choice(["system", "developer"]), "content": "late"})
    if rng.random() < 0.5:
        calls = [
            {"id": f"p{n}", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}
        ]
        said.append({"role": "assistant", "content": None, "tool_calls": calls, "reasoning": "hm"})
        said.append({"role": "tool", "tool_call_id": f"p{n}", "content": "42"})
    said.append({"role": "assistant", "content": f"a{n}", "reasoning_content": "hm", "annotations": []})
    return said


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", HOSTED)
def test_receipts_have_cached_tokens_under_one_name(dialect, stream, tmp_path):
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with (
        convmem.Memory(
            ":memory:", embedder="none", deadline_ms=5_000, dialects=table_for(tmp_path, dialect)
        ) as memory,
        LocalProvider(dialect=dialect) as provider,
        connected(provider) as bare,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        for text in ("word " * 1_500, "and?"):
            reply = client.chat.completions.create(model="any", messages=[user(text)], **options)
            if stream:
                list(reply)
        receipt = memory.receipt_for(reply)
    says_nothing = dialect in {"vllm", "ollama", "nvidia"}
    assert (receipt.cached_tokens is None) is says_nothing
    assert says_nothing or 1_000 < receipt.cached_tokens < receipt.usage["prompt_tokens"]
    assert ("came from the provider's cache" in str(receipt)) is not says_nothing


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", ["deepseek", "llama.cpp"])
def test_signs_of_life_before_a_reply_are_no_part_of_it(dialect, stream, memory):
    with LocalProvider(dialect=dialect) as provider, connected(provider) as bare:
        provider.script(Reply("hello", keep_alive=3))
        client = memory.wrap(bare, user="alice", session="s")
        heard(client, stream=stream, model="any", messages=[user("hi")])
    assert [turn.text for turn in memory.turns(user="alice", session="s")] == ["hi", "hello"]


@pytest.mark.parametrize("dialect", HOSTED)
def test_errors_of_every_shape_arrive_as_without_memory(dialect, memory):
    with LocalProvider(dialect=dialect) as provider, connected(provider) as bare:
        client = memory.wrap(bare, user="alice", session="s")
        given = {"model": "any", "messages": [user("hi")]}
        for status in (400, 402, 422, 429, 503):
            provider.script(Fault.status(status), Fault.status(status))
            with pytest.raises(openai.APIStatusError) as plain:
                bare.chat.completions.create(**given)
            with pytest.raises(openai.APIStatusError) as wrapped:
                client.chat.completions.create(**given)
            assert type(wrapped.value) is type(plain.value)
            assert (wrapped.value.status_code, wrapped.value.body) == (status, plain.value.body)
            assert memory.last_receipt().state == "failed"
