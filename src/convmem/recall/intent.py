"""What a message is for: a question, small talk, a rule for the future, a look back.

Patterns in English and Chinese, each answering one question with a plain bool or spans. They only ever
move weights or open a section; a wrong answer costs some rank, never a turn.
"""

from __future__ import annotations

import re
from typing import Final

from convmem.recall.analyze import CJK, fold, folded
from convmem.recall.passages import sentences
from convmem.recall.words import SMALL_TALK_CJK, SMALL_TALK_ENGLISH, STOP_ENGLISH

_ASKS: Final = re.compile(r"[?？]\W*$|[吗呢么][。!！~～\s]*$")


def question_share(text: str) -> float:
    """Share of a turn's characters that stand in questions, 0 to 1."""
    spans = sentences(text)
    asked = sum(end - start for start, end in spans if _ASKS.search(text, start, end))
    return asked / max(1, sum(end - start for start, end in spans))


_QUESTION_ENGLISH: Final = re.compile(
    r"^\W*(?:(?:so|and|but|ok|okay|hey|hi|well|also|by the way|now)\W+)*"
    r"(?:who|what|when|where|which|why|how|whose|whom|did|does|do|is|are|was|were|am|has|have|had|can|could|will|would|should|shall"
    r"|remind me|tell me|list|name|summari[sz]e|describe|explain|give me|show me|recall"
    r"|recommend|suggest|advise|plan|pick|choose)\b"
)
_QUESTION_CJK: Final = re.compile(
    r"什么|什麽|谁|哪|几[个次天点号月年岁位]|多少|多久|多大|多高|怎么|怎样|为何|为什么|是否|是不是|有没有|吗|呢|么[。？?]?$|如何|总结|列出|告诉我|提醒我|何时|何地"
    r"|推荐|建议(?:一下|我|个|几)|出个主意|安排(?:一下|个)|点个外卖|选(?:一个|哪)"
)


def is_question(text: str) -> bool:
    """Tell whether a message asks for something that can be looked up."""
    folded = fold(text)
    return bool(_ASKS.search(folded) or _QUESTION_ENGLISH.search(folded) or _QUESTION_CJK.search(folded))


_PAST_ENGLISH: Final = re.compile(
    r"\b(?:did|was|were|had|earlier|previous(?:ly)?|before"
    r"|last (?:time|week|month|year|session|conversation|night)"
    r"|yesterday|ago|remember|remind me|recall|mentioned|mention"
    r"|told|said|discussed|talked|asked|suggested|recommended|agreed|decided|planned|we've"
    r"|i've|have (?:i|we|you)|has (?:my|the)|so far|over time|in what order|across (?:our|my)"
    r"|our (?:conversations?|chats?|discussions?|sessions?)"
    r"|summari[sz]e|throughout|used to|already|back then|since (?:i|we)|how many (?:times|different))\b"
)
_PAST_CJK: Final = re.compile(
    r"之前|以前|上次|上回|上周|上个?月|去年|昨天|前天|前几天|那天|那次|当时|刚才|刚刚|曾|提到|提过|说过|说的|讲过|聊过|聊到|讨论过|告诉过|推荐过|建议过"
    r"|记得|还记|回忆|来着|过[吗么的没]|了吗|至今|到目前|一直以来|总结|先后|顺序"
)


def looks_back(text: str) -> bool:
    """Tell whether a message asks about what was said or happened before, rather than for something new."""
    folded = fold(text)
    return bool(_PAST_ENGLISH.search(folded) or _PAST_CJK.search(folded)) and is_question(text)


_SAYS: Final = (
    r"(?:suggest|recommend|advise|propose|tell|told|say|said|mention|explain|list|provide|give|gave"
    r"|answer|describe)"
)
_REPLY_ENGLISH: Final = re.compile(
    rf"\b(?:did|had|have) you (?:\w+ )?{_SAYS}|\byou(?:'d|'ve| had| have)? (?:\w+ )?{_SAYS}(?:ed|d|n)?\b"
    r"|\byour (?:\w+ )?(?:suggestion|recommendation|advice|answer|explanation|list|reply)"
)
_REPLY_CJK: Final = re.compile(
    r"你(?:之前|上次|以前|当时|刚才|那次|不是)*.{0,3}(?:说|建议|推荐|提到|提过|告诉|教|讲|列出|列的|给我|给过)"
)


def asks_for_reply(text: str) -> bool:
    """Tell whether a question asks what the assistant said: "what did you suggest", 你之前说的.

    "Could you suggest a book" does not: it asks for something new.
    """
    folded = fold(text)
    if _REQUEST.search(folded):
        return False
    return looks_back(text) and bool(_REPLY_ENGLISH.search(folded) or _REPLY_CJK.search(folded))


_REQUEST: Final = re.compile(
    r"\b(?:can|could|would|will) you (?:please )?(?:suggest|recommend|give|list|describe)\b"
)
_TALK_CJK: Final = re.compile(rf"(?:{SMALL_TALK_CJK})+")
_CJK_RUN: Final = re.compile(rf"[{CJK}]+")
_LATIN_WORD: Final = re.compile(rf"(?:(?![{CJK}])[^\W_])+")
_SHORT_WORDS: Final = 12
"""English words up to which a message may be small talk."""
_SHORT_CHARACTERS: Final = 24
"""The same in Chinese characters."""
_ELONGATED: Final = re.compile(r"(.)\1{2,}")
_INTERROGATIVE: Final = frozenset({"who", "what", "when", "where", "which", "why", "whose", "whom"})
_ASIDE: Final = re.compile(
    r"^\W*(?:how (?:are|is|have) (?:you|it|things|everything|life)\b.*"
    r"|how(?:'s| is) (?:it going|life|everything|your day).*"
    r"|what'?s (?:up|new|going on)|how do you do"
    r"|nice to (?:meet|see|talk).*|is that (?:so|right)|are you (?:there|ok|sure|kidding|serious)"
    r"|can you hear me|do you understand|are we good|tell me a joke"
    r"|why|and then|what else|how come|what do you think|really|seriously|happy (?:new year|birthday)"
    r"|one (?:sec|second|moment)|hold on|wait|say that again)\W*$"
)


