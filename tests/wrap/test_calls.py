"""Calls: whose memory, what memory may do, and what happens when things go wrong."""

from __future__ import annotations

import asyncio
import threading

import openai
import pytest

import convmem
from convmem.errors import JournalError, ScopeError, StoreUnavailableError
from convmem.stores.memory import InMemoryStore
from convmem.testing import Fault, Reply


def say(client, text="hi", **given):
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **given)


def texts(memory, **scope):
    return [turn.text for turn in memory.turns(**scope)]


# Whose memory.


def test_headers_win_over_the_context_and_the_context_over_the_wrap(bare, memory, provider):
    client = memory.wrap(bare, user="wrap", session="w")
    say(client)
    with memory.scope(user="context"):
        say(client)
        with memory.scope(session="inner"):
            say(client)
        say(client, extra_headers={"X-Convmem-User": "header", "x-convmem-session": "h", "X-Other": "1"})
    seen = [(row.user, row.name) for row in memory.sessions()]
    assert seen == [("wrap", "w"), ("context", "w"), ("context", "inner"), ("header", "h")]
    assert provider.requests[-1].headers["x-other"] == "1"
    assert not [name for name in provider.requests[-1].headers if name.startswith("x-convmem")]


def test_headers_of_the_client_win_over_the_wrap_and_are_not_sent(provider, memory):
    headers = {"X-Convmem-User": "client", "x-other": "1"}
    with openai.OpenAI(base_url=provider.base_url, api_key="x", default_headers=headers) as bare:
        client = memory.wrap(bare, user="wrap", session="s")
        say(client)
        say(client.with_options(default_headers={"x-convmem-session": "t"}))
        say(client.with_options(set_default_headers={"x-other": "1"}))
        say(memory.wrap(client, session="again"))
        say(client, extra_headers={"x-convmem-user": "call"})
        with memory.scope(user="context"):
            say(client)
        say(client.with_options(default_headers={"x-convmem-mode": "off"}))
        client.models.list()
        with pytest.raises(ScopeError, match="x-convmem-mod"):
            client.with_options(default_headers={"x-convmem-mod": "off"})
        assert dict(bare._custom_headers) == headers, "the client is as it was"
    seen = [(row.user, row.name, row.turns) for row in memory.sessions()]
    whose = ["client s", "client t", "wrap s", "client again", "call s", "context s"]
    assert [f"{user} {name}" for user, name, turns in seen if turns == 2] == whose
    assert all(request.headers["x-other"] == "1" for request in provider.requests)
    assert not [name for r in provider.requests for name in r.headers if name.startswith("x-convmem")]


@pytest.mark.parametrize("header", ["x-convmem-user", "x-convmem-session", "x-convmem-mode"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_header_is_an_error_and_nothing_is_sent(client, provider, header, value):
    with pytest.raises(ScopeError, match=header):
        say(client, extra_headers={header: value})
    assert not provider.requests


@pytest.mark.parametrize("header", ["x-convmem-sesion", "X-Convmem-Mod", "x-convmem-"])
def test_a_misspelt_header_is_an_error_and_nothing_is_sent(client, provider, header):
    with pytest.raises(ScopeError, match=f"{header}.*x-convmem-user, x-convmem-session, x-convmem-mode"):
        say(client, extra_headers={header: "kyoto"})
    assert not provider.requests


@pytest.mark.parametrize(
    "given", [{"user": ""}, {"session": " "}, {"user": 7}, {"mode": "always"}, {"user": "\ud800"}]
)
def test_a_scope_that_cannot_be_one(memory, bare, given):
    with pytest.raises(ScopeError):
        memory.wrap(bare, **given)


def test_a_body_field_never_names_the_user(bare, memory):
    say(memory.wrap(bare, session="s"), user="someone")
    assert [row.user for row in memory.sessions()] == [None]


def test_without_a_session_a_history_finds_its_own(bare, memory):
    client = memory.wrap(bare, user="alice")
    history = []
    for text in ("hi", "ok", "ok"):
        history.append({"role": "user", "content": text})
        reply = client.chat.completions.create(model="m", messages=history)
        history.append({"role": "assistant", "content": reply.choices[0].message.content})
    assert [row.turns for row in memory.sessions()] == [6]
    say(client, "hi")
    assert len(memory.sessions()) == 2
    assert "no session was named" in memory.last_receipt().notes[0]


def test_two_chats_of_one_user_that_begin_alike_stay_apart(bare, memory):
    client = memory.wrap(bare, user="alice")
    dogs, cats = [], []
    for history, text in ((dogs, "hi"), (dogs, "dogs"), (cats, "hi"), (dogs, "more dogs"), (cats, "cats")):
        history.append({"role": "user", "content": text})
        reply = client.chat.completions.create(model="m", messages=history)
        history.append({"role": "assistant", "content": reply.choices[0].message.content})
    said = sorted(texts(memory, user="alice", session=row.name)[::2] for row in memory.sessions())
    assert said == [["hi", "cats"], ["hi", "dogs", "more dogs"]]


def test_without_a_user_two_people_who_begin_alike_stay_apart(bare, memory, provider):
    client = memory.wrap(bare)
    began = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "echo: hi"}]
    for secret in ("my pin is 1234", "what is my pin?"):
        say(client, "hi")
        client.chat.completions.create(model="m", messages=[*began, {"role": "user", "content": secret}])
    assert [row.turns for row in memory.sessions()] == [4, 4]
    assert b"1234" not in provider.requests[-1].body
    tail = [began[1], {"role": "user", "content": "and now?"}]
    client.chat.completions.create(model="m", messages=tail)
    assert provider.requests[-1].messages == tail, (
        "a truncated history of nobody in particular is not completed"
    )


