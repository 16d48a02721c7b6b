"""What only Responses have: state that the provider keeps, the background, items that are no message."""

from __future__ import annotations

import re

import openai
import pytest

import convmem
from convmem.testing import Fault, Reply, ToolCall

LOCKER = "My locker at the pool is number 7719."
WHICH = "Which locker at the pool is mine?"
IMAGE = "data:image/png;base64," + "A" * 2_000


@pytest.fixture
def events():
    return []


@pytest.fixture
def memory(tmp_path, events):
    with convmem.Memory(
        tmp_path / "chat.db", deadline_ms=10_000, embedder="none", hooks=[events.append]
    ) as opened:
        yield opened


@pytest.fixture
def anas(memory, bare):
    """A client without a session of its own."""
    return memory.wrap(bare, user="ana")


def respond(client, given="hi", **more):
    return client.responses.create(model="gpt-4o", input=given, **more)


def told(memory, session=None, **more):
    memory.flush()
    names = [session] if session else [row.name for row in memory.sessions(user="ana")]
    return [
        [(turn.text, turn.state) for turn in memory.turns(user="ana", session=name, **more)] for name in names
    ]


# State that the provider keeps.


def test_a_response_is_continued_where_it_was_journaled(anas, memory, provider, bare):
    provider.default = lambda request: Reply(f"re: {request.newest_user_text.splitlines()[-1]}")
    one = respond(anas, "one")
    respond(anas, "another conversation")
    two = respond(anas, "two", previous_response_id=one.id)
    respond(anas, "again two", previous_response_id=one.id)
    respond(anas, "three", previous_response_id=two.id)
    assert told(memory) == [
        [(text, "answered") for text in ("one", "re: one", "two", "re: two", "three", "re: three")],
        [("another conversation", "answered"), ("re: another conversation", "answered")],
    ]
    (sent,) = provider.requests[-1].items
    assert sent["content"].endswith("three"), "no history is sent"
    assert memory.last_receipt().restored == 0


def test_it_is_known_after_a_restart(bare, tmp_path, provider):
    previous = None
    for text in ("one", "two", "three"):
        with convmem.Memory(tmp_path / "x.db", deadline_ms=10_000, embedder="none") as memory:
            more = {"previous_response_id": previous} if previous else {}
            previous = respond(memory.wrap(bare, user="ana"), text, **more).id
            assert memory.last_receipt().notes[1:] == ()
    with convmem.Memory(tmp_path / "x.db", embedder="none") as memory:
        assert [row.turns for row in memory.sessions(user="ana")] == [6]


def test_recall_is_all_that_is_added(anas, memory, provider):
    memory.record([{"role": "user", "content": LOCKER}], user="ana", session="spring")
    memory.flush()
    first = respond(anas, "Hello!")
    assert provider.requests[-1].json["input"] == "Hello!"
    respond(anas, WHICH, previous_response_id=first.id, instructions="Be brief.")
    body = provider.requests[-1].json
    assert "7719" in body["input"]
    assert body["input"].endswith(WHICH)
    assert "Hello" not in body["input"]
    assert body["instructions"] == "Be brief."
    assert told(memory)[-1][2] == (WHICH, "answered"), "the block is not journaled"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "user", "content": WHICH, "status": "completed", "id": "msg_3"},
        {"role": "user", "content": WHICH},
        {"content": WHICH, "role": "user", "type": "message"},
        {"role": "user", "content": [{"type": "input_text", "text": WHICH}], "id": "msg_3"},
    ],
)
def test_an_item_that_is_quoted_into_keeps_its_own_shape(anas, memory, provider, item):
    memory.record([{"role": "user", "content": LOCKER}], user="ana", session="spring")
    memory.flush()
    respond(anas, [item])
    (sent,) = provider.requests[-1].items
    assert list(sent) == list(item)
    assert {**sent, "content": None} == {**item, "content": None}
    assert type(sent["content"]) is type(item["content"])
    if isinstance(item["content"], str):
        assert sent["content"].endswith(f"\n\n{WHICH}")
        assert "7719" in sent["content"]
    else:
        block, *own = sent["content"]
        assert own == item["content"]
        assert "7719" in block["text"]


def test_what_the_provider_has_is_not_quoted_again(anas, memory, provider):
    first = respond(anas, LOCKER)
    second = respond(anas, WHICH, previous_response_id=first.id)
    assert provider.requests[-1].json["input"] == WHICH
    memory.record([{"role": "user", "content": f"Earlier: {LOCKER}"}], user="ana", session="spring")
    memory.flush()
    third = respond(anas, WHICH, previous_response_id=second.id)
    assert "7719" in provider.requests[-1].json["input"]
    respond(anas, WHICH + " Again.", previous_response_id=third.id)
    assert provider.requests[-1].json["input"] == WHICH + " Again.", "the block is in the provider's history"


