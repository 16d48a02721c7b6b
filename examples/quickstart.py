"""Two conversations and a restart, offline: the provider runs on this machine.

Run it with `make demo`, or with `python examples/quickstart.py` where convmem and openai are installed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from openai import OpenAI

import convmem
from convmem.testing import LocalProvider, Reply


def ask(client: OpenAI, text: str) -> None:
    """Send the newest message alone, as an app without a history of its own would."""
    reply = client.chat.completions.create(
        model="deepseek-flash", messages=[{"role": "user", "content": text}]
    )
    print(f"\nuser: {text}\nassistant: {reply.choices[0].message.content}")


def show(provider: LocalProvider, memory: convmem.Memory) -> None:
    """What the provider received of the last call, and the receipt of it."""
    print("sent:")
    for message in provider.requests[-1].messages:
        print(f"  {message['role']}: {message['content']}")
    print(f"receipt: {memory.last_receipt()}")


def main() -> None:
    """Chat, restart, go on."""
    with tempfile.TemporaryDirectory() as folder, LocalProvider() as provider:
        file = Path(folder) / "chat.db"
        openai = OpenAI(base_url=provider.base_url, api_key="unused")
        provider.script(Reply("Have a good trip!"), Reply("早上好！"), Reply("On 3 April."))

        with convmem.Memory(file) as memory:
            kyoto = memory.wrap(openai, user="alice", session="kyoto")
            ask(kyoto, "I fly to Kyoto on 3 April.")
            show(provider, memory)
            ask(memory.wrap(openai, user="alice", session="早安"), "早上好")
            show(provider, memory)

        print("\n--- the process ends, another one opens the same file ---")
        with convmem.Memory(file) as memory:
            kyoto = memory.wrap(openai, user="alice", session="kyoto")
            ask(kyoto, "When do I arrive?")
            show(provider, memory)
            for session in memory.sessions(user="alice"):
                print(f"\nsession {session.name}: {session.turns} turns")


if __name__ == "__main__":
    main()
