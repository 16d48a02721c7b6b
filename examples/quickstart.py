"""A conversation, a restart, and another conversation that knows what was said in the first.

    python examples/quickstart.py

runs it offline, with a stand-in for the model (see offline.py). With a key, a real model answers:

    OPENAI_BASE_URL=https://api.deepseek.com OPENAI_API_KEY=… python examples/quickstart.py

OPENAI_MODEL names another model than deepseek-flash.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from openai import OpenAI

import convmem
import offline

MODEL = os.environ.get("OPENAI_MODEL", "deepseek-flash")


def ask(client: OpenAI, text: str) -> None:
    """Send the newest message alone; what else the model needs is memory's part."""
    reply = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
    print(f"user: {text}\nassistant: {reply.choices[0].message.content}\n")


def main() -> None:
    """Tell it something, start again, ask."""
    with tempfile.TemporaryDirectory() as folder, offline.model(), OpenAI() as openai:
        file = Path(folder) / "chat.db"

        with convmem.Memory(file) as memory:
            kyoto = memory.wrap(openai, user="alice", session="kyoto")
            ask(kyoto, "I fly to Kyoto on 3 April and stay at the Heron Inn.")
            ask(memory.wrap(openai, user="alice", session="游泳"), "我的游泳卡每年三月到期。")

        print("--- the process ends, another one opens the same file ---\n")
        with convmem.Memory(file) as memory:
            memory.flush()  # a script asks faster than memory reads; people do not
            today = memory.wrap(openai, user="alice", session="today")
            ask(today, "Which inn did I choose in Kyoto?")
            ask(today, "我的游泳卡几月到期？")
            print(f"The receipt of the last call:\n{memory.last_receipt()}\n")
            for session in memory.sessions(user="alice"):
                print(f"session {session.name}: {session.turns} turns")


if __name__ == "__main__":
    main()
