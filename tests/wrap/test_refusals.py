"""A provider refuses what memory made of a call: it is sent once more, and no session is stuck."""

from __future__ import annotations

import asyncio
import time

import openai
import pytest

import convmem
from convmem.abilities import EpochRef
from convmem.protocols import SessionRef
from convmem.testing import LocalProvider, Reply, ToolCall
from convmem.testing.provider import Fault

MODEL = "house-model"


@pytest.fixture
def refusing():
    with LocalProvider(dialect="openai") as provider:
        yield provider


@pytest.fixture
def memory(tmp_path):
    with convmem.Memory(tmp_path / "chat.db", embedder="none", deadline_ms=20_000) as opened:
        yield opened


@pytest.fixture
def connect(refusing):
    with openai.OpenAI(base_url=refusing.base_url, api_key="any", max_retries=0) as bare:
        yield lambda memory, session="crates": memory.wrap(bare, user="ola", session=session)


def ask(client, text, **options):
    message = {"role": "user", "content": text}
    return client.chat.completions.create(model=MODEL, messages=[message], **options)


def texts(request):
    return [message["content"] for message in request.messages]


def too_long(limit):
    """A provider whose model takes so many tokens, four characters each."""

    def answer(request):
        tokens = sum(len(text) for text in texts(request)) / 4
        if tokens <= limit:
            return Reply("Noted.")
        said = f"This model's maximum context length is {limit} tokens."
        said += f" However, you requested {tokens:.0f} tokens."
        return Fault.status(400, said, error={"code": "context_length_exceeded"})

    return answer


def test_a_named_limit_is_learnt_and_the_call_sent_within_it(refusing, connect, memory, tmp_path):
    refusing.default = too_long(4_096)
    client = connect(memory)
    receipts = [
        memory.receipt_for(ask(client, f"Crate {n}: " + "pears from the hill. " * 60)) for n in range(24)
    ]
    refused = [r for r in receipts if any("refused the request for its length" in note for note in r.notes)]
    assert len(refused) == 1, "it is learnt once"
    assert "its limit is 4096 tokens" in refused[0].notes[-1]
    assert refused[0].cut
    assert refused[0].complete, "what left the window is summarized, as the policy would have it"
    assert all(receipt.journaled and (receipt.restored or receipt.tokens.summary) for receipt in receipts[1:])
    memory.close()
    with convmem.Memory(tmp_path / "chat.db", embedder="none", deadline_ms=20_000) as later:
        again = connect(later, session="others")
        before = len(refusing.requests)
        for n in range(12):
            ask(again, f"Basket {n}: " + "plums from the valley. " * 90)
        assert len(refusing.requests) == before + 12, "another process knows the limit"


def test_a_limit_without_a_number_makes_the_request_shorter(refusing, connect, memory):
    def answer(request):
        if sum(map(len, texts(request))) > 9_000:
            return Fault.status(400, "Your input exceeds the context window of this model.")
        return Reply("Noted.")

    refusing.default = answer
    client = connect(memory)
    for n in range(12):
        receipt = memory.receipt_for(ask(client, f"Crate {n}: " + "pears from the hill. " * 60))
    assert receipt.restored or receipt.tokens.summary
    assert receipt.journaled


def test_what_does_not_fit_by_itself_is_the_callers(refusing, connect, memory):
    refusing.default = too_long(200)
    client = connect(memory)
    ask(client, "A short one.")
    with pytest.raises(openai.BadRequestError, match="maximum context length is 200"):
        ask(client, "A long one. " * 200)
    assert memory.last_receipt().state == "failed"
    ask(client, "And a short one again.")
    assert texts(refusing.requests[-1])[-1] == "And a short one again."


def test_a_named_message_is_left_out_with_its_round(refusing, connect, memory):
    def answer(request):
        bad = next((i for i, text in enumerate(texts(request)) if text == "Noted: blue."), None)
        if bad is None:
            return Reply("Noted: blue." if "blue" in texts(request)[-1] else "Noted.")
        return Fault.status(
            400, f"Invalid value for messages[{bad}].content", error={"param": f"messages[{bad}]"}
        )

    refusing.default = answer
    client = connect(memory)
    ask(client, "The first crate is red.")
    ask(client, "The second crate is blue.")
    receipt = memory.receipt_for(ask(client, "The third crate is green."))
    assert texts(refusing.requests[-1]) == [
        "The first crate is red.", "Noted.", "The third crate is green.",
    ]  # fmt: skip
    assert receipt.notes[-1].startswith("the provider refused a message that memory had put back")
    assert not receipt.complete
    count = len(refusing.requests)
    receipt = memory.receipt_for(ask(client, "The fourth crate is white."))
    assert len(refusing.requests) == count + 1, "it is not sent again"
    assert not receipt.complete, "and the receipt goes on saying so"
    assert [t.text for t in memory.turns(user="ola", session="crates")][2:4] == [
        "The second crate is blue.", "Noted: blue.",
    ]  # fmt: skip


