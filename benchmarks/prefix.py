"""How much of each request a provider has seen before, and what that makes a conversation cost.

    .venv/.test/bin/python benchmarks/prefix.py --policy balanced,lean

The demo's conversation is a user's past. In a new session the user then talks for a hundred turns: asks on
three of ten about that past, else works on a text (paragraphs put together by seed) or says a few words of
small talk. The app sends its newest message alone, through a wrapped client, to the local provider. Three
other designs get the same turns in the same run. A cache is modelled that holds what the previous request
said, from its start.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai

import convmem
from convmem.context.tokens import estimate
from convmem.demo.data import chitchat, conversation, questions
from convmem.stores.memory import InMemoryStore
from convmem.testing import LocalProvider, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Messages = list[dict[str, Any]]

PRICED_AT = "November 2026"


@dataclass(frozen=True, slots=True)
class Price:
    """What input costs, in dollars per million tokens.

    Attributes:
        hit: tokens read from the cache.
        miss: other tokens.
        write: by how much writing a token to the cache multiplies `miss`.
        minimum: a shorter prefix is not cached.
        grain: a cached prefix is a multiple of so many tokens.
    """

    name: str
    hit: float
    miss: float
    write: float = 1.0
    minimum: int = 0
    grain: int = 1

    def of(self, requests: Sequence[Request]) -> float:
        """Dollars for the input of some requests."""
        dollars = 0.0
        for request in requests:
            cached = request.cached // self.grain * self.grain
            cached = cached if cached >= self.minimum else 0
            dollars += cached * self.hit + (request.tokens - cached) * self.miss * self.write
        return dollars / 1_000_000


PRICES = (
    Price("DeepSeek flash", hit=0.003, miss=0.15, grain=64),
    Price("GPT-6 Luna", hit=0.01, miss=0.10, write=1.25, minimum=1_024),
    Price("GPT-6 Sol", hit=0.20, miss=2.00, write=1.25, minimum=1_024),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its bytes and estimated tokens, and how many of each the one before it began with."""

    bytes: int
    repeated: int
    tokens: int
    cached: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says and the model answers."""

    text: str
    reply: str
    asks: bool


# The conversation.

_THINGS = {
    False: "lantern harbour orchard ledger kettle bridge violin meadow compass chimney ferry loom attic",
    True: "灯笼 港口 果园 账本 水壶 石桥 提琴 草地 罗盘 烟囱 渡船 织机 阁楼",
}
_QUALITIES = {
    False: "narrow painted crooked silent copper borrowed frozen hollow woven distant gentle rusted",
    True: "窄窄的 漆过的 歪斜的 安静的 铜的 借来的 结冰的 空心的 织成的 遥远的 温和的 生锈的",
}
_DEEDS = {
    False: "crossed repaired forgot sketched followed measured traded opened carried described lifted",
    True: "穿过了 修好了 忘记了 画下了 跟着 量过了 换来了 打开了 搬走了 描述了 抬起了",
}
_WHEN = {
    False: "behind-the-mill after-the-storm on-the-third-morning near-the-old-wall without-a-word",
    True: "在磨坊后面 暴风雨之后 第三天早晨 在旧墙边 一句话也没说就",
}


class Writer:
    """Paragraphs about nothing that is in the user's past."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def paragraph(self, tokens: int, *, chinese: bool) -> str:
        """Sentences of about so many tokens."""
        text = ""
        while estimate(text) < tokens:
            text += self._sentence(chinese=chinese)
        return text.strip()

    def _sentence(self, *, chinese: bool) -> str:
        one, other = self._random.sample(_THINGS[chinese].split(), 2)
        how, deed, when = (self._random.choice(x[chinese].split()) for x in (_QUALITIES, _DEEDS, _WHEN))
        if chinese:
            return f"{how}{one}{when}{deed}{other}。"
        return f"The {how} {one} {deed} the {other} {when.replace('-', ' ')}. "


