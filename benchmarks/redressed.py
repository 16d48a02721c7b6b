"""Whether messages in other clothes are the turns they were, and changed ones are not.

    .venv/.test/bin/python benchmarks/redressed.py --conversations 1000 --seed 1

Conversations are drawn by seed, in English and Chinese, with short messages that come many times ("ok",
好的). Half of them are sent by apps that change what they send back: a name on the reply, other white space,
no thoughts, tool calls as text, a reminder, a clock or retrieved passages on the newest message alone, a half
reply and its retry. The other half are changed by their users: messages edited, at the end or with all that
followed kept, replies asked for again, the same words said again. Each is sent by the user and session, the
user alone, or nobody, through a wrapped client to the local provider, and once more through the bare client.

Printed is how many conversations had a turn too many (branched), one too few (merged), more than one session,
or a request of other bytes than the bare client's.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import openai

import convmem
from convmem.testing import Fault, LocalProvider, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Message = dict[str, Any]

_TOGETHER = 50
"""Conversations in one journal: more of them make each more crowded, and the counting slower."""

SHORT = ["ok", "continue", "好的", "yes", "继续", "Thanks!", "and then?", "谢谢"]
ASKED = [
    "Plan a walk along the canal for {n} people.",
    "How many tiles of {n} cm do I need for the bathroom wall?\nIt is two metres high.",
    "请把第{n}章改写得更短。",
    "What did the harbour master say about berth {n}?",
    "Translate this into Dutch: the mill turned {n} times.",
    "我的自行车锁密码是{n}，帮我记一下。",
    "Write a test for case {n}.\n\n```python\nassert total({n}) == {n}\n```\n\nThen explain it.",
    "Compare offer {n} with the one before. Which is cheaper?",
    "第{n}号包裹到哪里了？\n请查一下。",
]
ANSWERED = [
    "Here is a plan in {n} steps: start early, rest at the lock, come back by tram.",
    "You need {n} tiles.",
    "好的，第{n}章已经改短了：他走了，灯还亮着。",
    "Berth {n} is free until Friday.",
    "Sure.",
    "De molen draaide {n} keer.\n\n- first\n- second",
    "没问题，已经记下{n}。",
]
THOUGHTS = ["The user wants {n}.", "Let me think.\nFirst {n}, then the rest.", "用户想要{n}。"]
ADDED = [
    " Make it quick.",
    " And no onions, please.",
    "\nUse metric units.",
    "，要快一点。",
    " Also tell my sister.",
    " I meant tomorrow.",
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}, "n": {"type": "integer"}},
            },
        },
    }
]


@dataclass
class Outcome:
    """What one conversation showed."""

    branched: int = 0
    merged: int = 0
    sessions: int = 0
    bytes_differ: int = 0
    told: list[str] = field(default_factory=list[str])

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.branched or self.merged or self.sessions or self.bytes_differ)


class Room:
    """A provider, a bare client and a memory that quotes nothing, for many conversations in turn."""

    def __init__(self, provider: LocalProvider, memory: convmem.Memory, bare: openai.OpenAI) -> None:
        self.provider = provider
        self.memory = memory
        self.bare = bare

    def wrapped(self, who: str, name: str) -> openai.OpenAI:
        """A client for a conversation: of a user and session, of a user, or of nobody."""
        scope = {"both": {"user": name, "session": "s"}, "user": {"user": name}, "nobody": {}}[who]
        return self.memory.wrap(self.bare, policy="window", **scope)

    def ask(
        self, client: openai.OpenAI, messages: list[Message], reply: Reply | Fault, **given: object
    ) -> bool:
        """Ask through a wrapped and the bare client; whether both requests had the same bytes."""
        for asked in (client, self.bare):
            self.provider.script(reply)
            try:
                answer = asked.chat.completions.create(model="m", messages=messages, **given)  # type: ignore[call-overload]
                if given.get("stream"):
                    for _ in answer:
                        pass
            except openai.APIError:
                pass
        ours, plain = self.provider.requests[-2:]
        return ours.body == plain.body

    def rows(self, who: str, name: str) -> list[Message]:
        """A conversation's turns, of all branches; nobody's are told by the first words of theirs."""
        lines = self.memory.export() if who == "nobody" else self.memory.export(user=name)
        rows = [row for line in lines if "message" in (row := json.loads(line))]
        if who != "nobody":
            return rows
        mine = {row["session"] for row in rows if name in json.dumps(row["message"], ensure_ascii=False)}
        return [row for row in rows if row["session"] in mine]


def _text(rng: random.Random, texts: list[str]) -> str:
    return rng.choice(texts).format(n=rng.randrange(2, 9_999))


def asked(rng: random.Random) -> str:
    """What a user says."""
    return rng.choice(SHORT) if rng.random() < 0.3 else _text(rng, ASKED)


# What frameworks do to what they send back.

Decoration = tuple[str, str]


def decorations(rng: random.Random) -> Callable[[], Decoration]:
    """One app's habit: what it puts before and after its newest message."""
    clock = iter(range(600, 1_400, rng.randrange(1, 9)))
    reminder = rng.choice(["Answer in one paragraph.", "Never mention prices.", "请用中文回答。"])

    def passages() -> str:
        return "\n".join(
            f"[{i + 1}] Page {rng.randrange(900)}: {_text(rng, ANSWERED)}" for i in range(rng.randrange(1, 4))
        )

    def now() -> str:
        minutes = next(clock)
        return f"2026-03-{1 + minutes // 60 % 28:02d} {8 + minutes // 60 % 12:02d}:{minutes % 60:02d}"

    habits: list[Callable[[], Decoration]] = [
        lambda: ("", f"\n\n<system-reminder>\n{reminder} It is {now()}.\n</system-reminder>"),
        lambda: ("", f"\n\n{reminder}"),
        lambda: ("", f"\n\nReminder: {reminder}"),
        lambda: ("", f" ({reminder})"),
        lambda: (f"[{now()}] ", ""),
        lambda: (f"Current time: {now()}\n\n", ""),
        lambda: ("", f"\n当前时间：{now()}"),
        lambda: (f"Context:\n{passages()}\n\nQuestion: ", ""),
        lambda: (f"<context>\n{passages()}\n</context>\n\n", ""),
        lambda: (f"参考资料：\n{passages()}\n\n问题：", ""),
        lambda: (f"{passages()}\n\n", f"\n\n{reminder}"),
        lambda: (f"Use the following passages to answer.\n---\n{passages()}\n---\n", ""),
    ]
    return rng.choice(habits)


