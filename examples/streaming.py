"""Async streams: two people chat at the same time, each with a memory of their own.

    python examples/streaming.py

runs it offline, with a stand-in for the model (see offline.py). With a key, a real model answers:

    OPENAI_BASE_URL=https://api.deepseek.com OPENAI_API_KEY=… python examples/streaming.py

OPENAI_MODEL names another model than deepseek-flash.
"""

from __future__ import annotations

import asyncio
import os

from openai import AsyncOpenAI

import convmem
import offline

MODEL = os.environ.get("OPENAI_MODEL", "deepseek-flash")


async def ask(memory: convmem.AsyncMemory, client: AsyncOpenAI, text: str) -> str:
    """Read a stream to its end; the reply is journaled before the last step of the loop returns."""
    answer = ""
    async with await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], stream=True
    ) as stream:
        receipt = memory.receipt_for(stream)  # there before the first word
        print(f"[{receipt.user}] {text}  (recalled: {len(receipt.recalled)})")
        async for chunk in stream:
            if chunk.choices:
                answer += chunk.choices[0].delta.content or ""
    print(f"[{receipt.user}] → {answer}")
    return answer


async def chat(memory: convmem.AsyncMemory, openai: AsyncOpenAI, user: str, fact: str, question: str) -> None:
    """Say something in one session, ask in another, and break a stream off."""
    await ask(memory, memory.wrap(openai, user=user, session="first"), fact)
    await memory.flush()  # a script asks faster than memory reads; people do not
    second = memory.wrap(openai, user=user, session="second")
    await ask(memory, second, question)

    async with await second.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": question}], stream=True
    ) as stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break  # the reader has seen enough; what arrived is kept, as a partial turn
    await memory.flush()
    (*_, last) = await memory.turns(user=user, session="second")
    print(f"[{user}] broken off, {last.state}: {last.text!r}")


async def main() -> None:
    """Two users at once; neither finds anything of the other's."""
    with offline.model():
        # A path instead of ":memory:" keeps it.
        async with AsyncOpenAI() as openai, convmem.AsyncMemory(":memory:") as memory:
            await asyncio.gather(
                chat(memory, openai, "alice", "My locker at the pool is 7719.", "Which locker at the pool?"),
                chat(memory, openai, "小林", "我的车停在B2层37号。", "我的车停在哪里？"),
            )


if __name__ == "__main__":
    asyncio.run(main())