def test_what_is_refused_without_a_word_goes_as_it_was_made_and_is_not_sent_again(refusing, connect, memory):
    def answer(request):
        said = texts(request)
        if "The first crate is red." in said and len(said) > 1:
            return Fault.status(400, "The messages parameter is illegal.")
        return Reply("Noted.")

    refusing.default = answer
    client = connect(memory)
    ask(client, "The first crate is red.")
    receipt = memory.receipt_for(ask(client, "The second crate is blue."))
    assert texts(refusing.requests[-1]) == ["The second crate is blue."]
    assert receipt.notes[-1].endswith("sent again as it was made")
    assert not receipt.complete
    assert (receipt.restored, receipt.recalled) == (0, ())
    which = EpochRef(SessionRef("ola", "crates"), "127.0.0.1", MODEL)
    while memory._store.epoch(which) is None:  # a new epoch begins behind the refused rounds, soon
        time.sleep(0.01)
    count = len(refusing.requests)
    receipt = memory.receipt_for(ask(client, "The third crate is green."))
    assert len(refusing.requests) == count + 1, "the session is not stuck, nor asked for twice again"
    sent = texts(refusing.requests[-1])
    assert len(sent) == 3
    assert sent[0].endswith("The second crate is blue.")
    assert sent[2].endswith("The third crate is green.")
    assert "The first crate is red." in str(sent), "what is not sent as messages is summarized and quoted"


@pytest.mark.parametrize("status", [400, 422])
def test_a_fault_of_the_callers_is_raised_as_the_bare_client_raises_it(refusing, connect, memory, status):
    client = connect(memory)
    ask(client, "The first crate is red.")
    count = len(refusing.requests)
    refusing.script(
        *[Fault.status(status, "temperature must be at most 2", error={"param": "temperature"})] * 2
    )
    with pytest.raises(openai.APIStatusError) as raised:
        ask(client, "The second crate is blue.")
    assert raised.value.status_code == status
    assert len(refusing.requests) <= count + 2, "once more at most"


def test_nothing_is_sent_again_that_memory_left_alone(refusing, connect, memory):
    client = connect(memory)
    refusing.script(Fault.status(400, "The messages parameter is illegal."))
    with pytest.raises(openai.BadRequestError):
        ask(client, "The first crate is red.")
    assert len(refusing.requests) == 1


@pytest.mark.parametrize("status", [401, 402, 404, 409, 429, 500])
def test_other_errors_are_not_met_by_sending_again(refusing, connect, memory, status):
    client = connect(memory)
    ask(client, "The first crate is red.")
    count = len(refusing.requests)
    refusing.script(Fault.status(status, "no"))
    with pytest.raises(openai.APIStatusError):
        ask(client, "The second crate is blue.")
    assert len(refusing.requests) == count + 1


def test_a_stream_and_an_async_call_are_sent_once_more_too(refusing, tmp_path):
    refusing.default = too_long(4_096)

    async def talk():
        async with (
            convmem.AsyncMemory(tmp_path / "async.db", embedder="none", deadline_ms=20_000) as memory,
            openai.AsyncOpenAI(base_url=refusing.base_url, api_key="any", max_retries=0) as bare,
        ):
            client = memory.wrap(bare, user="ola", session="crates")
            said = []
            for n in range(16):
                message = {"role": "user", "content": f"Crate {n}: " + "pears from the hill. " * 60}
                stream = await client.chat.completions.create(model=MODEL, messages=[message], stream=True)
                said.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
            return said, memory.receipt_for(stream)

    said, receipt = asyncio.run(talk())
    assert said == ["Noted."] * 16
    assert receipt.journaled
    assert receipt.complete


def test_a_server_that_asks_for_thoughts_gets_them_from_then_on(memory):
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    with (
        LocalProvider(dialect="deepseek") as strict,
        openai.OpenAI(base_url=strict.base_url, api_key="any", max_retries=0) as bare,
    ):
        client = memory.wrap(bare, user="ola", session="crates")
        strict.script(Reply(tool_calls=[ToolCall("f", {}, id="c1")], reasoning_content="A tool will do."))
        ask(client, "Which crate is red?", tools=tools)
        result = {"role": "tool", "tool_call_id": "c1", "content": "the first"}
        reply = client.chat.completions.create(model=MODEL, messages=[result], tools=tools)
        receipt = memory.receipt_for(reply)
        assert receipt.notes[-1].startswith("the provider refused how thoughts were put back")
        assert receipt.complete
        assert strict.requests[-1].messages[1]["reasoning_content"] == "A tool will do."
        count = len(strict.requests)
        ask(client, "And which is blue?", tools=tools)
        assert len(strict.requests) == count + 1, "it is known now"


def test_the_result_of_a_tool_is_not_sent_alone(refusing, connect, memory):
    client = connect(memory)
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    refusing.script(Reply(tool_calls=[ToolCall("f", {}, id="c1")]), Fault.status(400, "It is illegal."))
    ask(client, "Which crate is red?", tools=tools)
    count = len(refusing.requests)
    with pytest.raises(openai.BadRequestError, match="It is illegal"):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "tool", "tool_call_id": "c1", "content": "one"}], tools=tools
        )
    assert len(refusing.requests) == count + 1