def as_text(rng: random.Random, call: Message) -> str:
    """A tool call as some framework tells it."""
    name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
    dumped = json.dumps(arguments, ensure_ascii=False)
    return rng.choice(
        [
            "Calling tools:\n" + str([{**call, "function": {"name": name, "arguments": arguments}}]),
            f"Action: {name}\nAction Input: {dumped}",
            f'<tool_call>\n{{"name": "{name}", "arguments": {dumped}}}\n</tool_call>',
            f"[Tool call] {name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})",
            f"```json\n{json.dumps({'name': name, 'arguments': arguments}, indent=2)}\n```",
        ]
    )


@dataclass
class App:
    """How one app sends back what was said; all of it drawn once, as a framework has one way."""

    rng: random.Random
    named: bool
    thinks: bool
    tells_calls: bool
    loses_calls: bool
    decorates: Callable[[], Decoration] | None
    breaks: float

    @classmethod
    def drawn(cls, rng: random.Random) -> App:
        """An app with at least one habit."""
        named, thinks, tells, decorates = (rng.random() < 0.5 for _ in range(4))
        if not (named or thinks or tells or decorates):
            named = True
        return cls(
            rng,
            named,
            thinks,
            tells,
            rng.random() < 0.3,
            decorations(rng) if decorates else None,
            rng.choice([0.0, 0.0, 0.3]),
        )

    def back(self, text: str) -> Message:
        """A reply as it is sent back."""
        text = self.rng.choice([text, text.strip(), text + "\n"]) if self.rng.random() < 0.5 else text
        return {"role": "assistant", "content": text, **({"name": "main"} if self.named else {})}