@pytest.mark.parametrize("user", ["ana", None])
def test_what_is_not_known_passes_through_with_a_warning(memory, bare, provider, events, user):
    memory.record([{"role": "user", "content": LOCKER}], user="ana", session="spring")
    memory.flush()
    elsewhere = respond(memory.wrap(bare, user="bob"), "a secret of Bob's")
    client = memory.wrap(bare, user=user)
    bodies = []
    for one in (bare, client):
        respond(one, WHICH, previous_response_id=elsewhere.id)
        bodies.append(provider.requests[-1].body)
    assert bodies[0] == bodies[1]
    (note,) = [note for note in memory.last_receipt().notes if "is not known" in note]
    assert elsewhere.id in note
    assert [event.detail for event in events if event.kind == "degraded"] == [note]
    assert memory.last_receipt().journaled
    session = memory.last_receipt().session
    assert [t.text for t in memory.turns(user=user, session=session)] == [WHICH, f"echo: {WHICH}"]


def test_a_conversation_is_a_session(anas, memory, provider, events):
    memory.record([{"role": "user", "content": LOCKER}], user="ana", session="spring")
    memory.flush()
    provider.default = lambda _: Reply("7719")
    conversation = anas.conversations.create()
    respond(anas, WHICH, conversation=conversation.id)
    assert "7719" in provider.requests[-1].json["input"], "it was seen to begin, so it is known"
    respond(anas, "thanks", conversation={"id": conversation.id})
    assert told(memory, conversation.id) == [
        [(text, "answered") for text in (WHICH, "7719", "thanks", "7719")]
    ]
    assert not [event for event in events if event.kind == "degraded"]


def test_a_conversation_with_a_past_of_its_own_is_not_known(anas, bare, memory, provider, events):
    conversation = bare.conversations.create(items=[{"role": "user", "content": "before"}])
    respond(anas, "and now?", conversation=conversation.id)
    assert provider.requests[-1].json["input"] == "and now?"
    assert [event.kind for event in events].count("degraded") == 1
    respond(anas, "and then?", conversation=conversation.id)
    assert [event.kind for event in events].count("degraded") == 1, "now it is known"
    assert len(told(memory, conversation.id)[0]) == 4


def test_calls_and_outputs_one_by_one(anas, memory, provider):
    provider.script(
        Reply("Let me see.", tool_calls=[ToolCall("f", {"q": "京都"}, id="a")]),
        Reply(tool_calls=[ToolCall("g", "free text", id="b", kind="custom")]),
        Reply("done"),
    )
    one = respond(anas, "look")
    two = respond(
        anas, [{"type": "function_call_output", "call_id": "a", "output": "42"}], previous_response_id=one.id
    )
    output = [{"type": "input_text", "text": "43"}]
    respond(
        anas,
        [{"type": "custom_tool_call_output", "call_id": "b", "output": output}],
        previous_response_id=two.id,
    )
    (session,) = memory.sessions(user="ana")
    turns = memory.turns(user="ana", session=session.name)
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert turns[1].payload["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"q":"京都"}'}
    assert turns[3].payload["tool_calls"][0]["custom"] == {"name": "g", "input": "free text"}
    assert turns[4].text == "43"
    with memory.scope(session=session.name):
        respond(anas, "and now all of it")
    kinds = [item.get("type", item.get("role")) for item in provider.requests[-1].items]
    assert kinds == [
        *["user", "assistant", "function_call", "function_call_output"],
        *["custom_tool_call", "custom_tool_call_output", "assistant", "user"],
    ]


# The background, and responses that are asked for again.


def test_a_background_reply_is_journaled_when_it_is_polled(anas, memory, bare, tmp_path):
    begun = respond(anas, "think", background=True)
    assert memory.receipt_for(begun).state == "pending"
    assert memory.receipt_for(begun).journaled
    assert told(memory, branches=True) == [[("think", "pending")]]
    assert anas.responses.retrieve(begun.id).status == "in_progress"
    assert told(memory, branches=True) == [[("think", "pending")]]
    memory.close()
    with convmem.Memory(tmp_path / "chat.db", deadline_ms=10_000, embedder="none") as later:
        client = later.wrap(bare, user="ana")
        assert client.responses.retrieve(begun.id).status == "completed"
        client.responses.retrieve(begun.id)
        assert told(later, branches=True) == [[("think", "answered"), ("echo: think", "answered")]]
        assert later.stats().calls == 1
        respond(client, "and then?", previous_response_id=begun.id)
        assert [row.turns for row in later.sessions(user="ana")] == [4]


def test_polling_through_a_raw_view_counts_too(anas, memory):
    begun = respond(anas, "think", background=True)
    for _ in range(2):
        raw = anas.responses.with_raw_response.retrieve(begun.id)
    assert memory.receipt_for(raw).journaled
    assert told(memory)[0][1] == ("echo: think", "answered")


def test_what_fails_or_is_cancelled_in_the_background(anas, memory, provider):
    provider.script(Fault.status(500, "out of order"))
    lost = respond(anas, "lost", background=True)
    for _ in range(2):
        anas.responses.retrieve(lost.id)
    stopped = respond(anas, "stopped", background=True)
    anas.responses.cancel(stopped.id)
    assert told(memory, branches=True) == [[("lost", "failed")], [("stopped", "failed")]]


def test_a_stream_that_broke_off_is_made_whole_by_retrieving(anas, memory, provider):
    provider.script(Reply("one two three four five six", chunk_size=4))
    stream = respond(anas, "count", stream=True)
    for event in stream:
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta":
            break
    stream.close()
    assert told(memory) == [[("count", "answered"), ("one ", "partial")]]
    anas.responses.retrieve(response_id)
    assert told(memory) == [[("count", "answered"), ("one two three four five six", "answered")]]


def test_a_response_nobody_asked_for_leaves_nothing(anas, bare, memory):
    other = respond(bare, "without memory")
    assert anas.responses.retrieve(other.id).output_text == "echo: without memory"
    with pytest.raises(openai.NotFoundError):
        anas.responses.retrieve("resp_x")
    memory.flush()
    assert memory.stats().turns == 0


def test_read_and_off_journal_no_retrieval(anas, memory):
    begun = respond(anas, "think", background=True)
    for mode in ("off", "read"):
        anas.responses.retrieve(begun.id, extra_headers={"x-convmem-mode": mode})
    assert told(memory, branches=True) == [[("think", "pending")]]


# Items.


def test_what_a_message_cannot_say_is_kept_verbatim(anas, memory, provider):
    provider.script(Reply("京都", reasoning_content="想一想", extra={"phase": "final_answer"}))
    response = respond(anas, "where?")
    (session,) = memory.sessions(user="ana")
    payload = memory.turns(user="ana", session=session.name)[-1].payload
    assert payload["content"] == "京都"
    assert payload["items"] == response.model_dump(exclude_unset=True)["output"]


def test_pictures_and_files_are_the_same_turns_as_in_chat(memory, bare, provider):
    text = {"role": "user", "content": "what is it?"}
    chat = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    items = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
    ]
    asked = {"role": "user", "content": chat}
    client = memory.wrap(bare, user="ana", session="s")
    reply = client.chat.completions.create(model="gpt-4o", messages=[asked]).choices[0].message
    history = [{"role": "user", "content": items}, {"role": "assistant", "content": reply.content}]
    respond(client, [*history, text])
    turns = memory.turns(user="ana", session="s")
    assert [turn.text for turn in turns] == [
        "look\n[image]\n[file]",
        "echo: look",
        "what is it?",
        "echo: what is it?",
    ]
    assert turns[0].payload == asked
    respond(client, "and again?")
    assert provider.requests[-1].items[0]["content"] == items
    client.chat.completions.create(model="gpt-4o", messages=[text])
    assert provider.requests[-1].messages[0] == asked


