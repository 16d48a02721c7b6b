"""Sentences of a text in English, Chinese and their like."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "sentences"]

LONGEST: Final = 240
"""Characters of a sentence; what is longer is cut at a comma, else at a space."""

_FENCED: Final = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_MARK: Final = re.compile(r"^(?:[#>*•·\-–\s]+(?=\S)|\d{1,2}[.)][ \t]+|\d{1,2}、|[(（]\d{1,2}[)）]\s*)+")
_RULE: Final = re.compile(r"^[\s|:=_*\-–—#>`~]*$")

_CJK: Final = r"\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_CLOSING: Final = r"[\"'”’」』）》】)\]]*"
# Full-width marks end a sentence wherever they stand; ASCII ones before white space or Chinese. So a dot in a
# number, a version, an address or a file's name ends nothing.
_END: Final = re.compile(rf"[。！？；…]+{_CLOSING}|[!?]+{_CLOSING}(?=\s|[{_CJK}]|$)|\.+{_CLOSING}(?=\s|$)")
_QUOTED: Final = re.compile(
    r"「[^「」]{1,200}」|『[^『』]{1,200}』|“[^“”]{1,200}”|（[^（）]{1,200}）|\([^()]{1,200}\)"
)
_ABBREVIATED: Final = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|cf|etc|approx|ca|est|dept|inc|ltd|co|corp|fig|vol|tel|ext|min|max|jan|feb"
    r"|mar|apr|jun|jul|aug|sept?|oct|nov|dec|e\.g|i\.e|a\.m|p\.m|u\.s|u\.k)|\b[a-z](?:\.[a-z])*)\.$",
    re.IGNORECASE,
)
_NUMBER_FOLLOWS: Final = re.compile(r"\b(?:no|nos|p|pp|art|sec|ch|room)\.$", re.IGNORECASE)
_SEAMS: Final = (re.compile(r"[,;:|]\s+|[，；：、]"), re.compile(r"\s+"))


def sentences(text: str) -> list[str]:
    """Split a text into sentences, each on one line and at most `LONGEST` characters long.

    List marks, rules and code between fences are left out; a quotation is not split.
    """
    found: list[str] = []
    for line in _FENCED.sub("\n", text).splitlines():
        said = _MARK.sub("", line.replace("**", ""), count=1)
        if _RULE.match(said):
            continue
        start = 0
        for end in _ends(said):
            found += _pieces(" ".join(said[start:end].split()))
            start = end
        found += _pieces(" ".join(said[start:].split()))
    return found


def _ends(line: str) -> list[int]:
    """Where sentences end, apart from the end of the line."""
    quoted = [match.span() for match in _QUOTED.finditer(line)]
    ends: list[int] = []
    inside = 0
    for match in _END.finditer(line):
        end = match.end()
        while inside < len(quoted) and quoted[inside][1] < end:
            inside += 1
        if inside < len(quoted) and quoted[inside][0] < match.start() and end < quoted[inside][1]:
            continue
        if match.group().startswith(".") and _goes_on(line, match.start(), end):
            continue
        ends.append(end)
    return ends


def _goes_on(line: str, dot: int, end: int) -> bool:
    """Whether a dot belongs to an abbreviation, or a small letter follows it."""
    before, after = line[max(0, dot - 12) : dot + 1], line[end : end + 8].lstrip()
    if after[:1].islower():
        return True
    if after[:1].isdigit() and _NUMBER_FOLLOWS.search(before):
        return True
    # "the U.S. Then" is rarer than "Dr. Weber" and "J. Keller".
    return bool(after) and bool(_ABBREVIATED.search(before))


def _pieces(sentence: str) -> list[str]:
    if len(sentence) <= LONGEST:
        return [sentence] if sentence else []
    pieces: list[str] = []
    while len(sentence) > LONGEST:
        cut = next(filter(None, (_last(seam, sentence) for seam in _SEAMS)), LONGEST)
        pieces.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [piece for piece in (*pieces, sentence) if piece]


def _last(seam: re.Pattern[str], sentence: str) -> int:
    """Where the last seam ends at which the sentence may be cut; 0 when there is none."""
    return max((match.end() for match in seam.finditer(sentence, LONGEST // 2, LONGEST)), default=0)