def redressed(rng: random.Random, room: Room, name: str, who: str) -> Outcome:
    """A conversation of an app that changes what it sends back."""
    app, client, out = App.drawn(rng), room.wrapped(who, name), Outcome()
    history: list[Message] = []
    said = 0
    for turn in range(rng.randrange(2, 7)):
        # The first words are this conversation's own: nobody can tell strangers apart who say the same.
        words = f"{name}: {asked(rng)}" if not turn else asked(rng)
        front, end = app.decorates() if app.decorates is not None else ("", "")
        newest = {"role": "user", "content": f"{front}{words}{end}"}
        if rng.random() < app.breaks and (turn or who == "both"):
            half = Fault.cut(
                Reply("Half of it is here, and then the line " * 3, chunk_size=5), after_chunks=6
            )
            same = room.ask(client, [*history, newest], half, stream=True)
            out.bytes_differ += not same
            said += 1  # the half reply, which stands on a branch of its own
        said += 1
        history.append({"role": "user", "content": words})
        sent = [*history[:-1], newest]
        if rng.random() < 0.3:
            word, n = rng.choice(["tram", "O'Neill", "灯塔"]), rng.randrange(99)
            call_id = f"call_{rng.getrandbits(40):x}"
            call = ToolCall("lookup", {"word": word, "n": n}, id=call_id)
            content = rng.choice([None, "Let me look that up."])
            out.bytes_differ += not room.ask(client, sent, Reply(content, tool_calls=[call]), tools=TOOLS)
            result = f"{word}: found {rng.randrange(999)} times"
            told = {
                "id": call_id,
                "type": "function",
                "function": {"name": "lookup", "arguments": call.payload},
            }
            made = {"role": "assistant", "content": content, "tool_calls": [told]}
            results = {"role": "tool", "tool_call_id": call_id, "content": result}
            sent = [*sent, made, results]
            said += 2
            if app.loses_calls:
                pass  # it keeps nothing but what was said
            elif app.tells_calls:
                text = "\n".join(filter(None, (content, as_text(rng, told))))
                history.append(
                    {"role": "assistant", "content": text, **({"name": "main"} if app.named else {})}
                )
                history.append({"role": "user", "content": f"Observation:\n{result}"})
            else:
                history += [{**made, "name": "main"} if app.named else made, results]
        answer = _text(rng, ANSWERED)
        thought = f"<think>\n{_text(rng, THOUGHTS)}\n</think>\n\n" if app.thinks else ""
        out.bytes_differ += not room.ask(client, sent, Reply(thought + answer), tools=TOOLS)
        said += 1
        history.append(app.back(answer))
    rows = room.rows(who, name)
    _count(out, rows, said)
    return out


def _count(out: Outcome, rows: list[Message], said: int) -> None:
    out.branched, out.merged = max(0, len(rows) - said), max(0, said - len(rows))
    out.sessions = len({(row["user"], row["session"]) for row in rows}) - 1
    out.told = [f"{row['id']}<{row['parent']} {row['message']}" for row in rows]


# What users do.