def test_users_with_the_same_session_name_stay_apart(bare, memory, provider):
    for user in ("alice", "bob", None):
        say(memory.wrap(bare, user=user, session="s"), f"I am {user}")
    say(memory.wrap(bare, user="bob", session="s"), "who am I?")
    assert [m["content"] for m in provider.requests[-1].messages] == [
        "I am bob",
        "echo: I am bob",
        "who am I?",
    ]


# What memory may do.


def test_off_is_straight_through(client, memory):
    say(client, extra_headers={"x-convmem-mode": "off"})
    assert memory.stats().turns == memory.stats().calls == 0
    receipt = memory.last_receipt()
    assert (receipt.mode, receipt.state, receipt.journaled) == ("off", "answered", False)
    assert "memory is off" in receipt.notes[0]
    assert memory.receipts() == []


def test_read_uses_and_does_not_journal(client, memory, provider):
    say(client, "my name is Bo")
    with memory.scope(mode="read"):
        say(client, "title?")
    assert [m["content"] for m in provider.requests[-1].messages] == [
        "my name is Bo",
        "echo: my name is Bo",
        "title?",
    ]
    assert not memory.last_receipt().journaled
    assert memory.stats().turns == 2


def test_write_journals_and_adds_nothing(client, memory, provider):
    say(client, "one")
    with memory.scope(mode="write"):
        say(client, "two")
    assert [m["content"] for m in provider.requests[-1].messages] == ["two"]
    assert texts(memory, user="alice", session="s") == ["one", "echo: one", "two", "echo: two"]


# What is kept of a call.


def test_the_system_text_is_a_setting_and_no_turn(client, memory, provider):
    for text in ("one", "two"):
        client.chat.completions.create(
            model="m", messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]
        )
    assert [turn.role for turn in memory.turns(user="alice", session="s")] == ["user", "assistant"] * 2
    assert [m["role"] for m in provider.requests[-1].messages] == ["system", "user", "assistant", "user"]


def test_all_choices_are_kept_and_the_first_goes_on(client, memory, provider):
    provider.script(Reply(choices=[Reply("A"), Reply("B"), Reply("B")]))
    say(client, "pick", n=3)
    assert texts(memory, user="alice", session="s", branches=True) == ["pick", "A", "B", "B"]
    assert texts(memory, user="alice", session="s") == ["pick", "A"]
    picked = [{"role": "user", "content": "pick"}, {"role": "assistant", "content": "B"}]
    client.chat.completions.create(model="m", messages=[*picked, {"role": "user", "content": "more"}])
    assert texts(memory, user="alice", session="s") == ["pick", "B", "more", "echo: more"]


def test_extra_body_is_merged_before_history_is_put_back(client, provider):
    say(client, "one")
    say(client, "two", extra_body={"metadata": {"k": "v"}, "temperature": 0.1})
    body = provider.requests[-1].json
    assert len(body["messages"]) == 3
    assert (body["metadata"], body["temperature"]) == ({"k": "v"}, 0.1)