def is_small_talk(text: str) -> bool:
    """Tell whether a message is made of greetings, thanks, laughter and assent only.

    Decided by the words alone: such a message has near neighbours in any chat (other greetings), so
    that a margin of scores cannot see it.
    """
    folded = fold(text)
    if _ASIDE.search(folded):
        return True
    latin = [_ELONGATED.sub(r"\1", word) for word in _LATIN_WORD.findall(folded)]
    runs = _CJK_RUN.findall(folded)
    if len(latin) > _SHORT_WORDS or sum(map(len, runs)) > _SHORT_CHARACTERS:
        return False
    if any(word in _INTERROGATIVE for word in latin):
        return False
    return all(_is_pleasant(word) for word in latin) and all(_TALK_CJK.fullmatch(run) for run in runs)


def _is_pleasant(word: str) -> bool:
    return (
        word in STOP_ENGLISH
        or word in SMALL_TALK_ENGLISH
        or bool(re.fullmatch(r"(?:ha|he|lo|la)+[hl]?|6+|8+|23+|yyds", word))
    )


_PREFERS: Final = re.compile(
    r"\bi(?:'d| would| do)? (?:(?:also|really|usually|generally|definitely|still) )?(?:prefer|rather)\b"
    r"|\bmy preference|我(?:更|比较|还是|一向)?(?:偏好|偏爱|偏向|倾向|宁可|宁愿)|我(?:更|比较)喜欢"
)


def states_preference(text: str) -> bool:
    """Tell whether a turn says what its speaker prefers: advice has to know it, though it shares no words."""
    pieces = list(folded(text))
    before = ""
    for number, piece in enumerate(pieces, start=1):
        said = before + piece
        for found in _PREFERS.finditer(said):
            # At a seam a word may go on: what touches it is seen whole in the one piece or the other.
            if (found.start() or not before) and (found.end() < len(said) or number == len(pieces)):
                return True
        before = piece[-_LONGEST_PREFERENCE:]
    return False


_LONGEST_PREFERENCE: Final = 48
"""Characters of the longest wording that `_PREFERS` finds, and some more: "i would definitely prefer"."""


_RULE_ENGLISH: Final = re.compile(
    r"^\W*(?:(?:and|also|so|ok|okay|hey|hi|note|btw|by the way|one more thing|remember|please|pls)\b\W*)*"
    r"(?:(?:from now on|going forward|in future|in the future|whenever"
    r"|every time|each time|for all (?:future|your)|as a rule)\b.{8,}"
    r"|(?:always|never)\s+(?!mind\b|been\b|had\b|thought\b|knew\b|heard\b|seen\b|tried\b|said\b"
    r"|the\b|a\b|wanted\b|felt\b|loved\b)\w+.{4,}"
    r"|(?:do not|don't) ever\b.{4,}"
    r"|please (?:always|never|do not|don't|only|stop|keep|use|answer|reply|respond"
    r"|call me|address me|write|format|include|avoid|make sure|remember (?:to|that))\b.{4,})",
    re.DOTALL,
)
_RULE_CJK: Final = re.compile(
    r"^\W*(?:另外|还有|对了|记住|请|请你|麻烦你?|那|好的?)?[，,：:\s]*"
    r"(?:(?:从现在(?:起|开始)|从今(?:天)?(?:起|以后|往后)|今后|往后|以后)(?!再(?:说|聊|看)|就没|的事|怎么|会|可能|.{0,8}(?:改到|改在|改成|换到|搬到|推迟|提前)).{2,}"
    r"|(?:请|务必)?(?:一直|始终|永远|总是|每次都?)(?:要|都|用|请|别|不要|记得|按|以|给|叫|保持).{2,}"
    r"|(?:请)?(?:永远|绝对|千万|再也)(?:不要|别|不能|不准).{2,}"
    r"|请(?:记住|记得|只用|都用|叫我|称呼我|不要再|别再).{2,})",
    re.DOTALL,
)
_LONGEST_RULE: Final = 300
"""Characters of a sentence that may be a rule; longer ones are texts that somebody works on."""
_RULE_SCAN: Final = 12_000
"""Characters of a turn in which rules are looked for."""


def standing_rules(text: str) -> tuple[tuple[int, int], ...]:
    """Spans of sentences that state a rule for all that follows ("always answer in French", 以后都用中文).

    Such a sentence matches no later query, so it gets a way in of its own. Only sentences that *begin*
    as a rule
    count: wider patterns lost when measured. Questions are no rules.
    """
    found: list[tuple[int, int]] = []
    for start, end in sentences(text[:_RULE_SCAN]):
        if end - start > _LONGEST_RULE or _ASKS.search(text, start, end):
            continue
        sentence = text[start:end].casefold().replace("\u2019", "'")
        if _RULE_ENGLISH.match(sentence) or _RULE_CJK.match(fold(sentence)):
            found.append((start, end))
    return tuple(found)
