"""How much of each request a provider has seen before, and what that makes a conversation cost.

    .venv/.test/bin/python benchmarks/prefix.py --policy balanced,lean

The demo's conversation is a user's past. In a new session the user then talks for a hundred turns: asks on
three of ten about that past, else works on texts (one after the other, ten turns each, their paragraphs put
together by seed) or says a few words of small talk. The app sends its newest message alone, through a wrapped
client, to the local provider. Three other designs get the same turns in the same run. A cache is modelled
that holds what the previous request said, from its start.
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
from convmem.demo.data import chitchat, conversation, questions
from convmem.stores.memory import InMemoryStore
from convmem.testing import LocalProvider, Reply
from convmem.tokens.count import estimate

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


@dataclass(frozen=True, slots=True)
class Subject:
    """What a text is about: the words its sentences are made of."""

    things: str
    qualities: str
    deeds: str
    circumstances: str


_ENGLISH = (
    Subject(
        "lighthouse harbour ferry anchor tide gull rope captain cargo fog",
        "salty rusted distant broken patient narrow",
        "crossed towed signalled abandoned repaired sighted",
        "before the storm, at low water, by lamplight, without a pilot",
    ),
    Subject(
        "orchard blossom ladder cider beehive frost basket pruning hedge apple",
        "ripe bitter early grafted crooked golden",
        "picked pressed sheltered weighed burned planted",
        "in the third week, under the nets, after the thaw, by hand",
    ),
    Subject(
        "blacksmith anvil hammer bellows horseshoe furnace tongs apprentice chain gate",
        "glowing brittle wrought blunt soot-stained heavy",
        "forged quenched straightened riveted sharpened welded",
        "at white heat, for the stables, under the eaves, with three blows",
    ),
    Subject(
        "glacier summit tent crevasse guide compass ridge avalanche stove map",
        "frozen steep unmarked exhausted northern thin",
        "climbed surveyed avoided photographed descended measured",
        "above the clouds, on the second attempt, roped together, before dawn",
    ),
    Subject(
        "printer typesetter ink margin folio press proof engraving binder paper",
        "uneven handmade smudged Gothic folded costly",
        "printed corrected trimmed bound rejected engraved",
        "in two colours, against the grain, for the guild, overnight",
    ),
)
_CHINESE = (
    Subject(
        "茶山 竹篓 春芽 炒锅 茶商 溪水 采茶人 品鉴会 陶罐 山路",
        "清明前的 微苦的 手工的 陡峭的 新鲜的",
        "采下了 炒制了 称过了 运走了 品尝了",
        "天还没亮就 在雨停之后 按老办法 一边唱一边",
    ),
    Subject(
        "古城墙 砖窑 匠人 石匠 城门 护城河 脚手架 图纸 灰浆 瓦片",
        "开裂的 明代的 青灰色的 沉重的 残缺的",
        "修补了 测绘了 加固了 搬运了 拆下了",
        "用传统工艺 在专家指导下 分三个阶段 赶在汛期前",
    ),
    Subject(
        "望远镜 星图 彗星 观测站 轨道 银河 天文学家 光谱 穹顶 底片",
        "微弱的 遥远的 暗红的 精密的 罕见的",
        "拍摄了 校准了 发现了 计算了 记录了",
        "在无月的夜里 连续七个小时 用新算法 冒着严寒",
    ),
    Subject(
        "戏班 锣鼓 花旦 水袖 唱腔 后台 脸谱 老师傅 票友 戏台",
        "婉转的 褪色的 热闹的 年轻的 失传的",
        "排演了 改编了 唱红了 描画了 传授了",
        "在庙会上 没有伴奏就 一字一句地 为了参赛",
    ),
    Subject(
        "渔船 珊瑚 潜水员 海流 渔网 灯塔 牡蛎 码头 台风 养殖场",
        "透明的 咸腥的 搁浅的 丰收的 平静的",
        "撒下了 捞起了 躲避了 清点了 修好了",
        "趁着退潮 在浅滩附近 靠声呐 一连三天",
    ),
)


class Writer:
    """Paragraphs of texts about what is not in the user's past; each text has one subject."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def paragraph(self, tokens: int, text: int) -> str:
        """Sentences of about so many tokens, of the text in hand; every other text is in Chinese."""
        chinese = text % 2 == 1
        subjects = _CHINESE if chinese else _ENGLISH
        subject = subjects[text // 2 % len(subjects)]
        written = ""
        while estimate(written) < tokens:
            written += self._sentence(subject, chinese=chinese)
        return written.strip()

    def _sentence(self, subject: Subject, *, chinese: bool) -> str:
        one, other = self._random.sample(subject.things.split(), 2)
        how, deed = (self._random.choice(words.split()) for words in (subject.qualities, subject.deeds))
        if chinese:
            return f"{how}{one}{self._random.choice(subject.circumstances.split())}{deed}{other}。"
        return (
            f"The {how} {one} {deed} the {other} {self._random.choice(subject.circumstances.split(', '))}. "
        )


def turns(count: int, seed: int) -> Iterator[Turn]:
    """A session: of ten turns three ask about the past, one is small talk, six are work on a text."""
    chance, writer = random.Random(seed), Writer(seed)
    asked = [question.text for question in chance.sample(questions(), k=len(questions()))]
    small = chance.sample(chitchat(), k=len(chitchat()))
    for n in range(count):
        text = n // 10
        reply = writer.paragraph(chance.randint(60, 300), text)
        if n % 10 in {2, 5, 8}:
            yield Turn(asked[n // 3 % len(asked)], writer.paragraph(80, text), asks=True)
        elif n % 10 == 9:
            yield Turn(small[n // 10 % len(small)], writer.paragraph(20, text), asks=False)
        else:
            wish = "把这一段改得紧凑一点：" if text % 2 else "Please tighten this paragraph: "
            yield Turn(wish + writer.paragraph(chance.randint(80, 240), text), reply, asks=False)


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
            memory.record([line.message], user="lan", session=line.session, at=line.at, append=True)
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
    system = Writer(given.seed + 1).paragraph(800, 0)
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
