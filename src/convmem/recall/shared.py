"""Which of a message's words one passage of the past holds, whether or not they are rare there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from convmem.recall.analyze import count_terms, fold, mostly_wide, words
from convmem.recall.intent import is_small_talk

if TYPE_CHECKING:
    from convmem.recall.fuse import Mask
    from convmem.recall.partition import Partition

_JUDGED: Final = 4_000
"""Characters of a message whose words are counted: what a longer one is about, its beginning says."""
_WORDS: Final = 2
_WORDS_WIDE: Final = 5
"""Terms that one passage has to share: two words; in Chinese, where a word of two characters makes three
terms (each and the pair), the same is five at least.
"""
_HALF: Final = 0.5
"""Share of the message's terms that one passage has to have, besides."""
_WIDE_SCALE: Final = 3**0.5
"""By which weights in Chinese are divided: a word is three terms, so sums over a root grow by its root."""

_CLAUSE: Final = re.compile(r"[,，、.。!！?？;；:：\n]+")
_ASKED_FOR: Final = re.compile(
    r"\b(?:(?:can|could|would|will) you )?(?:please )?(?:tell|remind|show) me(?: again| once more| please)?\b"
    r"|\bdo you (?:still )?(?:remember|know|recall)\b|\bi(?: was|'m)? wonder(?:ing)?\b"
    r"|\bi (?:want|'d like) to know\b"
    r"|(?:请|麻烦你?|能不能|可以)?再?(?:告诉|提醒)(?:我|一下)+(?:一遍|一次|一下)?|(?:你|还|是否)*记得|我想(?:问|知道)(?:一下)?|请问"
)
"""How people ask, which says nothing about what they ask for. Folded."""


class Shared(NamedTuple):
    """What the passage that shares most has of the message's words, names of speakers aside.

    Attributes:
        share: Share of the message's terms that the passage has, 0 to 1.
        known: The passage has at least two words of the message (the only one, of a message with one), and
            half of all.
        weight: How telling the shared words are: the sum of their rarity, over the root of the rarity of the
            whole message and of what words never heard would have. Rises with length more slowly than the
            sum, and means the same for few turns and for many.
    """

    share: float
    known: bool
    weight: float


NOTHING: Final = Shared(0.0, known=False, weight=0.0)


def shared(partition: Partition, text: str, used: Mask, *, one_will_do: bool) -> Shared:
    """Compare a message's words with the passages of the rows in use.

    Args:
        partition: where they are.
        text: the message.
        used: the rows that may be quoted.
        one_will_do: a message of a single word may be known by it. A question may ("and the dentist?"); of
            what asks nothing a single word says little.
    """
    terms, _ = count_terms(words(_bare(text[:_JUDGED])))
    which, where = partition.postings.find(terms)
    passages = partition.postings.passages[where]
    kept = used[partition.turn_of_passage[passages]]
    which, passages = which[kept], passages[kept]
    if not passages.size:
        return NOTHING
    total = partition.turns.passage_length.size
    frequency = np.bincount(which, minlength=terms.size)
    rarity = np.log1p((total - frequency + 0.5) / (frequency + 0.5))
    unheard = float(np.log1p((total + 0.5) / 0.5))
    counts = np.bincount(passages, minlength=total)
    share = counts / terms.size
    wide = mostly_wide(text)
    fewest = _WORDS_WIDE if wide else _WORDS
    if one_will_do:
        fewest = min(fewest, terms.size)
    weight = float(np.bincount(passages, rarity[which]).max()) / np.sqrt(float(rarity.sum()) * unheard)
    return Shared(
        share=float(share.max()),
        known=bool(((counts >= fewest) & (share >= _HALF)).any()),
        weight=float(weight) / (_WIDE_SCALE if wide else 1.0),
    )


def _bare(text: str) -> str:
    """A message without greetings, thanks, and the words of asking; as it is where that leaves nothing."""
    clauses = (clause for clause in _CLAUSE.split(fold(text)) if not is_small_talk(clause))
    return _ASKED_FOR.sub(" ", "\n".join(clauses)).strip() or text
