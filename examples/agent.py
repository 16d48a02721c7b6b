"""An agent that calls tools, with memory: it is asked about a trip that it heard of in another session.

    python examples/agent.py

runs it offline, with a stand-in for the model (see offline.py). With a key, a real model decides:

    OPENAI_BASE_URL=https://api.deepseek.com OPENAI_API_KEY=… python examples/agent.py

OPENAI_MODEL names another model than deepseek-flash.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime

from openai import OpenAI

import convmem
import offline
from convmem.testing import Reply, ToolCall

MODEL = os.environ.get("OPENAI_MODEL", "deepseek-flash")
STEPS = 8


def days_until(day: str) -> str:
    """How many days are left until a day, given as YYYY-MM-DD."""
    left = date.fromisoformat(day) - datetime.now(UTC).date()
    return f"{left.days} days are left until {day}"


FUNCTIONS = {"days_until": days_until}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "days_until",
            "description": days_until.__doc__,
            "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
        },
    }
]


def run(client: OpenAI, task: str) -> str:
    """Let the model call tools until it answers; memory is in the first call and stays in the others."""
    messages: list = [{"role": "user", "content": task}]
    for _ in range(STEPS):
        reply = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        message = reply.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            try:
                result = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
            except (KeyError, TypeError, ValueError) as error:
                result = f"{type(error).__name__}: {error}"  # the model can try again
            print(f"  {call.function.name} {call.function.arguments} → {result}")
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return f"No answer after {STEPS} steps."


def main() -> None:
    """Tell it something in one session, give it a task in another."""
    thought = "I need to know how many days are left."  # DeepSeek wants its thoughts of a tool call back
    called = Reply(tool_calls=[ToolCall("days_until", {"day": "2027-04-03"})], reasoning_content=thought)
    model = offline.model(Reply("Have a good trip!"), called)
    with model, OpenAI() as openai, convmem.Memory(":memory:") as memory:  # a path keeps it
        print(run(memory.wrap(openai, user="alice", session="travel"), "I fly to Kyoto on 3 April 2027."))
        memory.flush()  # a script asks faster than memory reads; people do not
        print(run(memory.wrap(openai, user="alice", session="work"), "In how many days do I fly to Kyoto?"))
        print([turn.role for turn in memory.turns(user="alice", session="work")])


if __name__ == "__main__":
    main()