def test_parts_that_chat_has_no_word_for(memory, bare, provider):
    part = {"type": "input_image", "file_id": "file-7", "detail": "low"}
    client = memory.wrap(bare, user="ana", session="s")
    respond(client, [{"role": "user", "content": [{"type": "input_text", "text": "see"}, part]}])
    respond(client, "again")
    assert provider.requests[-1].items[0]["content"][1] == part
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "and here?"}])
    shown = provider.requests[-1].messages[0]["content"]
    assert shown == [{"type": "text", "text": "see"}, {"type": "text", "text": "[image]"}]
    assert b'"items"' not in provider.requests[-1].body


def test_sdk_objects_may_stand_among_the_items(anas, memory, bare, provider):
    provider.script(Reply(reasoning_content="hm", tool_calls=[ToolCall("f", id="a")]))
    asked = {"role": "user", "content": "look"}
    first = respond(anas, [asked])
    given = [asked, *first.output, {"type": "function_call_output", "call_id": "a", "output": "42"}]
    bodies = []
    for one in (bare, anas):
        respond(one, given)
        bodies.append(provider.requests[-1].body)
    assert bodies[0] == bodies[1]
    assert len(told(memory)) == 1
    assert len(told(memory)[0]) == 4


# What goes straight through.


def test_other_endpoints_of_responses_go_straight_through(anas, bare, memory):
    seen = []
    for client in (bare, anas):
        for ask in (
            lambda c: c.responses.input_items.list("resp_x"),
            lambda c: c.responses.delete("resp_x"),
            lambda c: c.batches.create(input_file_id="f", endpoint="/v1/responses", completion_window="24h"),
            lambda c: c.post("/responses/compact", cast_to=object, body={"model": "m"}),
        ):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(client)
            seen.append(re.sub(r"req_\d+", "", str(caught.value)))
    assert seen[:4] == seen[4:]
    assert memory.stats().turns == 0


@pytest.mark.parametrize("given", [7, [7], [{"type": 7}], [{"content": "no role"}], {"role": "user"}])
def test_inputs_memory_cannot_read_are_the_providers_to_judge(bare, anas, memory, given):
    errors = []
    for one in (bare, anas):
        with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the bare client raises)
            respond(one, given)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]
    assert memory.stats().turns == 0
