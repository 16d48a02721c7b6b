"""Memory for a LangChain chat model: the OpenAI client inside it is wrapped, the model is used as before.

    pip install langchain-openai
    python examples/langchain_memory.py

runs it offline, with a stand-in for the model (see offline.py). With a key, a real model answers:

    OPENAI_BASE_URL=https://api.deepseek.com OPENAI_API_KEY=… python examples/langchain_memory.py

OPENAI_MODEL names another model than deepseek-flash.
"""

from __future__ import annotations

import os

from langchain_openai import ChatOpenAI

import convmem
import offline

MODEL = os.environ.get("OPENAI_MODEL", "deepseek-flash")


def with_memory(model: ChatOpenAI, memory: convmem.Memory, *, user: str | None = None) -> ChatOpenAI:
    """A copy of the model that remembers: invoke, stream, their async twins, tools and chains."""
    client = memory.wrap(model.root_client, user=user)
    asynchronous = memory.wrap(model.root_async_client, user=user)
    return model.model_copy(
        update={
            "root_client": client,
            "client": client.chat.completions,
            "root_async_client": asynchronous,
            "async_client": asynchronous.chat.completions,
        }
    )


def main() -> None:
    """Two sessions; the second is asked what the first was told.

    Chains work the same, but run each step in a context of its own, whose `last_receipt` is not seen outside:
    there, take a hook to watch what is recalled.
    """
    with offline.model(), convmem.Memory(":memory:") as memory:  # a path keeps it
        chat = with_memory(ChatOpenAI(model=MODEL), memory, user="alice")

        with memory.scope(session="garden"):
            print(chat.invoke("The gate of the allotment opens with 4482.").text)
        memory.flush()  # a script asks faster than memory reads; people do not

        with memory.scope(session="today"):
            for chunk in chat.stream("What opens the gate of the allotment?"):
                print(chunk.text, end="", flush=True)
            print(f"\n\n{memory.last_receipt()}")


if __name__ == "__main__":
    main()
