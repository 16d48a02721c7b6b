"""A LangChain model whose client was wrapped remembers through every one of its ways to be called."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

import convmem
from convmem.testing import Reply, ToolCall
from langchain_memory import with_memory


def test_every_way_to_call_it_is_journaled(keyed):
    model = ChatOpenAI(model="deepseek-flash", base_url=keyed.base_url)
    restored = []
    with convmem.Memory(
        ":memory:", hooks=[lambda event: restored.append(getattr(event, "restored", None))]
    ) as memory:
        chat = with_memory(model, memory, user="alice")
        chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{said}")]) | chat

        async def awaited():
            await chain.ainvoke({"said": "Three."})
            assert [chunk async for chunk in chat.astream("四。")]
            await model.root_async_client.close()

        with memory.scope(session="s"):
            chat.invoke("One.")
            assert list(chain.stream({"said": "Two."}))
            asyncio.run(awaited())
        turns = memory.turns(user="alice", session="s")
        assert [turn.text for turn in turns if turn.role == "user"] == ["One.", "Two.", "Three.", "四。"]
        assert [turn.role for turn in turns] == ["user", "assistant"] * 4
        sent = [message["content"] for message in keyed.requests[-1].messages if message["role"] == "user"]
        assert sent == ["One.", "Two.", "Three.", "四。"]

        assert [n for n in restored if n is not None] == [0, 2, 4, 6], "hooks see what contexts hide"

        before = len(keyed.requests)
        model.invoke("To the model as it was.")
        assert len(keyed.requests[before].messages) == 1
        assert len(memory.turns(user="alice")) == 8


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_tools_are_called_with_memory(keyed, responses):
    def code_of(door: str) -> str:
        """The code of a door."""
        return f"{door}: 4482"

    keyed.script(Reply(tool_calls=[ToolCall("code_of", {"door": "shed"})]), Reply("It is 4482."))
    model = ChatOpenAI(model="gpt-6-luna", base_url=keyed.base_url, use_responses_api=responses)
    with convmem.Memory(":memory:") as memory, memory.scope(user="alice", session="s"):
        chat = with_memory(model, memory).bind_tools([code_of])
        called = chat.invoke("What opens the shed?")
        (call,) = called.tool_calls
        result = {"role": "tool", "tool_call_id": call["id"], "content": code_of(**call["args"])}
        assert chat.invoke([("user", "What opens the shed?"), called, result]).text == "It is 4482."
        roles = [turn.role for turn in memory.turns(user="alice", session="s")]
        assert roles == ["user", "assistant", "tool", "assistant"]
