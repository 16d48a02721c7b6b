"""Exact match and token F1 of an answer, as SQuAD scores them; Chinese by characters.

Rajpurkar et al. (2016): lower case, without punctuation and English articles. Here also widths and
compatibility forms are folded (NFKC), and each Chinese, Japanese or Korean character is a token.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

__all__ = ["exact", "f1", "tokens"]

_ARTICLES = frozenset({"a", "an", "the"})
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def tokens(text: str) -> list[str]:
    """What of a text counts."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c for c in folded if not unicodedata.category(c).startswith("P"))
    return [token for token in _TOKEN.findall(bare) if token not in _ARTICLES]


def exact(answer: str, gold: str) -> float:
    """1 when the two say the same tokens in the same order, else 0."""
    return float(tokens(answer) == tokens(gold))


def f1(answer: str, gold: str) -> float:
    """The harmonic mean of the precision and recall of the answer's tokens."""
    given, wanted = tokens(answer), tokens(gold)
    if not given or not wanted:
        return float(given == wanted)
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted))