def turns(count: int, seed: int) -> Iterator[Turn]:
    """A session: of ten turns three ask about the past, one is small talk, six are work on a text."""
    chance, writer = random.Random(seed), Writer(seed)
    asked = [question.text for question in chance.sample(questions(), k=len(questions()))]
    small = chance.sample(chitchat(), k=len(chitchat()))
    for n in range(count):
        chinese = n // 10 % 2 == 1
        reply = writer.paragraph(chance.randint(60, 300), chinese=chinese)
        if n % 10 in {2, 5, 8}:
            yield Turn(asked[n // 3 % len(asked)], writer.paragraph(80, chinese=chinese), asks=True)
        elif n % 10 == 9:
            yield Turn(small[n // 10 % len(small)], writer.paragraph(20, chinese=chinese), asks=False)
        else:
            wish = "把这一段改得紧凑一点：" if chinese else "Please tighten this paragraph: "
            yield Turn(wish + writer.paragraph(chance.randint(80, 240), chinese=chinese), reply, asks=False)


# Designs.


def remembered(
    said: Sequence[Turn], policy: str, embedder: str, system: str
) -> tuple[list[Messages], list[str]]:
    """What a wrapped client sends, and what a search for each turn would put into the system text."""
    budget = convmem.PRESETS[policy].recall
    sent: list[Messages] = []
    found: list[str] = []
    with (
        LocalProvider() as provider,
        openai.OpenAI(base_url=provider.base_url, api_key="none", max_retries=0) as bare,
        convmem.Memory(InMemoryStore(), policy=policy, embedder=embedder, deadline_ms=30_000) as memory,
    ):
        for line in conversation():
            message = {"role": line.role, "content": line.content}
            memory.record([message], user="lan", session=line.session, at=line.at, append=True)
        memory.flush()
        client = memory.wrap(bare, user="lan", session="today")
        unbilled = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        for turn in said:
            hits = memory.recall(turn.text, user="lan", top_k=30, budget=budget) if budget else []
            found.append("\n".join(hit.turn.text for hit in hits))
            provider.script(Reply(turn.reply, usage=unbilled))
            messages = [{"role": "system", "content": system}, {"role": "user", "content": turn.text}]
            client.chat.completions.create(model="model", messages=messages)
            sent.append(provider.requests[-1].messages)
            memory.flush()
    return sent, found


_BLOCK = re.compile(r"^<memory>\n.*?\n</memory>\n\n", re.DOTALL)


def where_needed(said: Sequence[Turn], sent: Sequence[Messages]) -> list[Messages]:
    """The same requests without what was recalled for turns that ask nothing: what abstaining could save."""
    return [
        messages
        if turn.asks
        else [*messages[:-1], {**messages[-1], "content": _BLOCK.sub("", messages[-1]["content"])}]
        for turn, messages in zip(said, sent, strict=True)
    ]


def at_the_front(sent: Sequence[Messages]) -> list[Messages]:
    """The same requests with the recalled block at the end of the system text."""
    moved: list[Messages] = []
    for system, *others, newest in sent:
        block = _BLOCK.search(newest["content"])
        front = f"{system['content']}\n\n{block.group()}" if block else system["content"]
        text = newest["content"][block.end() :] if block else newest["content"]
        moved.append([{**system, "content": front}, *others, {**newest, "content": text}])
    return moved


def usual(said: Sequence[Turn], found: Sequence[str], system: str) -> list[Messages]:
    """All of the history behind a system text that ends with what a search for the turn found."""
    history: Messages = []
    sent: list[Messages] = []
    for turn, block in zip(said, found, strict=True):
        history.append({"role": "user", "content": turn.text})
        front = f"{system}\n\nRelevant memories:\n{block}" if block else system
        sent.append([{"role": "system", "content": front}, *history])
        history.append({"role": "assistant", "content": turn.reply})
    return sent


def sliding(said: Sequence[Turn], tokens: int | None, system: str) -> list[Messages]:
    """The newest rounds that have at most so many tokens; no memory."""
    sent = usual(said, [""] * len(said), system)
    return sent if tokens is None else [_kept(messages, tokens) for messages in sent]


def _kept(messages: Messages, tokens: int) -> Messages:
    system, *history = messages
    while len(history) > 1 and sum(estimate(m["content"]) + 4 for m in history) > tokens:
        del history[:2]
    return [system, *history]


# What it comes to.


def measured(sent: Sequence[Messages]) -> list[Request]:
    """Each request against the one before it, as one JSON for each message."""
    before, requests = "", []
    for messages in sent:
        now = "".join(json.dumps(m, ensure_ascii=False, sort_keys=True) + "\n" for m in messages)
        same = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), len(before))
        shared = now[:same]
        requests.append(
            Request(len(now.encode()), len(shared.encode()), estimate(now), estimate(shared) if shared else 0)
        )
        before = now
    return requests


def row(name: str, sent: Sequence[Messages]) -> str:
    """A row of the table."""
    requests = measured(sent)
    size, tokens = sum(r.bytes for r in requests), sum(r.tokens for r in requests)
    shares = (
        f"{sum(r.repeated for r in requests) / size:.3f} | {sum(r.cached for r in requests) / tokens:.3f}"
    )
    costs = " | ".join(f"{price.of(requests):.4f}" for price in PRICES)
    return f"| {name} | {tokens:,} | {shares} | {costs} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="balanced,lean,thorough", help="names, with commas")
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embedder", default="auto", help="auto, local or none")
    given = parser.parse_args()
    said = list(turns(given.turns, given.seed))
    system = Writer(given.seed + 1).paragraph(800, chinese=False)
    print(f"{len(said)} turns, {sum(turn.asks for turn in said)} of them about the past; dollars for input,")
    print(f"prices of {PRICED_AT}, off-peak.\n")
    print(
        "| design | tokens sent | bytes repeated | tokens repeated | "
        + " | ".join(p.name for p in PRICES)
        + " |"
    )
    print("|---|---|---|---|" + "---|" * len(PRICES))
    for policy in given.policy.split(","):
        sent, found = remembered(said, policy, given.embedder, system)
        print(row(f"convmem, {policy}", sent))
        print(row("… had it recalled only where the past is asked for", where_needed(said, sent)))
        print(row("… its blocks in the system text", at_the_front(sent)))
        print(row("all history, a search per turn in the system text", usual(said, found, system)))
        print(row("sliding window as large, no memory", sliding(said, convmem.PRESETS[policy].high, system)))
        print(f"| *{recalling(said, sent)}* |" + " |" * (3 + len(PRICES)))
    print(row("all history, no memory", sliding(said, None, system)))


def recalling(said: Sequence[Turn], sent: Sequence[Messages]) -> str:
    """On how many turns something was recalled, and how much."""
    blocks = [found.group() if (found := _BLOCK.search(m[-1]["content"])) else "" for m in sent]
    needed = sum(turn.asks and bool(block) for turn, block in zip(said, blocks, strict=True))
    tokens = sum(estimate(block) for block in blocks if block)
    return f"recalled on {sum(map(bool, blocks))} turns, {needed} of them about the past; {tokens:,} tokens"


if __name__ == "__main__":
    main()
