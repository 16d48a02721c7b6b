"""What makes a sentence worth keeping: words and phrases in English and Chinese, each moving its score."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["asks", "corrects", "figures", "lasting", "worth"]


class _Cues:
    """Whether a sentence has any of some English words or phrases, or matches a Chinese pattern.

    Sets and substrings, because alternatives that begin at a word's edge are what `re` is slowest at.
    """

    def __init__(self, words: str, phrases: str, chinese: str) -> None:
        self._words = frozenset(words.split())
        self._phrases = tuple(f" {phrase.strip()} " for phrase in phrases.split(","))
        self._chinese = re.compile(chinese)

    def __call__(self, text: str, english: tuple[str, ...]) -> bool:
        if not self._words.isdisjoint(english):
            return True
        if english:
            padded = f" {' '.join(english)} "
            if any(phrase in padded for phrase in self._phrases):
                return True
        return not text.isascii() and bool(self._chinese.search(text))


_DECIDED: Final = _Cues(
    "decide decided deciding decision agreed settled chose chosen picked opted booked ordered bought signed"
    " confirmed approved postponed cancelled canceled rescheduled deadline must promised",
    "go with, going with, went with, go for, going for, moved to, moved it to, move it to, move the, has to,"
    " have to, due on, due by, the plan is, i'll take, we'll take, it's final",
    "决定|定了|定在|定下|敲定|就用|就选|就这么办|改成|改到|改为|改用|换成|换到|取消|推迟|提前|确认|选了|订了|买了|签了|搬到|约在|约好"
    "|说好|商量好|同意|批准|通过了|截止|必须|务必|最后选|答应",
)
_LASTING: Final = _Cues(
    "prefer prefers preferred favourite favorite allergic allergy intolerant vegetarian vegan always never",
    "i hate, i love, i like, can't stand, don't eat, don't drink, don't like, doesn't eat, doesn't drink,"
    " doesn't like, from now on, in future, every time, please use, please keep, please call, please write,"
    " please answer, please reply, please remember, please avoid, please stop, please don't, please do not,"
    " remember that, remember to, call me, my name is, i'm called",
    "喜欢|最爱|讨厌|不爱|不吃|不喝|过敏|忌口|习惯|以后(?!再说)|今后|从现在起|从今天起|总是|每次都|千万|记住|记得|别忘|我叫|叫我"
    "|请用|不要用|只用",
)
_OWN: Final = _Cues(
    "birthday",
    "my wife, my husband, my partner, my son, my daughter, my mother, my father, my mum, my mom, my dad,"
    " my sister, my brother, my boss, my team, my address, my phone, my number, my flat, my house, my job,"
    " my company, my cat, my dog, i live, i work, i study, i moved, i was born, i'm a, i'm an, i'm from,"
    " i'm in",
    "我(?:住|家|妈|爸|老婆|老公|妻子|丈夫|女儿|儿子|姐|妹|哥|弟|公司|同事|生日|今年|是做|在.{1,8}(?:工作|上班|上学))",
)
_CORRECTED: Final = _Cues(
    "actually instead correction changed moved rescheduled postponed",
    "no longer, not any more, not anymore, rather than, i was wrong, i meant, scratch that",
    "其实|更正|说错|记错|弄错|不是.{1,14}[，,]?(?:而)?是|不再|改成|改到|改为|改用|换成|换到|推迟到|提前到",
)
_BOILERPLATE: Final = re.compile(
    r"(?:sure|of course|certainly|absolutely|great|good (?:question|idea|choice)|no problem|you're welcome"
    r"|happy to|glad to|let me know|feel free|would you like|do you want|shall i|should i"
    r"|if you(?:'d| would)? (?:want|like|need)|i can also|i could also|i hope|hope (?:this|that)"
    r"|here(?:'s| is| are)|noted|understood|got it|enjoy|have a"
    r"|thanks?|sorry|that sounds|sounds)\b"
    r"|好的|好呀|好啊|好嘞|当然|没问题|不客气|请告诉我|需要我|要不要我|如果(?:你|您)?(?:还)?(?:需要|想|愿意)|希望(?:这|对[你您])"
    r"|以下是|下面是|祝[你您]|谢谢|收到|明白|了解|听起来|太好了|不错"
)
_ENGLISH: Final = re.compile(r"[a-z][a-z']*")
_CAPITALIZED: Final = re.compile(r"[A-Z][\w'-]+")
_TITLE: Final = re.compile(r"[「《]")
_FIGURE: Final = re.compile(r"\d(?:[A-Za-z0-9.,:/%-]*[A-Za-z0-9%])?")
_WEEKDAY: Final = re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.IGNORECASE)
_CHINESE_FIGURE: Final = re.compile(
    r"[一二两三四五六七八九十百千万半]+(?=[点块元月日号个人岁楼次斤度天周年分])"
    r"|(?:周|星期|礼拜)[一二三四五六日天末]"
)
_ASKS: Final = re.compile(r"[?？][\"'”’」』）)]*$|[吗呢么][。.！!~～]*$")
_MOST_FIGURES: Final = 3
"""Figures of a sentence that count: a table of twenty is not worth twenty times as much."""


def figures(text: str) -> frozenset[str]:
    """The numbers, times, codes and days of the week of a text."""
    found = [*_FIGURE.findall(text), *map(str.lower, _WEEKDAY.findall(text))]
    if not text.isascii():
        found += _CHINESE_FIGURE.findall(text)
    return frozenset(found)


def asks(text: str) -> bool:
    """Whether a sentence is a question."""
    return bool(_ASKS.search(text, max(0, len(text) - 8)))


def corrects(text: str) -> bool:
    """Whether a sentence says that something is not as it was said before."""
    return _CORRECTED(text, _english(text))


def lasting(text: str) -> bool:
    """Whether a sentence says how someone is or wants things: it holds until further notice."""
    return _LASTING(text, _english(text)) and not asks(text)


def worth(text: str) -> float:
    """What a sentence holds, whoever said it: figures, names, decisions, preferences; less for a question."""
    english = _english(text)
    found = 0.5 * bool(numbers := figures(text)) + 0.2 * min(_MOST_FIGURES, len(numbers))
    found += 0.5 * _names(text) + 1.0 * _DECIDED(text, english) + 1.0 * _LASTING(text, english)
    found += 0.6 * _OWN(text, english) + 0.4 * _CORRECTED(text, english)
    found -= 1.2 * bool(_BOILERPLATE.match(text.lower())) + 0.8 * text.endswith((":", "："))
    return found * 0.4 - 0.4 if asks(text) else found


def _english(text: str) -> tuple[str, ...]:
    return tuple(_ENGLISH.findall(text.lower().replace("’", "'")))


def _names(text: str) -> bool:
    """Whether something is named: by a capital within the sentence, a title's marks, an address."""
    if "@" in text or "://" in text or _TITLE.search(text):
        return True
    return any(
        (found.start() > 0 or found.group().isupper()) and not found.group().startswith("I'")
        for found in _CAPITALIZED.finditer(text)
    )