def edits(rng: random.Random, text: str) -> Iterator[str]:
    """The same message with other words."""
    words = text.split(" ")
    at = rng.randrange(len(words))
    yield text + rng.choice(ADDED)
    yield " ".join([*words[:at], rng.choice(["seven", "不", "never", "Porto"]), *words[at:]])
    yield " ".join([*words[:at], *words[at + 1 :]]) if len(words) > 2 else text + "?!"
    yield rng.choice(["Please: ", "No, ", "请注意，", "In Porto, "]) + text
    yield text.replace(text[len(text) // 2], "x7", 1)
    yield _text(rng, ASKED)


def edited(rng: random.Random, name: str, text: str) -> Message:
    """A message that its user changed; the name stays, by which nobody's conversation is told from others."""
    front = f"{name}: " if text.startswith(f"{name}: ") else ""
    return {"role": "user", "content": front + rng.choice(list(edits(rng, text.removeprefix(front))))}


def changed(rng: random.Random, room: Room, name: str, who: str) -> Outcome:
    """A conversation whose user edits, asks again for replies, and repeats words."""
    client, out = room.wrapped(who, name), Outcome()
    history: list[Message] = [{"role": "user", "content": f"{name}: {asked(rng)}"}]
    places: set[str] = set()
    replies = iter(range(10**6))

    def ask() -> None:
        reply = f"{_text(rng, ANSWERED)} ({next(replies)})"
        out.bytes_differ += not room.ask(client, history, Reply(reply))
        history.append({"role": "assistant", "content": reply})
        for i in range(len(history)):
            places.add(json.dumps(history[: i + 1], ensure_ascii=False))

    ask()
    for _ in range(rng.randrange(1, 6)):
        mine = [i for i, message in enumerate(history) if message["role"] == "user"]
        # The first message sent alone is no edit: nothing tells it from a new one.
        at = rng.choice(mine[1:] or mine)
        what = rng.choice(["say", "say", "repeat", "edit", "edit in place", "regenerate", "another answer"])
        if what in {"edit", "regenerate"} and not at:
            what = "say"
        if what == "edit":
            del history[at + 1 :]
            history[at] = edited(rng, name, history[at]["content"])
        elif what == "regenerate":
            del history[at + 1 :]
        elif what == "edit in place":
            history[at] = edited(rng, name, history[at]["content"])
            history.append({"role": "user", "content": asked(rng)})
        elif what == "another answer":
            history[at + 1] = {"role": "assistant", "content": f"{_text(rng, ANSWERED)} ({next(replies)})"}
            history.append({"role": "user", "content": asked(rng)})
        else:
            words = history[mine[-1]]["content"] if what == "repeat" else asked(rng)
            history.append({"role": "user", "content": words})
        ask()
    rows = room.rows(who, name)
    if who != "both":  # a changed history may be another session there: all of it is kept once more
        kept = {json.dumps(path, ensure_ascii=False) for path in _paths(rows)}
        out.merged = len(places - kept)
    else:
        _count(out, rows, len(places))
    return out


def _paths(rows: list[Message]) -> Iterator[list[Message]]:
    """Each turn with all that leads to it, as an app would send it."""
    by_id = {row["id"]: row for row in rows}
    for row in rows:
        way: list[Message] = []
        at: Message | None = row
        while at is not None:
            way.append({"role": at["message"]["role"], "content": at["message"]["content"]})
            at = by_id.get(at["parent"])
        yield way[::-1]


def run(conversations: int, seed: int) -> dict[str, list[Outcome]]:
    """Conversations of both kinds, each by all three sorts of callers in turn."""
    kinds = {"redressed": redressed, "changed": changed}
    found: dict[str, list[Outcome]] = {}
    for kind, tried in kinds.items():
        for first in range(0, conversations, _TOGETHER):
            room, close = opened()
            for i in range(first, min(conversations, first + _TOGETHER)):
                who = ("both", "user", "nobody")[i % 3]
                outcome = tried(random.Random(f"{seed}-{kind}-{i}"), room, f"{kind}-{i}-", who)
                found.setdefault(f"{kind}, {who}", []).append(outcome)
                if not outcome.sound:
                    print(f"{kind} {i} {who}: {outcome}")
            close()
    return found


def opened() -> tuple[Room, Callable[[], None]]:
    """A room, and what closes it."""
    provider = LocalProvider(strict=False).__enter__()
    memory = convmem.Memory(":memory:", embedder="none", deadline_ms=20_000, policy="window")
    bare = openai.OpenAI(base_url=provider.base_url, api_key="x", max_retries=0)

    def close() -> None:
        bare.close()
        memory.close()
        provider.__exit__(None, None, None)

    return Room(provider, memory, bare), close


def main() -> int:
    """Print the table; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--conversations", type=int, default=1_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = run(given.conversations, given.seed)
    print("| conversations | number | branched | merged | more than one session | other bytes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, outcomes in found.items():
        counts = [
            sum(map(bool, (getattr(o, what) for o in outcomes)))
            for what in ("branched", "merged", "sessions", "bytes_differ")
        ]
        print(f"| {name} | {len(outcomes)} | {' | '.join(map(str, counts))} |")
    return int(any(not o.sound for outcomes in found.values() for o in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
