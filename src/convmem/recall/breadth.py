"""Questions that no single turn answers: which ask for a summary, for an order, for a count.

"Summarize our work on the boat", "in what order did I bring these up", 我一共提过多少本书. What they need is
much, shortly, from everywhere, rather than the best few turns with what stands around them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from convmem.recall.analyze import fold
from convmem.recall.intent import is_question

Breadth = Literal["", "summary", "order", "count"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a broad question is answered.

    Attributes:
        user: Standard deviations for the user's own turns.
        said: Tokens of a user's turn that are shown in a budget of 1,024 (they grow with its square root).
        replied: The same for any other turn.
        early: Whether what a session began with counts more: it says what the session is about.
    """

    user: float
    said: int
    replied: int
    early: bool


SHAPES: Final[dict[Breadth, Shape]] = {
    "summary": Shape(user=0.0, said=30, replied=24, early=True),
    "order": Shape(user=3.0, said=64, replied=30, early=True),
    "count": Shape(user=1.5, said=160, replied=120, early=False),
}
"""An order is one of things the user brought up. A count needs details, a summary many places."""

_MINE: Final = re.compile(r"\b(?:i|i've|i'm|we|we've|my|our|ours|(?:told|gave|give|given) me|over time)\b")
_ADVICE: Final = re.compile(r"\b(?:should|must|shall|can|could|do|need to|ought to) (?:i|we)\b(?! have\b)")
_PASTED: Final = re.compile(
    r"\b(?:the following|this|these|below|attached|above) "
    r"(?:\w+ )?(?:text|article|paragraph|passage|page|document|email|mail|story|code|file|paper)?s?\b.*:"
    r"|\bthe following\b|\b(?:template|sample|example) (?:of|for)\b"
)
_SUMMARY: Final = re.compile(
    r"\bsummar(?:i[sz]e|i[sz]ing|y of)\b|\bsum up\b|\brecap\b|\boverview of\b|\bbring together\b"
    r"|\bwalk me through how\b"
    r"|\bhow (?:has|have) (?:my|our|i|we)\b.*\b(?:chang|develop|evolv|progress|grow|improv)"
    r"|\bwhat (?:have we|did we|all did we) (?:\w+ )?(?:talk|discuss|cover|work)"
)
_ORDER: Final = re.compile(
    r"\bin (?:what|which|the) (?:\w+ )?(?:order|sequence)\b|\b(?:order|sequence) (?:in which|that|of|i|we)\b"
    r"|\bchronolog|\btimeline of\b|\b(?:came|come) first\b.*\bour\b|\bour\b.*\b(?:came|come) first\b"
    r"|\bfrom (?:the )?(?:first|earliest) to (?:the )?(?:last|latest|most recent)\b|\bin order\b"
)
_COUNT: Final = re.compile(
    r"\bhow many (?!(?:more )?(?:days?|weeks?|months?|years?|hours?|minutes?)\b)"
    r".*\b(?:have i|did i|i've|i have|am i|have we|did we|i (?:told|said|mention|ask))"
    r"|\bhow many (?:different|distinct|unique|other|total)\b"
    r"|\bhow (?:many|much)\b.*\b(?:across|throughout|altogether|in total)\b|\bin total, how (?:many|much)\b"
    r"|\btotal (?:number|amount) of\b|\bacross (?:all )?(?:my|our)\b"
    r"|\b(?:list|name|what are) (?:all|every|everything)\b.*\bi(?:'ve)? (?:told|said|mention|ask|have)"
    r"|\ball (?:the )?(?:\w+ )?(?:\w+ )?i(?:'ve| have)? (?:ever )?(?:told|mention|ask)"
)
_NOW: Final = re.compile(r"\b(?:now|currently|at the moment|at present|right now|these days|nowadays)\b")

_MINE_CJK: Final = re.compile(r"我|咱")
_PASTED_CJK: Final = re.compile(r"下面|以下|这段(?!时间)|这篇|这份|模板|范文|如何写|怎么写")
_SUMMARY_CJK: Final = re.compile(
    r"总结|回顾|梳理|概括|综述|归纳|概述|汇总|一步步.*变|(?:总体|整体|这段时间|一路).*变化"
)
_ORDER_CJK: Final = re.compile(r"先后|顺序|时间线|时间轴|依次|按时间|从(?:最早|头)到|最先|[先早]提到")
_COUNT_CJK: Final = re.compile(
    r"(?:一共|总共|共计|加起来|合计|前前后后|到目前为止).*(?:多少|几)"
    r"|(?:多少|几)(?:次|回|本|种|个|套|部|家|款|位).*(?:提|说|聊|讲)|(?:提|说|聊|讲|问)过(?:多少|几)"
    r"|(?:列出|列举).*(?:所有|全部|提|说|聊)|都.{1,4}过(?:哪|什么)|(?:所有|全部).*(?:列出|列举)"
)
_REQUEST_CJK: Final = re.compile(r"^\W*(?:请|把|帮|给|能不能|可以|列|按|简要|简单)|一下|出来|一遍")
_NOW_CJK: Final = re.compile(r"现在|目前(?!为止)|当前|如今|眼下")


def breadth(text: str) -> Breadth:
    """Tell what a question spans: a summary, an order or a count of what the user said before; else nothing.

    Only what is asked about the user's own past counts: "summarize this article" is about the article.
    """
    folded = fold(text)
    if _MINE_CJK.search(folded):
        return _chinese(folded)
    if not _MINE.search(folded) or _PASTED.search(folded):
        return ""
    advice = bool(_ADVICE.search(folded))
    if _ORDER.search(folded) and not advice:
        return "order"
    if _SUMMARY.search(folded):
        return "summary"
    if _COUNT.search(folded) and not advice and not _NOW.search(folded) and is_question(folded):
        return "count"
    return ""


def _chinese(folded: str) -> Breadth:
    if _PASTED_CJK.search(folded) or not (is_question(folded) or _REQUEST_CJK.search(folded)):
        return ""
    if _ORDER_CJK.search(folded):
        return "order"
    if _SUMMARY_CJK.search(folded):
        return "summary"
    if _COUNT_CJK.search(folded) and not _NOW_CJK.search(folded):
        return "count"
    return ""