def test_raw_responses_are_raw_and_remembered(client, memory):
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "hi"}]
    )
    assert raw.headers["content-type"].startswith("application/json")
    assert memory.receipt_for(raw).journaled
    assert raw.parse().choices[0].message.content == "echo: hi"
    assert texts(memory, user="alice", session="s") == ["hi", "echo: hi"]


def test_a_reply_the_callers_parser_refuses_is_kept(client, memory, provider):
    provider.script(Reply("not finished", finish_reason="length"))
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="m", messages=[{"role": "user", "content": "hi"}])
    assert texts(memory, user="alice", session="s") == ["hi", "not finished"]


# When things go wrong at the provider.


@pytest.mark.parametrize("status", [400, 401, 402, 429, 500, 503])
def test_provider_errors_pass_unchanged_and_the_retry_is_the_same_turn(
    provider, bare, client, memory, status
):
    errors = []
    for one in (bare, client):
        provider.script(Fault.status(status))
        with pytest.raises(openai.APIStatusError) as caught:
            say(one, "again")
        errors.append((type(caught.value), caught.value.status_code, str(caught.value)))
    assert errors[0] == errors[1]
    memory.flush()
    (failed,) = memory.turns(user="alice", session="s", branches=True)
    assert failed.state == "failed"
    assert memory.turns(user="alice", session="s") == [failed], (
        "what was typed is not lost to who reads it back"
    )
    say(client, "again")
    first = memory.turns(user="alice", session="s")[0]
    assert (first.id, first.state) == (failed.id, "answered")
    assert memory.stats().turns == 2


def test_the_sdks_own_retries_are_one_call(provider, memory):
    with openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=2) as bare:
        provider.script(Fault.status(500, headers={"retry-after-ms": "1"}))
        say(memory.wrap(bare, user="alice", session="s"))
    assert len(provider.requests) == 2
    assert (memory.stats().turns, memory.stats().calls) == (2, 1)


def test_what_failed_is_not_put_back(client, memory, provider):
    provider.script(Fault.status(500))
    with pytest.raises(openai.InternalServerError):
        say(client, "lost words")
    say(client, "next")
    assert [m["content"] for m in provider.requests[-1].messages] == ["next"]


def refused(client, provider, *said):
    for text in said:
        provider.script(Fault.status(503))
        with pytest.raises(openai.InternalServerError):
            say(client, text)


def test_a_conversation_ends_with_what_was_refused_until_something_is_answered(client, memory, provider):
    def told():
        return [(turn.text, turn.state) for turn in memory.turns(user="alice", session="s")]

    refused(client, provider, "我的第一句", "another try")
    assert told() == [("我的第一句", "failed"), ("another try", "failed")]
    say(client, "third")
    answered = [("third", "answered"), ("echo: third", "answered")]
    assert told() == answered
    refused(client, provider, "fourth")
    assert told() == [*answered, ("fourth", "failed")]
    assert [turn.text for turn in memory.turns(user="alice")] == ["third", "echo: third", "fourth"]
    say(client, "fourth")
    assert told() == [*answered, ("fourth", "answered"), ("echo: fourth", "answered")]


def test_a_message_that_awaits_its_reply_is_in_the_conversation(client, memory, provider):
    say(client, "first")
    with provider.hold():
        asking = threading.Thread(target=say, args=(client, "second"))
        asking.start()
        provider.wait_for(2)
        memory.flush()
        last = memory.turns(user="alice", session="s")[-1]
        assert (last.text, last.state) == ("second", "pending")
    asking.join()
    assert texts(memory, user="alice", session="s") == ["first", "echo: first", "second", "echo: second"]


def test_an_edit_that_was_refused_leaves_the_conversation_as_it_was(bare, memory, provider):
    client = memory.wrap(bare, user="alice", session="s")
    said = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "echo: hello"}]
    say(client, "hello")
    say(client, "how are you?")
    provider.script(Fault.status(500))
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model="m", messages=[*said, {"role": "user", "content": "who are you?"}]
        )
    assert texts(memory, user="alice", session="s") == [
        "hello",
        "echo: hello",
        "how are you?",
        "echo: how are you?",
    ]
    assert "who are you?" in texts(memory, user="alice", session="s", branches=True)


