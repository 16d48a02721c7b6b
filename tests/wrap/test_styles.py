"""Five habits of apps, four ways to call: every request legal and whole, one journal for all of them."""

from __future__ import annotations

import asyncio

import openai
import pytest

import convmem
from convmem.testing import Fault, LocalProvider, Reply, ToolCall

CALLS = 20  # the short messages come again three times, and tools are asked three times
TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
]
SYSTEM = {"role": "system", "content": "Answer briefly. 简短回答。"}


def answer(request) -> Reply:
    """A model that looks something up every third time, and answers by what it was told last."""
    last = request.messages[-1]
    if last["role"] == "user" and last["content"].startswith("look up"):
        word = last["content"].split()[-1]
        asked = [
            ToolCall("look_up", {"q": word}, id=f"a-{word}"),
            ToolCall("look_up", {"q": "京都"}, id=f"b-{word}"),
        ]
        return Reply(tool_calls=asked)
    said = last["content"] if last["role"] == "user" else "found it"
    return Reply(f"{said}, 好的" if len(said) % 2 else "ok")


def user_texts():
    """What the person says; short messages come again and again."""
    n = 0
    while True:
        yield ["ok", f"question {n}", "好的", f"look up {n}", "ok"][n % 5]
        n += 1


def results_for(message) -> list[dict]:
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['id']}"}
        for call in message["tool_calls"]
    ]


class App:
    """Holds the true conversation; `habit` says what of it each request carries."""

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self.texts = user_texts()
        self.said: list = []
        self.new: list = []

    def request(self) -> list:
        last = self.said[-1] if self.said else {}
        self.new = (
            results_for(last) if last.get("tool_calls") else [{"role": "user", "content": next(self.texts)}]
        )
        self.said += self.new
        turns = {
            "full": self.said,
            "newest": self.new,
            "truncated": self.said[-5:],
            "objects": [self.as_object(message) for message in self.said],
            "retried": self.said,
        }[self.habit]
        return [SYSTEM, *turns]

    @staticmethod
    def as_object(message):
        if message["role"] != "assistant":
            return message
        return openai.types.chat.ChatCompletionMessage.model_validate(message)

    def hear(self, message: dict) -> None:
        self.said.append({key: value for key, value in message.items() if value is not None})


def from_chunks(chunks) -> dict:
    """A message put together the way an app does it."""
    message: dict = {"role": "assistant", "content": "", "tool_calls": []}
    for chunk in chunks:
        for choice in chunk.choices:
            message["content"] += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                if call.id:
                    function = {"name": call.function.name, "arguments": call.function.arguments or ""}
                    message["tool_calls"].append({"id": call.id, "type": "function", "function": function})
                else:
                    message["tool_calls"][call.index]["function"]["arguments"] += (
                        call.function.arguments or ""
                    )
    if message["tool_calls"]:
        return {**message, "content": message["content"] or None}
    return {"role": "assistant", "content": message["content"]}


async def reply(way: str, sync_client, async_client, **given) -> dict:
    """The reply as a message, asked for in one of four ways."""
    if way == "sync":
        return sync_client.chat.completions.create(**given).choices[0].message.model_dump()
    if way == "stream":
        return from_chunks(list(sync_client.chat.completions.create(**given, stream=True)))
    if way == "async":
        return (await async_client.chat.completions.create(**given)).choices[0].message.model_dump()
    stream = await async_client.chat.completions.create(**given, stream=True)
    return from_chunks([chunk async for chunk in stream])


async def converse(app: App, way: str, sync_client, async_client, *, check, fail=None) -> None:
    for _ in range(CALLS):
        given = {"model": "gpt-4o", "messages": app.request(), "tools": TOOLS}
        if app.habit == "retried":
            fail()
            with pytest.raises(openai.InternalServerError):
                await reply(way, sync_client, async_client, **given)
        message = await reply(way, sync_client, async_client, **given)
        check(app)
        app.hear(message)


def meant(message: dict) -> tuple:
    calls = tuple((c["id"], c["function"]["arguments"]) for c in message.get("tool_calls") or ())
    return (message["role"], message.get("content") or "", calls, message.get("tool_call_id"))


@pytest.fixture(scope="module")
def expected() -> list[tuple]:
    """The conversation as it is without any memory."""
    app = App("full")
    with LocalProvider() as provider, openai.OpenAI(base_url=provider.base_url, api_key="x") as bare:
        provider.default = answer
        asyncio.run(converse(app, "sync", bare, None, check=lambda _: None))
    return [meant(message) for message in app.said]


@pytest.mark.parametrize("way", ["sync", "async", "stream", "async stream"])
@pytest.mark.parametrize("habit", ["full", "newest", "truncated", "objects", "retried"])
def test_every_request_is_whole_and_the_journal_the_same(habit, way, expected, provider, tmp_path):
    provider.default = answer
    app = App(habit)

    def check(app: App) -> None:
        sent = provider.requests[-1].messages  # the strict provider has answered: it is legal
        assert sent[0] == SYSTEM
        assert [meant(m) for m in sent[1:]] == [meant(m) for m in app.said]
        assert memory.last_receipt().journaled or way.startswith("async")

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare:
            wrapped = memory.wrap(bare, user="alice", session="s")
            await converse(
                app, way, client, wrapped, check=check, fail=lambda: provider.script(Fault.status(500))
            )

    with (
        convmem.Memory(tmp_path / "chat.db", deadline_ms=10_000, embedder="none") as memory,
        openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0) as bare,
    ):
        client = memory.wrap(bare, user="alice", session="s")
        asyncio.run(run())
        journal = memory.turns(user="alice", session="s")
        everything = memory.turns(user="alice", session="s", branches=True)
    assert [meant(turn.payload) for turn in journal] == expected
    assert len(everything) == len(journal), "nothing twice"
    assert {turn.state for turn in journal} == {"answered"}
