"""Small memories for the tests, made of sentences of our own, and a toy embedder."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from convmem.recall import Entry, Partition, analyze_turn
from convmem.recall.analyze import words

DAY = 86_400.0
START = 1_714_521_600.0  # 2024-05-01


def embed(*texts: str, dim: int = 48) -> np.ndarray:
    """Sum a random direction for each term: texts that share words are near each other."""
    return np.stack(
        [0.8 + sum((_direction(word, dim) for word in words(text)), np.zeros(dim)) for text in texts]
    )


def _direction(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(dim)


class Memory:
    """Turns with their texts, entries and vectors."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.entries: list[Entry] = []

    def say(
        self,
        text: str,
        *,
        role: str = "user",
        speaker: str | None = None,
        session: str = "s0",
        day: float = 0,
    ) -> str:
        id_ = f"t{len(self.entries)}"
        self.texts[id_] = text
        self.entries.append(
            analyze_turn(text, id=id_, session=session, role=role, speaker=speaker, at=START + day * DAY)
        )
        return id_

    def vectors(self) -> np.ndarray:
        return embed(*self.texts.values())

    def partition(self, *, vectors: bool = True) -> Partition:
        return Partition.from_entries(self.entries, self.vectors() if vectors else None)

    def read(self, ids: list[str]) -> dict[str, str]:
        return {id_: self.texts[id_] for id_ in ids}


def two_friends() -> Memory:
    """Two people over six weeks, some of it in Chinese."""
    memory = Memory()
    talks = [
        [
            "Hana: I finally repotted the lemon tree on the balcony.",
            "Jorge: Did it survive the frost?",
            "Hana: Barely, two branches had to go.",
            "Jorge: Mine is still in the cellar.",
        ],
        [
            "Jorge: My sister moved to Tromsø to study whales.",
            "Hana: That far north! Does she like it?",
            "Jorge: She says the dark months are the best part.",
            "Hana: 我下周要去成都参加婚礼。",
        ],
        [
            "Hana: 婚礼上我吃了一整盘麻婆豆腐。",
            "Jorge: You and spicy food...",
            "Hana: The groom plays the cello in a string quartet.",
            "Jorge: I sold my cello in March, I needed the money for the van.",
        ],
        [
            "Jorge: The van broke down near Porto.",
            "Hana: Oh no, what was it?",
            "Jorge: The fuel pump, 480 euros.",
            "Hana: I could lend you some.",
        ],
        [
            "Hana: I started climbing on Tuesdays with Mirela.",
            "Jorge: Indoors or outside?",
            "Hana: Indoors until June, ropes scare me.",
            "Jorge: I prefer swimming in the lake before work.",
        ],
        [
            "Jorge: 我的猫叫糯米，今天带它去打疫苗了。",
            "Hana: 它几岁了？",
            "Jorge: 三岁，最怕医生。",
            "Hana: I am allergic to cats, sadly.",
        ],
    ]
    for number, talk in enumerate(talks):
        for line in talk:
            speaker, text = line.split(": ", 1)
            memory.say(
                text,
                role="user" if speaker == "Hana" else "assistant",
                speaker=speaker,
                session=f"talk{number}",
                day=7 * number,
            )
    return memory


def user_and_assistant() -> Memory:
    """A user who plans things with an assistant that answers at length."""
    memory = Memory()
    rounds = [
        ("From now on always answer with metric units.", "Understood, metric units it is."),
        (
            "My build fails with error E1187 on the staging server.",
            "E1187 means that the certificate chain is incomplete. " * 12,
        ),
        (
            "I paid 1,250 kr for the winter tyres at Berglund's.",
            "Noted. Winter tyres should be replaced every six seasons.",
        ),
        ("Suggest a name for my sourdough starter.", "How about Clint Yeastwood, or Bread Pitt? " * 9),
        ("以后都用中文回答关于烹饪的问题。", "好的，以后烹饪问题我都用中文回答。"),
        ("我对花生过敏，做菜的时候要注意。", "明白，我会避开所有含花生的食材。"),
        ("The dentist moved my appointment to 14 June.", "I have written down 14 June for the dentist."),
        ("Which chess opening suits a patient player?", "The Caro-Kann rewards patience. " * 25),
        ("My daughter Liv starts school in August.", "Congratulations! Does she have a backpack already?"),
        ("The router password is heron-42-quartz.", "I will keep that in mind."),
        (
            "Plan a weekend in Ghent without a car.",
            "Take the train to Gent-Sint-Pieters and walk along the Leie. " * 14,
        ),
        ("I decided to paint the hallway in sage green.", "A calm choice. Two coats will do."),
    ]
    for number, (asked, answered) in enumerate(rounds):
        memory.say(asked, session=f"day{number // 2}", day=number // 2)
        memory.say(answered, role="assistant", session=f"day{number // 2}", day=number // 2)
    return memory