def test_two_messages_in_a_row_stand_one_after_the_other_with_their_answers(client, memory, provider):
    say(client, "begin")
    with provider.hold():
        threads = [threading.Thread(target=say, args=(client, text)) for text in ("left", "right")]
        for thread in threads:
            thread.start()
        provider.wait_for(3)
    for thread in threads:
        thread.join()
    for request in provider.requests[1:]:
        assert len(request.messages) == 3
    turns = memory.turns(user="alice", session="s", branches=True)
    assert sorted(t.text for t in turns) == [
        "begin",
        "echo: begin",
        "echo: left",
        "echo: right",
        "left",
        "right",
    ]
    assert turns == memory.turns(user="alice", session="s"), "nothing is left on a branch"
    said = [turn.text for turn in turns[2:]]
    assert {*said[:2]} == {"left", "right"}
    assert {*said[2:]} == {"echo: left", "echo: right"}


def test_cancelling_fails_the_turn_and_nothing_else(provider, memory):
    async def go() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x") as bare:
            client = memory.wrap(bare, user="alice", session="s")
            with provider.hold():
                call = asyncio.create_task(say(client, "never mind"))
                await asyncio.to_thread(provider.wait_for, 1)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            await say(client, "next")

    asyncio.run(go())
    memory.flush()
    turns = memory.turns(user="alice", session="s", branches=True)
    assert [(t.text, t.state) for t in turns] == [
        ("never mind", "failed"),
        ("next", "answered"),
        ("echo: next", "answered"),
    ]


# When things go wrong on memory's side.


class Broken(InMemoryStore):
    """A store that can be told to refuse."""

    refusing = False

    def write(self, batch):
        if self.refusing:
            raise StoreUnavailableError("no room left")
        return super().write(batch)


def test_a_store_in_trouble_lets_the_call_go_and_catches_up(bare, provider):
    store, events = Broken(), []
    with convmem.Memory(store, hooks=[events.append], embedder="none") as memory:
        client = memory.wrap(bare, user="alice", session="s")
        store.refusing = True
        responses = [say(client, text) for text in ("one", "two")]
        for response in responses:
            receipt = memory.receipt_for(response)
            assert not receipt.journaled
            assert "unjournaled: no room left" in " ".join(receipt.notes)
        assert memory.stats().waiting == 4
        with pytest.raises(JournalError, match="4 writes are waiting"):
            memory.flush()
        store.refusing = False
        memory.flush()
        assert texts(memory, user="alice", session="s") == ["one", "echo: one", "two", "echo: two"]
        assert all(memory.receipt_for(response).journaled for response in responses)
        kinds = [event.kind for event in events]
        assert "degraded" in kinds
        assert kinds.count("healed") == 1


def test_on_error_raise_sends_nothing_unjournaled(bare, provider):
    store = Broken()
    with convmem.Memory(store, on_error="raise", embedder="none") as memory:
        client = memory.wrap(bare, user="alice", session="s")
        store.refusing = True
        with pytest.raises(JournalError, match="no room left"):
            say(client)
        assert not provider.requests
        store.refusing = False


def test_on_error_raise_hands_over_a_reply_that_cannot_be_journaled(bare, provider):
    store = Broken()
    with convmem.Memory(store, on_error="raise", embedder="none") as memory:
        client = memory.wrap(bare, user="alice", session="s")

        def answer(_):
            store.refusing = True
            return Reply("paid for")

        provider.script(answer)
        with pytest.raises(JournalError) as caught:
            say(client)
        assert caught.value.response.choices[0].message.content == "paid for"
        store.refusing = False


def test_a_closed_memory_lets_the_client_go_on(bare, tmp_path, provider):
    memory = convmem.Memory(tmp_path / "x.db", embedder="none")
    client = memory.wrap(bare, user="alice", session="s")
    memory.close()
    memory.close()
    assert say(client).choices[0].message.content == "echo: hi"
    assert not memory.last_receipt().journaled


def test_a_failing_hook_breaks_nothing(bare, tmp_path, provider):
    def hook(event):
        raise RuntimeError("mine")

    with convmem.Memory(tmp_path / "x.db", hooks=[hook], embedder="none") as memory:
        assert say(memory.wrap(bare, user="alice", session="s"))
        assert memory.last_receipt().journaled


def test_receipts_are_exact_under_threads(client, memory):
    found = {}

    def work(n):
        response = say(client, f"text {n}", extra_headers={"x-convmem-session": f"s{n}"})
        found[n] = (memory.last_receipt(), memory.receipt_for(response))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, (last, own) in found.items():
        assert last == own
        assert own.session == f"s{n}"
    assert memory.last_receipt() is None
    assert memory.receipt_for(object()) is None
