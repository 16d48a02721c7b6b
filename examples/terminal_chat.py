"""A chatbot for the terminal that remembers, on DeepSeek or any OpenAI-compatible provider.

    python examples/terminal_chat.py --offline
    OPENAI_API_KEY=… python examples/terminal_chat.py
    OPENAI_API_KEY=… python examples/terminal_chat.py --base-url http://localhost:11434/v1 --model qwen3

Say `/why` for the receipt of the last answer, `/new` for a new conversation, `/quit` to leave. Ctrl-C stops
an answer. What was said is in chat.db when you come back; --store names another file.
"""

from __future__ import annotations

import argparse
import os
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING

from openai import OpenAI, OpenAIError

import convmem
import offline

if TYPE_CHECKING:
    from collections.abc import Sequence


def answer(client: OpenAI, model: str, text: str) -> None:
    """Print an answer as it comes."""
    try:
        with client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], stream=True
        ) as stream:
            for chunk in stream:
                if chunk.choices:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
    except KeyboardInterrupt:
        print(" …", end="")  # what had arrived is kept
    except OpenAIError as error:
        print(f"[{error}]", end="")  # the message is kept, and is not doubled when it is sent again
    print()


def main(arguments: Sequence[str] | None = None) -> None:
    """Chat until the input ends."""
    parser = argparse.ArgumentParser(description="A chatbot that remembers.")
    parser.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL", "https://api.deepseek.com"))
    parser.add_argument("--model", default=os.environ.get("OPENAI_MODEL", "deepseek-flash"))
    parser.add_argument("--user", default=os.environ.get("USER", "me"), help="whose memory")
    parser.add_argument("--store", default="chat.db", help="the file it is kept in")
    parser.add_argument("--offline", action="store_true", help="a stand-in on this machine answers")
    chosen = parser.parse_args(arguments)
    if not (chosen.offline or os.environ.get("OPENAI_API_KEY")):
        parser.error("set OPENAI_API_KEY (anything, for a provider that wants none), or try --offline")
    with ExitStack() as stack:
        if chosen.offline:
            stack.enter_context(offline.model(always=True))
        openai = stack.enter_context(OpenAI(base_url=None if chosen.offline else chosen.base_url))
        memory = stack.enter_context(convmem.Memory(chosen.store))
        print(f"Earlier conversations of {chosen.user}: {len(memory.sessions(user=chosen.user))}")
        session = secrets.token_hex(4)
        while True:
            try:
                text = input("\n> ").strip()
            except (EOFError, KeyboardInterrupt):
                return
            if text == "/quit":
                return
            if text == "/new":
                session = secrets.token_hex(4)
            elif text == "/why":
                print(memory.last_receipt() or "nothing was asked yet")
            elif text:
                client = memory.wrap(openai, user=chosen.user, session=session)
                answer(client, chosen.model, text)


if __name__ == "__main__":
    main()
